"""From records to findings: what ended badly is a gap and a count, never a crash."""

import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from tests.studies.planted import planted
from tests.studies.simulated import Pool

from byheart.charts.figure import Drawing, Figure
from byheart.record import Record
from byheart.studies import dynamics
from byheart.studies.base import Records, Setting
from byheart.studies.conditions import KINDS, RANDX, RANDY, mean_points, read, slope, tally
from byheart.studies.judging import Finding, judge
from byheart.studies.registry import STUDIES, claims
from byheart.trial import Trial

EVERY = tuple(claim.id for claim in claims())
BY_NAME = {study.name: study for study in STUDIES}

pytestmark = pytest.mark.usefixtures("fewer_resamples")


@pytest.fixture(scope="module")
def records(pool: Pool, setting: Setting) -> Mapping[str, Record]:
    return pool.null_run(STUDIES, np.random.default_rng(0), planted(1))


def ended(record: Record, outcome: str) -> Record:
    """Return the record as it is left by a trial that diverged or failed in its first epoch."""
    measured = record.arrays if outcome == "diverged" else {}
    # What is measured at the end of training has no checkpoints, and a diverged run no such end.
    arrays = {name: values[:0] for name, values in measured.items() if values.ndim}
    return replace(record, outcome=outcome, epochs=1, arrays=arrays)


def drawings(records: Mapping[str, Record], setting: Setting) -> list[Drawing]:
    found = Records(records)
    return [drawing for study in STUDIES for drawing in study.figures(found, setting)]


def figures(records: Mapping[str, Record], setting: Setting) -> list[Figure]:
    return [one for one in drawings(records, setting) if isinstance(one, Figure)]


def test_a_finding_comes_back_from_json_as_it_was(
    records: Mapping[str, Record], setting: Setting
) -> None:
    for finding in judge(EVERY, records, setting):
        text = json.dumps(finding.as_json(), allow_nan=False)
        assert Finding.model_validate_json(text) == finding
        assert json.dumps(Finding.model_validate_json(text).as_json()) == text


def test_a_finding_says_what_was_declared(records: Mapping[str, Record], setting: Setting) -> None:
    findings = judge(EVERY, records, setting)
    assert [finding.claim for finding in findings] == list(EVERY)
    for claim, finding in zip(claims(), findings, strict=True):
        assert (finding.source, finding.statement) == (claim.source, claim.statement)
        assert finding.rule == claim.rule.describe()
        assert [part.statistic for part in finding.parts] == [c.name for c in claim.rule.criteria]
        [decisive] = [part for part in finding.parts if part.statistic == finding.statistic]
        assert (decisive.estimate, decisive.ci, decisive.n) == (
            finding.estimate, finding.ci, finding.n,
        )  # fmt: skip
        assert decisive.verdict == finding.verdict == "supported"
        assert finding.n == setting.seeds


def test_judging_twice_gives_the_same_bytes_whatever_the_order_of_the_records(
    records: Mapping[str, Record], setting: Setting
) -> None:
    def text(of: Mapping[str, Record]) -> str:
        return json.dumps([finding.as_json() for finding in judge(EVERY, of, setting)])

    assert text(records) == text(dict(reversed(records.items())))


def test_seconds_are_those_of_the_trials_behind_a_claim(
    records: Mapping[str, Record], setting: Setting
) -> None:
    timed = {key: replace(record, seconds=0.5) for key, record in records.items()}
    for study in STUDIES:
        trained = {trial.key for trial in study.plan(setting, Records(records))}
        for finding in judge([claim.id for claim in study.claims], timed, setting):
            assert finding.seconds == pytest.approx(0.5 * len(trained))


def test_every_series_of_every_figure_has_points(
    records: Mapping[str, Record], setting: Setting
) -> None:
    for figure in figures(records, setting):
        assert {point.series for point in figure.points} == set(figure.series), figure.id
        assert set(figure.dashed) <= set(figure.series)
        values = [(p.x, p.y, p.low or 0.0, p.high or 0.0) for p in figure.points]
        assert np.isfinite(values).all(), figure.id
        assert not figure.x.log or min(point.x for point in figure.points) > 0
        if figure.y.percent:
            assert all(0 <= point.y <= 1 for point in figure.points), figure.id
        for panel in {point.panel for point in figure.points}:
            drawn = {p.series for p in figure.points if p.panel == panel}
            assert drawn == set(figure.series), (figure.id, panel)


def test_figures_have_their_own_ids(records: Mapping[str, Record], setting: Setting) -> None:
    ids = [drawing.id for drawing in drawings(records, setting)]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("outcome", ["diverged", "failed"])
def test_a_seed_that_ended_badly_is_left_out_and_counted(
    records: Mapping[str, Record], setting: Setting, outcome: str
) -> None:
    hit = {
        key: ended(record, outcome) if record.trial.data.seed == 3 else record
        for key, record in records.items()
    }
    for study in STUDIES:
        plan = {trial.key: trial for trial in study.plan(setting, Records(records))}
        own = [claim.id for claim in study.claims]
        for finding in judge(own, hit, setting):
            assert finding.n == setting.seeds - 1, finding.claim
            count = getattr(finding, outcome)
            assert 0 < count <= sum(trial.data.seed == 3 for trial in plan.values())
            other = {"diverged": "failed", "failed": "diverged"}[outcome]
            assert getattr(finding, other) == 0
    for figure in figures(hit, setting):
        assert {point.series for point in figure.points} == set(figure.series), figure.id


def test_a_trial_without_a_record_counts_as_failed(
    records: Mapping[str, Record], setting: Setting
) -> None:
    study = BY_NAME["figure-9"]
    gone = study.plan(setting)[0].key
    hit = {key: record for key, record in records.items() if key != gone}
    [finding] = judge(["csr-noise"], hit, setting)
    assert (finding.n, finding.failed, finding.diverged) == (setting.seeds - 1, 1, 0)


@pytest.mark.parametrize("outcome", ["diverged", "failed"])
def test_if_no_seed_lasted_there_is_a_reason_and_no_verdict(
    records: Mapping[str, Record], setting: Setting, outcome: str
) -> None:
    hit = {key: ended(record, outcome) for key, record in records.items()}
    for finding in judge(EVERY, hit, setting):
        assert (finding.verdict, finding.n, finding.estimate) == ("inconclusive", 0, None)
        assert "fewer than 3 seeds gave a value" in finding.reasons
        assert getattr(finding, outcome) > 0
        json.dumps(finding.as_json(), allow_nan=False)
    assert all(not figure.points for figure in figures(hit, setting))


def test_without_any_record_there_is_a_reason_and_no_verdict(setting: Setting) -> None:
    for finding in judge(EVERY, {}, setting):
        assert (finding.verdict, finding.n, finding.seconds) == ("inconclusive", 0, 0.0)
    for drawing in drawings({}, setting):
        assert isinstance(drawing, Figure), drawing.id
        assert not drawing.points, drawing.id


@pytest.mark.parametrize("kind", [RANDX, RANDY], ids=lambda kind: kind.name)
def test_a_kind_of_which_no_seed_lasted_leaves_the_others_their_lines(
    records: Mapping[str, Record], setting: Setting, kind
) -> None:
    def of_kind(trial: Trial) -> bool:
        return (trial.data.inputs, trial.data.labels) == (kind.inputs, kind.labels)

    hit = {
        key: ended(record, "diverged") if of_kind(record.trial) else record
        for key, record in records.items()
    }
    findings = {finding.claim: finding for finding in judge(EVERY, hit, setting)}
    assert findings["csr-growth"].n == 0
    assert findings["patterns-first"].n == setting.seeds
    for figure in figures(hit, setting):
        # Each of its points is of two networks, one trained on real data and one on randY.
        if figure.id != "figure-10":
            assert [p for p in figure.points if kind.name not in (p.series, p.panel)], figure.id


def test_runs_that_never_converge_are_censored_and_leave_time_undecided(
    records: Mapping[str, Record], setting: Setting
) -> None:
    hit = {
        key: replace(record, outcome="budget", epochs=record.trial.algorithm.epochs)
        if record.trial.algorithm.stop == "converged" and record.trial.data.inputs == 1
        else record
        for key, record in records.items()
    }
    findings = {finding.claim: finding for finding in judge(EVERY, hit, setting)}
    for claim in ("time-order", "time-capacity", "time-size"):
        assert findings[claim].verdict == "inconclusive"
        assert "most trials never reached 100% within the budget" in findings[claim].reasons[0]
        assert findings[claim].censored >= setting.seeds
    assert findings["capacity-noise"].censored >= setting.seeds
    assert not findings["capacity-noise"].reasons


def test_a_run_that_is_censored_now_and_then_counts_as_its_budget(
    records: Mapping[str, Record], setting: Setting
) -> None:
    def time(outcome: str, epochs: int) -> float | None:
        hit = {
            key: replace(record, outcome=outcome, epochs=epochs)
            if record.trial.data.labels == 1 and record.trial.data.seed == 0
            else record
            for key, record in records.items()
        }
        [finding] = judge(["time-order"], hit, setting)
        return finding.parts[0].estimate

    assert time("budget", 60) == time("converged", 60)


class Spying(Records):
    """Records that note which trials a study asks for."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        super().__init__(records)
        self.asked: set[str] = set()

    def of(self, trial: Trial) -> Record | None:
        self.asked.add(trial.key)
        return super().of(trial)


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_reads_what_it_plans_and_nothing_else(
    records: Mapping[str, Record], setting: Setting, study
) -> None:
    spy = Spying(records)
    study.judge(spy, setting)
    study.figures(spy, setting)
    assert spy.asked == {trial.key for trial in study.plan(setting, Records(records))}


def test_gaps_have_the_shape_of_a_value(setting: Setting) -> None:
    trials = dynamics.trials(setting, KINDS[0])
    gaps = read(Records({}), trials, lambda record: np.zeros((2, 3)), (2, 3))
    assert gaps.shape == (setting.seeds, 2, 3)
    assert np.isnan(gaps).all()
    assert tally(Records({}), [*trials, *trials]).failed == setting.seeds


def test_a_slope_is_that_of_the_line_and_gaps_stay_gaps() -> None:
    x = np.array([0.0, 0.25, 1.0])
    y = np.stack([2 + 3 * x, np.array([1.0, np.nan, 1.0])])
    np.testing.assert_allclose(slope(x, y), [3.0, np.nan])


def test_points_are_means_with_a_t_interval_over_the_seeds_that_have_a_value() -> None:
    y = np.array([[1.0, np.nan], [2.0, np.nan], [3.0, 4.0], [np.nan, 8.0]])
    full, pair = mean_points("panel", "series", (10, 20), y)
    # Student's t with 2 degrees of freedom: 4.303 standard errors of 1 / sqrt(3).
    assert (full.x, full.y) == (10, 2.0)
    assert (full.low, full.high) == pytest.approx(
        (2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5), abs=1e-3
    )
    assert (pair.y, pair.low, pair.high) == (6.0, None, None)
    assert mean_points("", "", (1,), np.full((3, 1), np.nan)) == []
    [logged] = mean_points("", "", (1,), np.array([[1.0], [100.0]]), log=True)
    assert logged.y == pytest.approx(10.0)
