"""Every measure says what it computes, has a page of maths, and a slow twin to be compared with."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import byheart

ROOT = Path(__file__).parents[2]
SECTIONS = ("Formula:", "Args:", "Returns:", "Raises:", "Source:")


class Documented(NamedTuple):
    """Where a measure is, the words that state its unit, its page, and its twin and their test."""

    measure: str
    unit: str
    page: str
    twin: str
    test: str


SHARP = "unit of the loss over that of a parameter squared"
MEASURES = [
    Documented(*row)
    for row in (
        ("critical.bracket.critical_samples", "in the unit that", "critical-samples",
         "bounds.exact_minimum", "critical/test_branching"),
        ("critical.lass.lass", "in the unit of x", "critical-samples",
         "search.slow_search", "critical/test_lass"),
        ("critical.certificate.certificate", "in the unit of x", "critical-samples",
         "bounds.exact_minimum", "critical/test_branching"),
        ("sensitivity.loss_sensitivity", "in loss per unit of input", "loss-sensitivity",
         "unrolled.unrolled_gradients", "test_sensitivity"),
        ("sensitivity_profile.sensitivity_profile", "unit of the loss over", "loss-sensitivity",
         "unrolled.unrolled_gradients", "test_mlp_sgd"),
        ("sharpness.sharpness", SHARP, "sharpness",
         "hessian.dense_hessian", "test_sharpness"),
        ("online_sharpness.online_sharpness", SHARP, "sharpness",
         "hessian.dense_hessian", "test_online_sharpness"),
        ("pack_sharpness.pack_sharpness", SHARP, "sharpness",
         "hessian.dense_hessian", "test_pack_sharpness"),
        ("pack_sharpness.pack_online_sharpness", SHARP, "sharpness",
         "hessian.online_estimate", "test_pack_sharpness"),
        ("difficulty.difficulty", "without unit", "p-correct",
         "difficulty.slow_over_dispersion", "test_difficulty"),
        ("first_layer.low_frequency_energy", "without unit", "first-layer",
         "first_layer.low_frequency_energy", "test_first_layer"),
        ("first_layer.network_low_frequency_energy", "without unit", "first-layer",
         "first_layer.low_frequency_energy", "test_first_layer"),
        ("convergence.kaplan_meier", "in the unit of epochs", "convergence",
         "survival.slow_kaplan_meier", "test_convergence"),
        ("convergence.restricted", "in the unit of epochs", "convergence",
         "survival.slow_kaplan_meier", "test_convergence"),
        ("capacity.sufficient_width", "in the unit of the accuracies", "capacity",
         "capacity.sufficient_width", "test_capacity"),
    )
]  # fmt: skip
HELPERS = {
    "batches.shuffled_batches", "capacity.accuracy_at", "first_layer.low_frequencies",
    "hessian.checked", "hessian.checked_loss", "hessian.finite", "lanczos.dominant",
    "lanczos.dominant_each", "lanczos.length", "lanczos.lengths", "mlp_loss.without_idle_weights",
    "mlp_sgd.mlp_sgd", "modes.evaluating", "pack_loss.pack_loss", "plain_mlp.plain_layers",
    "sharpness.start_vector", "sharpness.start_vectors", "sharpness.within", "unrolled.finite",
    "unrolled.input_gradients", "unrolled.kept_stride", "written_loss.training_loss",
}  # fmt: skip
"""Public functions beside the measures that compute none by themselves."""


def function_of(measure: str) -> Any:
    module, _, name = f"byheart.measures.{measure}".rpartition(".")
    return getattr(importlib.import_module(module), name)


def sections_of(text: str) -> dict[str, str]:
    parts = re.split(rf"^({'|'.join(SECTIONS)}|Example:)", inspect.cleandoc(text), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("one", MEASURES, ids=lambda one: one.measure)
def test_a_docstring_has_formula_shapes_units_errors_and_source(one: Documented) -> None:
    function = function_of(one.measure)
    text = " ".join(function.__doc__.split())
    sections = sections_of(function.__doc__)
    assert not [name for name in SECTIONS if not sections.get(name, "").strip()]
    assert re.search(r"\[(\.\.\.|\w+)[^\]]*\]", sections["Args:"] + sections["Returns:"])
    assert one.unit in text
    explained = re.findall(r"^ {4}(\w+):", sections["Args:"], flags=re.M)
    assert explained == list(inspect.signature(function).parameters)


@pytest.mark.parametrize("one", MEASURES, ids=lambda one: one.measure)
def test_a_measure_is_named_on_its_page_of_maths(one: Documented) -> None:
    page = (ROOT / "docs" / "measures" / f"{one.page}.md").read_text(encoding="utf-8")
    name = one.measure.rpartition(".")[2]
    assert re.search(rf"`byheart\.(\w+\.)*{name}\b|byheart\.{name}\(", page)
    assert r"\[" in page
    assert f"({one.page}.md)" in (ROOT / "docs/measures/index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("one", MEASURES, ids=lambda one: one.measure)
def test_a_measure_is_compared_with_a_slow_twin(one: Documented) -> None:
    module, _, name = one.twin.rpartition(".")
    assert callable(getattr(importlib.import_module(f"tests.reference.{module}"), name))
    test = (ROOT / "tests" / "measures" / f"{one.test}.py").read_text(encoding="utf-8")
    assert re.search(rf"from tests\.reference(\.{module}\b| import {module}\b)", test)
    assert one.measure.rpartition(".")[2] in test
    assert name in test


def test_no_public_function_of_the_measures_is_forgotten() -> None:
    found = {
        f"{path.stem}.{name}"
        for path in (Path(byheart.__file__).parent / "measures").glob("*.py")
        for name, function in vars(
            importlib.import_module(f"byheart.measures.{path.stem}")
        ).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and function.__module__ == f"byheart.measures.{path.stem}"
    }  # fmt: skip
    assert found == HELPERS | {one.measure for one in MEASURES if one.measure.count(".") == 1}


def test_the_front_door_offers_no_measure_that_is_not_listed() -> None:
    listed = {one.measure.rpartition(".")[2] for one in MEASURES}
    offered = {
        name for name in byheart.__all__ if name.endswith(("samples", "ness", "sensitivity"))
    }
    assert offered <= listed
