"""The claims on loss-sensitivity, on records of which the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tests.studies.planted import sensitive

from byheart.charts.drawn import to_csv
from byheart.charts.figure import Figure, MatrixFigure
from byheart.charts.tiles import draw_tiles
from byheart.record import Record
from byheart.studies.base import Records, Setting
from byheart.studies.figure3_4 import Figure3And4, Figure3Unique
from byheart.studies.judging import judge
from byheart.trial import Foreign, SensitivityProbe, Trial

SEEDS = 12
CLAIMS = ("gini-labels", "sensitivity-norm", "per-class-sensitivity", "gini-unique")
CLASSES = 10

pytestmark = pytest.mark.usefixtures("fewer_resamples")

Change = Callable[[Record, Trial, np.random.Generator], Record]


def blank(trial: Trial, rng: np.random.Generator) -> Record:
    """Return a record in which nothing depends on the kind of data."""
    [probe] = trial.probes
    assert isinstance(probe, SensitivityProbe)
    times = len(probe.evaluate_at)
    arrays = {
        "update": np.array(probe.evaluate_at),
        "gini": rng.normal(0.3, 0.05, (times, 1)) + rng.normal(0, 0.002, (times, 3)),
        "mean": rng.random((3, trial.data.train)),
        "overflow_at": np.array(-1),
        "loss": np.ones(times),
        "accuracy": np.ones(times),
    }
    if probe.per_class_at:
        arrays["per_class"] = rng.uniform(0.5, 1.5, (CLASSES, CLASSES))
    return Record(trial, "budget", 6, {f"sensitivity.{name}": v for name, v in arrays.items()})


def run(setting: Setting, seed: int, change: Change | None = None) -> dict[str, Record]:
    rng = np.random.default_rng(seed)
    trials = [*Figure3And4().plan(setting), *Figure3Unique().plan(setting)]
    records = {trial.key: blank(trial, rng) for trial in trials}
    if change is None:
        return records
    return {key: change(record, record.trial, rng) for key, record in records.items()}


def planted(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
    return sensitive(record, trial, rng, 1)


def test_norms_that_rank_examples_at_random_do_not_tell_the_same_story(setting: Setting) -> None:
    [found] = judge(["sensitivity-norm"], run(setting, 1), setting)
    assert found.verdict == "contradicted"


def overflowing(kinds: Callable[[Trial], bool], seeds: int) -> Change:
    def change(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
        record = sensitive(record, trial, rng, 1)
        if not (kinds(trial) and trial.seed < seeds):
            return record
        lost = {"sensitivity.overflow_at": np.array(12)}
        gini = record.arrays["sensitivity.gini"].copy()
        gini[1:] = np.nan
        return replace(record, arrays={**record.arrays, **lost, "sensitivity.gini": gini})

    return change


def test_a_lost_derivative_is_left_out_and_counted(setting: Setting) -> None:
    records = run(setting, 0, overflowing(lambda trial: trial.data.labels > 0, 3))
    for found in judge(CLAIMS[:3], records, setting):
        assert "in 3 of 36 trials the derivative through training grew beyond" in found.note
        assert {part.n for part in found.parts if "randY" in part.statistic} <= {SEEDS - 3}


def test_where_most_derivatives_are_lost_nothing_is_decided(setting: Setting) -> None:
    records = run(setting, 0, overflowing(lambda trial: trial.data.inputs > 0, 8))
    for found in judge(CLAIMS, records, setting):
        assert found.verdict == "inconclusive"
        assert any("most trials diverged or lost" in reason for reason in found.reasons)


def test_a_diverged_trial_is_counted_not_averaged(setting: Setting) -> None:
    def change(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
        if trial.seed == 0 and not trial.data.inputs + trial.data.labels:
            return replace(record, outcome="diverged", arrays={})
        return planted(record, trial, rng)

    for found in judge(CLAIMS, run(setting, 0, change), setting):
        assert (found.diverged, found.n, found.verdict) == (1, SEEDS - 1, "supported")


def test_trials_are_paired_and_shrunk_where_images_are_large(setting: Setting) -> None:
    large = replace(setting, data=replace(setting.data, shape=(1, 28, 28)))
    assert {trial.data.downsample for trial in Figure3And4().plan(large)} == {2}
    assert {trial.data.downsample for trial in Figure3And4().plan(setting)} == {1}
    own = Foreign(factory="a:b", fingerprint="c")
    assert {t.data.downsample for t in Figure3And4().plan(replace(large, model=own))} == {1}
    assert {trial.seed == trial.data.seed for trial in Figure3Unique().plan(setting)} == {True}
    assert all(trial.data.unique_labels for trial in Figure3Unique().plan(setting))


def test_every_budget_reaches_the_last_evaluation(setting: Setting) -> None:
    for trial in (*Figure3And4().plan(setting), *Figure3Unique().plan(setting)):
        [probe] = trial.probes
        assert isinstance(probe, SensitivityProbe)
        batches = -(-trial.data.train // trial.algorithm.batch_size)
        assert probe.evaluate_at[-1] <= trial.algorithm.epochs * batches


def test_the_figures_show_curves_and_matrices(setting: Setting) -> None:
    records = Records(run(setting, 0, planted))
    curves, matrices = Figure3And4().figures(records, setting)
    [unique] = Figure3Unique().figures(records, setting)
    assert isinstance(curves, Figure)
    assert isinstance(matrices, MatrixFigure)
    assert {point.series for point in curves.points} == {"real", "randX", "randY"}
    assert {point.series for point in unique.points} == {"real", "randX"}
    assert [matrix.name for matrix in matrices.matrices] == ["real", "randX", "randY"]
    svg = draw_tiles(matrices)
    assert svg.count("<rect") == 3 * CLASSES**2
    assert len(to_csv(matrices).splitlines()) == 1 + 3 * CLASSES**2
