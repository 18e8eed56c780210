"""``byheart study --model``: the claims on a network of the user's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byheart.studies.registry import claims

Run = Callable[..., Any]
WIDTH = ("capacity-validation", "time-capacity", "capacity-noise")
OWN = """
from torch import nn


def network():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(4),
        nn.Flatten(), nn.Linear(8, 10),
    )


class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        logits = self.layers(x)
        return logits if logits.sum() > 0 else 2 * logits


def seven_outputs():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module of the user's, in the folder that byheart is started from."""
    name = f"network_{abs(hash(tmp_path))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return name


def without_seconds(text: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(text)
    for row in rows:
        del row["seconds"]
    return rows


def test_a_study_of_a_users_network_says_how_it_trains_and_is_drawn_again_without_it(
    byheart: Run, own: str, tiny: str, tmp_path: Path
) -> None:
    words = (
        "study",
        "capacity-data",
        "--preset",
        tiny,
        "--model",
        f"{own}:network",
        "--json",
        "--out",
    )
    inline = byheart(*words, tmp_path / "inline", "--runner", "inline")
    assert inline.code == 0, inline.err
    assert inline.err.startswith(f"{own}:network: 114 trained parameters, inputs [N, 1, 8, 8]; ")
    assert "together, by torch.func.vmap" in inline.err
    rows = without_seconds(inline.out)
    assert [row["claim"] for row in rows] == ["capacity-data"]
    assert all(row["model"] == f"{own}:network" and row["failed"] == 0 for row in rows)
    page = (tmp_path / "inline" / "report.html").read_text(encoding="utf-8")
    assert "together, by torch.func.vmap" in page
    assert f"--model {own}:network" in page

    processes = byheart(*words, tmp_path / "processes", "--workers", "1")
    assert without_seconds(processes.out) == rows

    # Whoever reads the page again need not have the user's module.
    (tmp_path / f"{own}.py").unlink()
    del sys.modules[own]
    again = byheart("report", tmp_path / "inline", "--json")
    assert again.code == 0, again.err
    assert without_seconds(again.out) == rows
    assert (tmp_path / "inline" / "report.html").read_text(encoding="utf-8") == page
    assert byheart("store", "list", tmp_path / "inline").code == 0


def test_a_network_that_vmap_cannot_follow_trains_one_by_one_and_that_is_said(
    byheart: Run, own: str, tiny: str
) -> None:
    said = "one by one: not by vmap, since its control flow depends on the data"
    plan = byheart("plan", "capacity-data", "--preset", tiny, "--model", f"{own}:Branching")
    assert plan.code == 0, plan.err
    assert said in plan.err


def test_claims_that_need_more_are_left_out_and_named(
    byheart: Run, own: str, tmp_path: Path
) -> None:
    plan = byheart("plan", "--model", f"{own}:network", "--seeds", "3", "--json")
    assert plan.code == 0, plan.err
    left_out = json.loads(plan.out)["left_out"]
    assert {claim: left_out[claim] for claim in WIDTH} == dict.fromkeys(
        WIDTH, "a width that can be chosen"
    )
    assert left_out["first-layer"] == "the first layer of byheart's CNN"
    assert left_out["gini-unique"].startswith("a network with ")
    assert f"left out, since they need a width that can be chosen: {', '.join(WIDTH)}" in plan.err
    command = json.loads(plan.out)["command"]
    assert command == ["byheart", "study", "--preset", "quick", "--seeds", "3", "--model",
                       f"{own}:network"]  # fmt: skip


@pytest.mark.parametrize("claim", [claim.id for claim in claims() if claim.needs])
def test_a_claim_that_needs_more_and_is_asked_for_by_name_is_refused(
    byheart: Run, own: str, tmp_path: Path, claim: str
) -> None:
    refused = byheart("study", claim, "--model", f"{own}:network", "--out", tmp_path / "out")
    assert refused.code == 2
    assert f"claim '{claim}' needs " in refused.error
    assert "without --model" in refused.error
    assert not (tmp_path / "out").exists()


def test_a_claim_whose_data_do_not_fit_the_network_is_refused_too(
    byheart: Run, own: str, tmp_path: Path
) -> None:
    refused = byheart("study", "gini-unique", "--model", f"{own}:network")
    assert refused.code == 2
    assert "claim 'gini-unique' needs a network with " in refused.error


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("--model", "{}"), "package.module:callable"),
        (("--model", "no_such_module_here:network"), "no module 'no_such_module_here'"),
        (("--model", "{}:netwrok"), "did you mean 'network'?"),
        (("--model", "{}:seven_outputs"), "must return [N, 10]: one output per class"),
        (("--model", "{}:network", "--learning-rate", "0"), "give a positive number"),
        (("--learning-rate", "0.1"), "goes with --model"),
    ],
)
def test_a_wrong_network_gets_one_line_before_anything_is_trained(
    byheart: Run, own: str, tmp_path: Path, words: tuple[str, ...], hint: str
) -> None:
    named = [word.format(own) for word in words]
    refused = byheart("study", "csr-noise", *named, "--out", tmp_path / "out")
    assert refused.code == 2
    assert hint in refused.error
    assert not (tmp_path / "out").exists()


def test_a_users_network_may_have_its_own_learning_rate(
    byheart: Run, own: str, tiny: str, tmp_path: Path
) -> None:
    words = ("study", "capacity-data", "--preset", tiny, "--model", f"{own}:network")
    for rate in ("0.03", "0.3"):
        done = byheart(*words, "--learning-rate", rate, "--runner", "inline", "--out", tmp_path)
        assert done.code == 0, done.err
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert f"--learning-rate {rate}" in page
    exported = byheart("store", "export", tmp_path, "--to", tmp_path / "to")
    assert exported.code == 0, exported.err
