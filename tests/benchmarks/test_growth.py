"""Exponents of growth, where the growth is known."""

import itertools
from collections.abc import Callable

import pytest
from benchmarks.growth import DOUBLED, Ladder, Size, ladders

from benchmarks import growth


def prepared(size: Size) -> tuple[Callable[[], object], float]:
    return lambda: size, 7.0 * size.width**3


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_power_law_is_found(monkeypatch: pytest.MonkeyPatch, noise: float) -> None:
    """Seconds grow with the square of the width, operations with its third power."""
    turns = itertools.cycle([1 + noise, 1 - noise, 1.0])

    def seconds(action: Callable[[], object]) -> float:
        size = action()
        assert isinstance(size, Size)
        return 0.01 * size.width**2 * next(turns)

    monkeypatch.setattr(growth, "_seconds", seconds)
    line = Ladder("m", prepared, Size(), "width", (64, 128, 256, 512)).climb(rounds=3)
    assert line.predicted == pytest.approx(3)
    assert line.exponent == pytest.approx(2, abs=noise)
    assert line.low <= 2 + 1e-9
    assert line.high >= 2 - 1e-9
    assert line.high - line.low == pytest.approx(0, abs=10 * noise + 1e-6)


def test_a_line_that_bends_has_a_wide_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    def seconds(action: Callable[[], object]) -> float:
        size = action()
        assert isinstance(size, Size)
        return 100.0 + size.width**2

    monkeypatch.setattr(growth, "_seconds", seconds)
    line = Ladder("m", prepared, Size(), "width", (1, 4, 16, 64, 256)).climb(rounds=1)
    assert 0 < line.exponent < 2
    assert line.high - line.low > 1


def test_every_measure_climbs_every_ladder_that_it_has() -> None:
    pairs = [(ladder.measure, ladder.factor) for ladder in ladders()]
    assert len(pairs) == len(set(pairs))
    measures = {"training", "loss-sensitivity", "critical search", "certificate", "sharpness"}
    assert {measure for measure, _ in pairs} == measures
    # Trainings that are differentiated go one by one: they are seeds, never replicas of a pack.
    for measure in measures - {"loss-sensitivity"}:
        assert {factor for own, factor in pairs if own == measure} >= set(DOUBLED)
    assert ("loss-sensitivity", "seeds") in pairs


@pytest.mark.parametrize("ladder", list(ladders()), ids=lambda one: f"{one.measure} {one.factor}")
def test_what_is_timed_does_its_work(ladder: Ladder) -> None:
    action, operations = ladder.prepare(Size(examples=64, width=8, steps=8))
    action()
    assert operations > 0
