"""On data where a claim is false by construction it is hardly ever supported; if true, it is."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from tests.studies.planted import over_dispersed, planted
from tests.studies.simulated import Change, Pool, changed

from byheart.record import Record
from byheart.statistics.decide import Judgement, decide
from byheart.statistics.verdict import ALPHA, Evidence, Rule
from byheart.studies import judging
from byheart.studies.registry import claims, studies_of
from byheart.trial import Trial

RUNS = int(os.environ.get("BYHEART_RUNS", "20"))
"""Simulated runs; a change of the statistics should be tried with 200."""
MOST = int(stats.binom(RUNS, 0.05).ppf(0.98))
"""Verdicts "supported" that an error rate of 5% gives at most, in 98 of 100 tests."""
EVERY = tuple(claim.id for claim in claims())
OVER_TIME = ("patterns-first", "csr-growth", "csr-train-fall", "csr-memorization")

Verdicts = Counter[tuple[str, str]]
Case = tuple[str, Rule, Evidence]

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("only_verdicts")]


def simulate(
    pool: Pool,
    chosen: Sequence[str],
    runs: int,
    change: Change | None = None,
) -> tuple[Verdicts, Verdicts]:
    """Count (claim, verdict) over runs: all claims judged together, and each by itself."""
    rng = np.random.default_rng(2017)
    studies = studies_of(chosen)
    together, alone = Verdicts(), Verdicts()
    cases: dict[str, Case] = {}

    def noting(judged: Sequence[Case], shares: Mapping[str, float]) -> list[Judgement]:
        cases.update({case[0]: case for case in judged})
        return decide(judged, shares)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "decide", noting)
        for _ in range(runs):
            for finding in judging.judge(chosen, pool.null_run(studies, rng, change), pool.setting):
                together[finding.claim, finding.verdict] += 1
                # Without Holm's correction too, p above 0.05 is inconclusive whatever else holds.
                verdict = finding.verdict
                if len(chosen) > 1 and finding.p <= ALPHA:
                    [judgement] = decide([cases[finding.claim]])
                    verdict = judgement.verdict
                alone[finding.claim, verdict] += 1
    return together, alone


def supported(verdicts: Verdicts, chosen: Sequence[str]) -> dict[str, int]:
    return {claim: verdicts[claim, "supported"] for claim in chosen}


def assert_hardly_ever_supported(pool: Pool, chosen: Sequence[str], change: Change | None) -> None:
    for verdicts in simulate(pool, chosen, RUNS, change):
        counts = supported(verdicts, chosen)
        assert all(count <= MOST for count in counts.values()), counts


def over_time_shuffled(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
    """Deal the checkpoints of a network anew: nothing grows, peaks, falls or settles."""
    validation, critical = (
        record.arrays[name] for name in ("accuracy.validation", "critical.validation")
    )
    order = rng.permutation(len(critical))
    return changed(
        record,
        accuracy_validation=rng.permutation(validation),
        critical_validation=critical[order],
        critical_train=record.arrays["critical.train"][order],
    )


def any_time_of(times: Sequence[Record]) -> Change:
    """Return what gives every network, of whatever width and size, the time of one of these."""

    def change(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
        drawn = times[int(rng.integers(len(times)))]
        return replace(record, epochs=drawn.epochs, outcome=drawn.outcome)

    return change


def test_real_against_real_supports_no_contrast(pool: Pool) -> None:
    # Some claims are true of real data: on a network this small they are about binomial, norms
    # agree on any data, and filters are compared with their initialisation.
    true = ("randx-binomial", "sensitivity-norm", "first-layer")
    # These compare a regularizer with none, which differ on whatever labels.
    true += ("regularizer-gap", "dropout-best")
    chosen = [claim for claim in EVERY if claim not in true]
    assert_hardly_ever_supported(pool, chosen, None)


def test_checkpoints_in_no_order_support_no_course_of_time(pool: Pool) -> None:
    assert_hardly_ever_supported(pool, OVER_TIME, over_time_shuffled)


def test_times_that_depend_on_nothing_support_no_slope(pool: Pool) -> None:
    change = any_time_of(pool.records(hidden=(16, 16), train=60, epochs=60))
    assert_hardly_ever_supported(pool, ("time-order", "time-capacity", "time-size"), change)


def test_a_spread_beyond_the_bound_is_hardly_ever_called_binomial(pool: Pool) -> None:
    def change(record: Record, trial: Trial, rng: np.random.Generator) -> Record:
        return over_dispersed(record, trial, 1.35, rng)

    assert_hardly_ever_supported(pool, ("randx-binomial",), change)


def test_planted_effects_are_found_by_all_claims_together(pool: Pool) -> None:
    runs = 4
    together, _ = simulate(pool, EVERY, runs, planted(1))
    counts = supported(together, EVERY)
    assert all(count >= 0.8 * runs for count in counts.values()), counts


@pytest.mark.parametrize("claim", EVERY)
def test_a_planted_effect_is_found_by_each_claim_alone(pool: Pool, claim: str) -> None:
    _, alone = simulate(pool, (claim,), 3, planted(1))
    assert supported(alone, (claim,)) == {claim: 3}


@pytest.mark.parametrize("claim", EVERY)
def test_the_opposite_of_the_effect_contradicts_each_claim_alone(pool: Pool, claim: str) -> None:
    _, alone = simulate(pool, (claim,), 3, planted(-1))
    assert alone == {(claim, "contradicted"): 3}
