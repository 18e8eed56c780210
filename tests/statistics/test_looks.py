"""However often one looks at the data, a claim that is false is supported in at most 5% of runs."""

import os
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import stats

from byheart.statistics.decide import decide
from byheart.statistics.inference import sign_flip_p
from byheart.statistics.looks import look_seeds, share_of_look
from byheart.statistics.verdict import ALPHA, Criterion, Evidence, Rule

RUNS = int(os.environ.get("BYHEART_RUNS", "60"))
"""Simulated studies; a change of the looks should be tried with 2000."""
LOOKS = look_seeds(6, 24) if RUNS < 1000 else look_seeds(12, 48)
TINY = 1e-6
"""A smallest effect that protects nothing: the tests alone must keep the error rate."""
Draw = Callable[[np.random.Generator, int], np.ndarray]
Claim = tuple[str, Rule, dict[str, np.ndarray]]

pytestmark = pytest.mark.usefixtures("only_verdicts")


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=n)


def skewed_arms(rng: np.random.Generator, n: int) -> np.ndarray:
    """Draw the difference of two arms that are alike, and skewed."""
    return rng.lognormal(size=n) - rng.lognormal(size=n)


def false_claims(rng: np.random.Generator, draw: Draw, n: int) -> list[Claim]:
    """Return claims whose rule does not hold, with n values per criterion."""
    true = 50.0 + draw(rng, n)
    one_of_two = Rule((Criterion("true", "above", TINY), Criterion("false", "above", TINY)))
    either = Rule((Criterion("a", "differs", TINY), Criterion("b", "differs", TINY)), "any")
    return [
        ("above", Rule((Criterion("c", "above", TINY),)), {"c": draw(rng, n)}),
        ("one of two", one_of_two, {"true": true, "false": draw(rng, n)}),
        ("either", either, {"a": draw(rng, n), "b": draw(rng, n)}),
        ("within", Rule((Criterion("c", "within", 2.0),)), {"c": 2.0 + draw(rng, n)}),
    ]


def supported(claims: Sequence[Claim], looks: Sequence[int]) -> set[str]:
    """Return the claims that are supported after the looks; decided claims get no more seeds."""
    seeds = dict.fromkeys((name for name, _, _ in claims), 0)
    shares: dict[str, float] = {}
    verdicts = dict.fromkeys(seeds, "inconclusive")
    for look, n in enumerate(looks, 1):
        for name in [name for name, verdict in verdicts.items() if verdict == "inconclusive"]:
            seeds[name], shares[name] = n, share_of_look(look)
        cases = [
            (name, rule, Evidence({key: v[: seeds[name]] for key, v in values.items()}))
            for name, rule, values in claims
        ]
        judged = decide(cases, shares)
        verdicts = {case[0]: found.verdict for case, found in zip(cases, judged, strict=True)}
    return {name for name, verdict in verdicts.items() if verdict == "supported"}


@pytest.mark.parametrize("draw", [normal, pytest.param(skewed_arms, marks=pytest.mark.slow)])
def test_no_false_claim_is_supported_in_more_than_5_percent_of_studies(draw: Draw) -> None:
    rng = np.random.default_rng(15)
    wrong = sum(bool(supported(false_claims(rng, draw, LOOKS[-1]), LOOKS)) for _ in range(RUNS))
    assert wrong <= stats.binom(RUNS, ALPHA).ppf(0.98), f"{wrong} of {RUNS}"


def test_shared_looks_keep_the_error_rate_that_plain_looks_exceed() -> None:
    rng, runs, looks = np.random.default_rng(0), 1500, look_seeds(6, 24)
    plain = shared = 0
    for _ in range(runs):
        values = rng.normal(size=looks[-1])
        p_values = [sign_flip_p(values[:n]) for n in looks]
        plain += min(p_values) <= ALPHA
        shared += any(p <= ALPHA * share_of_look(look) for look, p in enumerate(p_values, 1))
    assert shared / runs <= ALPHA
    assert plain / runs > ALPHA + 2 * (ALPHA * (1 - ALPHA) / runs) ** 0.5


def test_an_effect_that_twelve_seeds_miss_is_found_at_a_later_look() -> None:
    rule = Rule((Criterion("c", "above", 0.3),))
    rng = np.random.default_rng(1)
    claims = [(f"{i}", rule, {"c": 0.6 + rng.normal(size=48)}) for i in range(8)]
    assert len(supported(claims, look_seeds(12, 12))) <= 2
    assert len(supported(claims, look_seeds(12, 48))) >= 6


@pytest.mark.parametrize(
    ("first", "most", "looks"),
    [(12, 48, (12, 24, 48)), (12, 47, (12, 24)), (12, 12, (12,)), (3, 30, (3, 6, 12, 24))],
)
def test_each_look_has_twice_the_seeds_of_the_last(
    first: int, most: int, looks: tuple[int, ...]
) -> None:
    assert look_seeds(first, most) == looks


def test_the_shares_of_all_looks_add_up_to_less_than_1() -> None:
    assert sum(share_of_look(look) for look in range(1, 40)) < 1.0
