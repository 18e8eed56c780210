"""``byheart plan``."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from byheart.charts import drawn
from byheart.training import engine, prediction

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def train(monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Refuse to train; return the function that would."""
    real = engine.train

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a plan trains nothing")

    monkeypatch.setattr(engine, "train", refuse)
    monkeypatch.setattr(
        prediction, "measure_speeds", lambda packs, *_: prediction.speeds_at(packs, 1e9)
    )
    monkeypatch.setattr(drawn, "drawing_pace", lambda: drawn.DrawingPace(1.0, 0.5))
    return real


def test_a_plan_says_what_a_study_would_take(byheart: Run, tiny: str, tmp_path: Path) -> None:
    words = ("plan", "--preset", tiny, "--out", tmp_path / "out", "--workers", "2", "--json")
    plan = json.loads(byheart(*words, "capacity-data").out)
    assert plan["trials"] == sum(share["trials"] for share in plan["shapes"])
    assert plan["packs"] == sum(share["packs"] for share in plan["shapes"])
    assert plan["hours_at_most"] * 3600 <= plan["flops_at_most"] / 1e9 + plan["drawing_seconds"]
    assert 0 < plan["hours"] <= plan["hours_at_most"]
    assert sum(share["at_most"] for share in plan["shapes"]) == pytest.approx(
        plan["flops_at_most"] / 1e9
    )
    assert plan["bytes_per_pack"] > 0
    assert plan["stored"] == 0
    assert not (tmp_path / "out").exists()


def test_more_seeds_cost_more(byheart: Run, tiny: str) -> None:
    def trials(seeds: str) -> int:
        words = ("plan", "capacity-data", "--preset", tiny, "--seeds", seeds, "--json")
        return int(json.loads(byheart(*words).out)["trials"])

    assert trials("6") == 2 * trials("3")


@pytest.mark.parametrize("columns", ["60", "80"])
def test_the_table_fits_the_terminal(
    byheart: Run, tiny: str, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    shown = byheart("plan", "capacity-data", "--preset", tiny)
    assert shown.code == 0
    assert max(len(line) for line in shown.out.splitlines()[:-2]) <= int(columns)
    assert "FLOP" in shown.out


def test_what_is_stored_already_costs_nothing(
    byheart: Run, tiny: str, tmp_path: Path, train: Callable[..., object]
) -> None:
    words = ("capacity-data", "--preset", tiny, "--out", tmp_path, "--runner", "inline")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(engine, "train", train)
        assert byheart("study", *words).code == 0
    plan = json.loads(byheart("plan", *words, "--json").out)
    assert plan["stored"] == plan["trials"]
    assert plan["packs"] == 0
    assert plan["hours"] == plan["hours_at_most"] == plan["drawing_seconds"] / 3600


def test_a_plan_for_a_gpu_divides_its_arithmetic_by_its_speed(byheart: Run, tiny: str) -> None:
    words = ("plan", "capacity-data", "--preset", tiny, "--workers", "2", "--json")
    plan = json.loads(byheart(*words, "--gpu", "h100").out)
    assert plan["gpu"] == {"name": "H100", "tflops": 66.9, "gib": 80, "utilisation": 0.3}
    assert plan["side_by_side"] == 1
    seconds = plan["hours_at_most"] * 3600 - plan["drawing_seconds"]
    assert seconds == pytest.approx(plan["flops_at_most"] / (0.3 * 66.9e12))
    half = json.loads(byheart(*words, "--gpu", "33.45").out)
    assert half["hours_at_most"] * 3600 - half["drawing_seconds"] == pytest.approx(2 * seconds)
    assert json.loads(byheart(*words).out)["gpu"] is None


def test_a_plan_for_a_gpu_says_at_which_speed(byheart: Run, tiny: str) -> None:
    shown = byheart("plan", "capacity-data", "--preset", tiny, "--gpu", "rtx4090").out
    assert "on one RTX 4090, at 30% of its 82.6 TFLOP/s" in shown


@pytest.mark.parametrize(
    ("gpu", "message"),
    [("h10", "did you mean 'H100'?"), ("0", "above 0"), ("nan", "above 0"), ("-3", "above 0")],
)
def test_an_unknown_gpu_is_refused(byheart: Run, gpu: str, message: str) -> None:
    shown = byheart("plan", f"--gpu={gpu}")
    assert shown.code == 2
    assert message in shown.error


def test_a_plan_is_refused_like_a_study(byheart: Run) -> None:
    assert "did you mean 'csr-noise'?" in byheart("plan", "csr-niose").error
