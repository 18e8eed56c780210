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
        ("critical.single.critical_samples", "in the unit that", "critical-samples",
         "bounds.exact_minimum", "critical/test_branching"),
        ("critical.lass.lass", "in the unit of x", "critical-samples",
         "search.slow_search", "critical/test_lass"),
        ("critical.certificate.certificate", "in the unit of x", "critical-samples",
         "bounds.exact_minimum", "critical/test_branching"),
        ("sensitivity.loss_sensitivity", "in loss per unit of input", "loss-sensitivity",
         "unrolled.unrolled_gradients", "test_sensitivity"),
        ("sensitivity.sensitivity_profile", "unit of the loss over", "loss-sensitivity",
         "unrolled.unrolled_gradients", "test_mlp_sgd"),
        ("spectrum.hessian_trace", SHARP, "sharpness", "hessian.dense_hessian", "test_spectrum"),
        ("spectrum.hessian_density", "unit of the eigenvalues", "sharpness",
         "hessian.dense_hessian", "test_spectrum"),
        ("sharpness.sharpness", SHARP, "sharpness",
         "hessian.dense_hessian", "test_sharpness"),
        ("online_sharpness.online_sharpness", SHARP, "sharpness",
         "hessian.dense_hessian", "test_sharpness"),
        ("sharpness.pack_sharpness", SHARP, "sharpness",
         "hessian.dense_hessian", "test_pack_sharpness"),
        ("online_sharpness.pack_online_sharpness", SHARP, "sharpness",
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
    "capacity.accuracy_at", "first_layer.low_frequencies",
    "lanczos.dominant_pairs", "lanczos.lengths", "mlp_loss.without_idle_weights",
    "mlp_sgd.mlp_sgd", "modules.as_inputs", "modules.evaluating", "modules.pack_of_one",
    "modules.plain_layers", "modules.require_gradients_by_inputs", "modules.require_logits",
    "modules.require_symmetry", "modules.require_type", "modules.twice_differentiable",
    "lanczos.orthogonal", "sensitivity.shuffled_batches", "sharpness.pack_loss",
    "sharpness.start_vector",
    "unrolled.finite", "unrolled.input_gradients", "unrolled.kept_stride",
}  # fmt: skip
"""Public functions beside the measures that compute none by themselves."""


def function_of(measure: str) -> Any:
    module, _, name = f"byheart.measures.{measure}".rpartition(".")
    return getattr(importlib.import_module(module), name)


def sections_of(text: str) -> dict[str, str]:
    parts = re.split(rf"^({'|'.join(SECTIONS)}|Example:)", inspect.cleandoc(text), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("documented", MEASURES, ids=lambda row: row.measure)
def test_a_docstring_has_formula_shapes_units_errors_and_source(documented: Documented) -> None:
    function = function_of(documented.measure)
    text = " ".join(function.__doc__.split())
    sections = sections_of(function.__doc__)
    assert not [name for name in SECTIONS if not sections.get(name, "").strip()]
    assert re.search(r"\[(\.\.\.|\w+)[^\]]*\]", sections["Args:"] + sections["Returns:"])
    assert documented.unit in text
    explained = re.findall(r"^ {4}(\w+):", sections["Args:"], flags=re.M)
    assert explained == list(inspect.signature(function).parameters)


@pytest.mark.parametrize("documented", MEASURES, ids=lambda row: row.measure)
def test_a_measure_is_named_on_its_page_of_maths(documented: Documented) -> None:
    page = (ROOT / "docs" / "measures" / f"{documented.page}.md").read_text(encoding="utf-8")
    name = documented.measure.rpartition(".")[2]
    assert re.search(rf"`byheart\.(\w+\.)*{name}\b|byheart\.{name}\(", page)
    assert r"\[" in page
    assert f"({documented.page}.md)" in (ROOT / "docs/measures/index.md").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("documented", MEASURES, ids=lambda row: row.measure)
def test_a_measure_is_compared_with_a_slow_twin(documented: Documented) -> None:
    module, _, name = documented.twin.rpartition(".")
    assert callable(getattr(importlib.import_module(f"tests.reference.{module}"), name))
    test = (ROOT / "tests" / "measures" / f"{documented.test}.py").read_text(encoding="utf-8")
    assert re.search(rf"from tests\.reference(\.{module}\b| import {module}\b)", test)
    assert documented.measure.rpartition(".")[2] in test
    assert name in test


def test_no_public_function_of_the_measures_is_forgotten() -> None:
    public = {
        f"{path.stem}.{name}"
        for path in (Path(byheart.__file__).parent / "measures").glob("*.py")
        for name, function in vars(
            importlib.import_module(f"byheart.measures.{path.stem}")
        ).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and function.__module__ == f"byheart.measures.{path.stem}"
    }  # fmt: skip
    assert public == HELPERS | {row.measure for row in MEASURES if row.measure.count(".") == 1}


def test_the_front_door_offers_no_measure_that_is_not_listed() -> None:
    listed = {row.measure.rpartition(".")[2] for row in MEASURES}
    offered = {
        name
        for name in byheart.__all__
        if name.endswith(("samples", "ness", "sensitivity", "trace", "density"))
    }
    assert offered <= listed
