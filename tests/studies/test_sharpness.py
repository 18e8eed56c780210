"""Three readings of "at convergence", judged on records whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from tests.studies.simulated import tiny_preset

from byheart.record import Record
from byheart.studies.base import Records, Setting, SourceFacts
from byheart.studies.judging import judge
from byheart.studies.sharpness import READINGS, SLOPE_X, SLOPE_Y, Sharpness
from byheart.trial import Trial

CLAIMS = [reading.claim for reading in READINGS]
SEEDS = 10
SETTING = Setting(
    tiny_preset(),
    SourceFacts(
        name="made up", fingerprint="f", examples=200, shape=(4,), classes=("0", "1"),
        smallest_class=100,
    ),
    SEEDS,
)  # fmt: skip
STUDY = Sharpness()


def made_up(trial: Trial, rng: np.random.Generator, octaves: float) -> Record:
    """Return a record whose sharpness grows by so many octaves from clean data to pure noise."""
    level = trial.data.inputs + trial.data.labels
    value = 2 ** (octaves * level + rng.normal(0, 0.1))
    arrays = {
        "sharpness.eigenvalue": np.float64(value),
        "sharpness.scale_invariant": np.float64(value / 10),
        "sharpness.online": np.float64(2.0),
        "sharpness.train_loss": np.float64(0.01),
        "sharpness.train": np.float64(1.0),
    }
    outcome = "budget" if trial.algorithm.stop == "budget" else "converged"
    named = {name: np.asarray(one) for name, one in arrays.items()}
    return Record(trial, outcome, trial.algorithm.epochs, named)


def records(octaves: float) -> dict[str, Record]:
    rng = np.random.default_rng(1)
    return {t.key: made_up(t, rng, octaves) for t in STUDY.plan(SETTING)}


@pytest.mark.parametrize(
    ("octaves", "verdict"), [(1.0, "supported"), (0.0, "contradicted"), (-1.0, "contradicted")]
)
def test_a_planted_slope_is_found_in_every_reading_and_none_where_there_is_none(
    octaves: float, verdict: str
) -> None:
    found = judge(CLAIMS, records(octaves), SETTING)
    assert [(one.claim, one.verdict) for one in found] == [(claim, verdict) for claim in CLAIMS]
    for one in found:
        assert [part.estimate for part in one.parts] == pytest.approx([octaves] * 2, abs=0.15)
        assert one.n == SEEDS
        assert ("no effect worth having" in one.note) == (octaves == 0.0)


def test_each_reading_stops_by_its_own_rule_and_noise_levels_share_everything_else() -> None:
    stops = {}
    for trial in STUDY.plan(SETTING):
        own = SETTING.preset.sharpness
        algorithm = trial.algorithm
        stops.setdefault(algorithm.stop, set()).add((algorithm.epochs, algorithm.stop_loss))
        assert trial.seed == trial.data.seed
        assert trial.data.train == own.train
    assert stops == {
        "converged": {(own.limit, None)},
        "budget": {(own.epochs, None)},
        "loss": {(own.limit, own.loss)},
    }


def test_seeds_that_never_got_there_are_counted_and_not_compared() -> None:
    kept = records(1.0)
    for key, record in kept.items():
        trial = record.trial
        if trial.algorithm.stop == "loss" and trial.data.labels == 1 and trial.seed < 4:
            kept[key] = replace(record, outcome="budget")
    first, epochs, loss = judge(CLAIMS, kept, SETTING)
    assert (first.censored, epochs.censored, loss.censored) == (0, 0, 4)
    by_name = {part.statistic: part.n for part in loss.parts}
    assert by_name == {SLOPE_X: SEEDS, SLOPE_Y: SEEDS - 4}


def test_where_most_were_censored_no_verdict_is_given() -> None:
    kept = records(1.0)
    for key, record in kept.items():
        trial = record.trial
        if trial.algorithm.stop == "converged" and trial.data.labels == 1 and trial.seed < 6:
            kept[key] = replace(record, outcome="budget")
    first, _, loss = judge(CLAIMS, kept, SETTING)
    assert first.verdict == "inconclusive"
    assert "in 1 of 5 arms most trials never reached 100% accuracy" in first.reasons[0]
    assert loss.verdict == "supported"


def test_an_eigenvalue_that_was_not_found_is_counted() -> None:
    kept = records(1.0)
    lost = next(r for r in kept.values() if r.trial.algorithm.stop == "budget")
    gone = {**lost.arrays, "sharpness.eigenvalue": np.asarray(np.nan)}
    kept[lost.trial.key] = replace(lost, arrays=gone)
    _, epochs, _ = judge(CLAIMS, kept, SETTING)
    assert "1 eigenvalues were not found within the limit" in epochs.note
    assert min(part.n for part in epochs.parts) == SEEDS - 1


def test_the_other_estimators_are_told_and_decide_nothing() -> None:
    [first, *_] = judge(CLAIMS, records(1.0), SETTING)
    assert first.verdict == "supported"
    assert "on line (K17) estimate: slope +0.00 [+0.00, +0.00] on inputs" in first.note
    assert "scale-invariant estimate: slope +0.9" in first.note


def test_every_chart_has_a_line_for_each_reading_or_estimator() -> None:
    figures = STUDY.figures(Records(records(1.0)), SETTING)
    assert [figure.id for figure in figures] == [
        "sharpness-readings", "sharpness-loss", "sharpness-estimators-converged",
        "sharpness-estimators-budget", "sharpness-estimators-loss",
    ]  # fmt: skip
    for figure in figures:
        drawn = {(point.panel, point.series, point.x) for point in figure.points}
        assert len(drawn) == len(figure.points) == 2 * 3 * 3
        assert {point.series for point in figure.points} == set(figure.series)
