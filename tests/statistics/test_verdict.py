"""From values per seed to a verdict: every kind of rule, every way to come out."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.statistics import inference
from byheart.statistics.decide import Judgement, decide
from byheart.statistics.power import POWER, fewest_seeds, power
from byheart.statistics.verdict import ALPHA, Criterion, Evidence, Rule

NOISE = np.array([0.3, -0.2, 0.1, -0.4, 0.2, -0.1, 0.4, -0.3, 0.05, -0.05])
"""Ten values around 0: their mean is 0, and as many lie above as below."""
WORDS = {"above": "above 0, by 1", "below": "below 0, by 1", "within": "between -1 and 1",
         "differs": "away from 0, by 1"}  # fmt: skip
SUPPORTED, CONTRADICTED, INCONCLUSIVE = "supported", "contradicted", "inconclusive"


@pytest.fixture(autouse=True)
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "RESAMPLES", 999)


def judge(kind: str, *centres: float, combine: str = "all", spread: float = 1.0) -> Judgement:
    """Judge one claim with a criterion for each centre of its ten values; smallest effect 1."""
    criteria = tuple(Criterion(f"c{i}", kind, 1.0) for i in range(len(centres)))
    values = {f"c{i}": centre + spread * NOISE for i, centre in enumerate(centres)}
    return decide([("claim", Rule(criteria, combine), Evidence(values))])[0]


@pytest.mark.parametrize(
    ("kind", "centre", "verdict"),
    [
        ("above", 2.0, SUPPORTED),
        ("above", -2.0, CONTRADICTED),
        ("above", 0.0, CONTRADICTED),
        ("above", 0.95, INCONCLUSIVE),
        ("below", -2.0, SUPPORTED),
        ("below", 2.0, CONTRADICTED),
        ("below", 0.0, CONTRADICTED),
        ("below", -0.95, INCONCLUSIVE),
        ("within", 0.1, SUPPORTED),
        ("within", 2.0, CONTRADICTED),
        ("within", -2.0, CONTRADICTED),
        ("within", 1.0, INCONCLUSIVE),
        ("within", 0.95, INCONCLUSIVE),
        ("differs", 2.0, SUPPORTED),
        ("differs", -2.0, SUPPORTED),
        ("differs", 0.1, CONTRADICTED),
        ("differs", 0.95, INCONCLUSIVE),
    ],
)
def test_each_kind_of_criterion_has_three_outcomes(kind: str, centre: float, verdict: str) -> None:
    assert judge(kind, centre).verdict == verdict


@pytest.mark.parametrize("kind", ["above", "below"])
@pytest.mark.parametrize("centre", [0.7, 0.0, -0.7])
def test_an_effect_below_the_smallest_that_counts_contradicts(kind: str, centre: float) -> None:
    found = judge(kind, centre if kind == "above" else -centre)
    assert found.verdict == CONTRADICTED
    assert not found.decisive.opposite


@pytest.mark.parametrize(("kind", "centre"), [("above", -2.0), ("below", 2.0), ("within", 2.0)])
def test_an_opposite_effect_is_told_from_none(kind: str, centre: float) -> None:
    assert judge(kind, centre).decisive.opposite


def test_a_large_effect_that_is_not_significant_decides_nothing() -> None:
    found = judge("above", 2.0, spread=12.0)
    assert found.decisive.estimate == pytest.approx(2.0)
    assert found.verdict == INCONCLUSIVE


@pytest.mark.parametrize(
    ("combine", "centres", "verdict"),
    [
        ("all", (2, 2), SUPPORTED),
        ("all", (2, 0.95), INCONCLUSIVE),
        ("all", (2, 0), CONTRADICTED),
        ("all", (0, 0.95), CONTRADICTED),
        ("all", (-2, -2), CONTRADICTED),
        ("any", (2, 2), SUPPORTED),
        ("any", (2, 0), SUPPORTED),
        ("any", (2, 0.95), SUPPORTED),
        ("any", (0, 0.95), INCONCLUSIVE),
        ("any", (0, -2), CONTRADICTED),
    ],
)
def test_all_needs_every_criterion_and_any_needs_one(
    combine: str, centres: tuple[float, ...], verdict: str
) -> None:
    assert judge("above", *centres, combine=combine).verdict == verdict


@pytest.mark.parametrize("centres", [*itertools.combinations_with_replacement((0.0, 0.95, 2.0), 2)])
def test_all_and_any_are_mirror_images(centres: tuple[float, ...]) -> None:
    mirrored = {SUPPORTED: CONTRADICTED, CONTRADICTED: SUPPORTED, INCONCLUSIVE: INCONCLUSIVE}
    together = judge("within", *centres, combine="all")
    # "differs" tests the null itself, so effects between it and the smallest have another p.
    apart = judge("differs", *(2 * c if c > 1 else c for c in centres), combine="any")
    assert apart.verdict == mirrored[together.verdict]


def test_p_of_all_is_the_largest_where_all_hold() -> None:
    found = judge("above", 2.0, 1.1, spread=8.0)
    assert found.p == max(part.p for part in found.parts)


def test_p_of_all_pays_for_the_number_of_criteria_that_could_have_failed() -> None:
    found = judge("above", 2.0, -2.0, 0.1)
    against = found.parts[1]
    assert found.p == pytest.approx(3 * against.p)
    assert against.verdict == CONTRADICTED


@pytest.mark.parametrize(
    ("centres", "spreads", "verdict", "decisive"),
    [
        ((3, 2), (1, 1), SUPPORTED, 1),
        ((2, 0.9), (1, 1), INCONCLUSIVE, 1),
        # The first part is weaker than none but the noisy second, which alone keeps it undecided.
        ((1.5, 3), (1, 30), INCONCLUSIVE, 1),
        # A noisy part lies further on the other side than the one that contradicts.
        ((-5, -2), (60, 1), CONTRADICTED, 1),
    ],
)
def test_the_part_that_is_shown_shares_the_verdict(
    centres: tuple[float, ...], spreads: tuple[float, ...], verdict: str, decisive: int
) -> None:
    criteria = tuple(Criterion(f"c{i}", "above", 1.0) for i in range(2))
    values = {
        f"c{i}": centre + spread * NOISE
        for i, (centre, spread) in enumerate(zip(centres, spreads, strict=True))
    }
    [found] = decide([("claim", Rule(criteria), Evidence(values))])
    assert found.verdict == verdict
    assert found.decisive is found.parts[decisive]
    assert found.decisive.verdict == verdict


def test_holm_takes_all_claims_of_the_run_into_account() -> None:
    rule = Rule((Criterion("c0", "above", 0.01),))
    weak = ("weak", rule, Evidence({"c0": 0.22 + NOISE}))
    [alone] = decide([weak])
    assert ALPHA / 2 < alone.p <= ALPHA
    assert alone.verdict == SUPPORTED
    first, second = decide([weak, ("other", rule, Evidence({"c0": 0.22 + NOISE}))])
    assert first.verdict == second.verdict == INCONCLUSIVE
    assert first.p_holm == pytest.approx(2 * alone.p)
    low, high = first.decisive.corrected
    assert low < alone.decisive.ci[0]
    assert high > alone.decisive.ci[1]


def test_a_strong_claim_hands_its_share_of_the_error_on() -> None:
    rule = Rule((Criterion("c0", "above", 0.01),))
    weak = ("weak", rule, Evidence({"c0": 0.22 + NOISE}))
    strong = ("strong", rule, Evidence({"c0": 3 + NOISE}))
    assert [one.verdict for one in decide([weak, strong])] == [SUPPORTED, SUPPORTED]


def test_no_part_is_called_supported_where_holm_stopped_before() -> None:
    rule = Rule((Criterion("c0", "above", 0.01),))
    cases = [(name, rule, Evidence({"c0": shift + NOISE})) for name, shift in
             (("first", 0.22), ("second", 0.21))]  # fmt: skip
    for found in decide(cases):
        assert found.p <= ALPHA < found.p_holm
        assert [part.verdict for part in found.parts] == [INCONCLUSIVE]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["above", "below", "within", "differs"]),
            st.sampled_from(["all", "any"]),
            st.lists(st.floats(-3, 3), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_parts_claims_and_p_values_agree(claims: list[tuple[str, str, list[float]]]) -> None:
    cases = []
    for index, (kind, combine, centres) in enumerate(claims):
        criteria = tuple(Criterion(f"c{i}", kind, 1.0) for i in range(len(centres)))
        values = {f"c{i}": np.round(centre + NOISE, 6) for i, centre in enumerate(centres)}
        cases.append((f"claim {index}", Rule(criteria, combine), Evidence(values)))
    for (_, rule, _), found in zip(cases, decide(cases), strict=True):
        verdicts = {part.verdict for part in found.parts}
        if found.verdict != INCONCLUSIVE:
            assert found.p_holm <= ALPHA
            assert found.decisive.verdict == found.verdict
        for_all = SUPPORTED if rule.combine == "all" else CONTRADICTED
        if found.verdict == for_all:
            assert verdicts == {for_all}
        if len(found.parts) == 1 and found.p_holm > ALPHA:
            assert verdicts == {INCONCLUSIVE}
        for part in found.parts:
            if part.verdict != INCONCLUSIVE:
                assert part.p <= ALPHA


def test_seeds_without_a_value_are_left_out_and_counted() -> None:
    values = np.concatenate([2 + NOISE, [np.nan, np.nan, np.inf]])
    rule = Rule((Criterion("c0", "above", 1.0),))
    [found] = decide([("claim", rule, Evidence({"c0": values}))])
    assert found.decisive.n == 10
    assert found.decisive.estimate == pytest.approx(2.0)
    assert found.verdict == SUPPORTED


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_seeds_give_a_reason_and_no_verdict(n: int) -> None:
    values = np.where(np.arange(10) < n, 5.0, np.nan)
    rule = Rule((Criterion("good", "above", 1.0), Criterion("bad", "above", 1.0)))
    [found] = decide([("claim", rule, Evidence({"good": 5 + NOISE, "bad": values}))])
    assert found.verdict == INCONCLUSIVE
    assert found.reasons[0] == "fewer than 3 seeds gave a value"
    assert found.decisive.criterion.name == "bad"
    assert (found.decisive.n, found.decisive.ci, found.p) == (n, None, 1.0)
    assert found.decisive.estimate == (5.0 if n else None)


@pytest.mark.parametrize("claims", [1, 2, 15])
def test_as_many_seeds_as_needed_decide_and_one_fewer_cannot(claims: int) -> None:
    rule = Rule((Criterion("c0", "above", 1.0),))

    def strongest(n: int) -> Judgement:
        far = Evidence({"c0": np.linspace(5, 6, n)})
        nothing = Evidence({"c0": np.tile([11.0, -9.0], n)[:n]})
        cases = [("far", rule, far)] + [(f"{i}", rule, nothing) for i in range(claims - 1)]
        return decide(cases)[0]

    assert strongest(fewest_seeds(ALPHA / claims)).verdict == SUPPORTED
    short = strongest(fewest_seeds(ALPHA / claims) - 1)
    assert short.verdict == INCONCLUSIVE
    assert f"{fewest_seeds(ALPHA / claims)} can" in short.reasons[0]


def test_evidence_that_cannot_be_decided_on_says_why() -> None:
    rule = Rule((Criterion("c0", "above", 1.0),))
    evidence = Evidence({"c0": 5 + NOISE}, undecidable="most trials were censored")
    [found] = decide([("claim", rule, evidence)])
    assert found.verdict == INCONCLUSIVE
    assert found.reasons == ("most trials were censored",)


def test_equal_values_need_no_bootstrap() -> None:
    rule = Rule((Criterion("c0", "above", 1.0),))
    [found] = decide([("claim", rule, Evidence({"c0": np.full(10, 2.0)}))])
    assert found.decisive.ci == (2.0, 2.0)
    assert found.verdict == SUPPORTED


@pytest.mark.parametrize(("kind", "words"), WORDS.items())
def test_a_rule_can_be_read(kind: str, words: str) -> None:
    criterion = Criterion("CSR", kind, 1.0, unit="points")
    assert criterion.describe().startswith(f"CSR {words}")
    assert "points" in criterion.describe()


def test_a_rule_joins_its_criteria_in_words() -> None:
    criteria = (Criterion("a", "above", 1.0), Criterion("b", "below", 1.0))
    for combine, joint in (("all", "; and "), ("any", "; or ")):
        words = joint.join(one.describe() for one in criteria)
        assert Rule(criteria, combine).describe() == words


def test_the_order_of_the_claims_does_not_change_their_verdicts() -> None:
    rule = Rule((Criterion("c0", "above", 0.1),))
    cases = [(f"{c}", rule, Evidence({"c0": c + NOISE})) for c in (2.0, 0.25, -2.0)]
    expected = {case[0]: found.verdict for case, found in zip(cases, decide(cases), strict=True)}
    for order in itertools.permutations(cases):
        for case, found in zip(order, decide(order), strict=True):
            assert found.verdict == expected[case[0]]


def bracketed(low: float, high: float, value: float = 2.0) -> Judgement:
    rule = Rule((Criterion("c", "above", 1.0),))
    bounds = {"c": (low + NOISE, high + NOISE)}
    return decide([("claim", rule, Evidence({"c": value + NOISE}, bounds=bounds))])[0]


@pytest.mark.parametrize(
    ("low", "high", "stands"), [(1.5, 3.0, True), (0.0, 3.0, False), (-3.0, 3.0, False)]
)
def test_a_bracket_says_whether_the_verdict_would_stand(
    low: float, high: float, stands: bool
) -> None:
    found = bracketed(low, high)
    bracket = found.decisive.bracket
    assert bracket is not None
    assert (bracket.low, bracket.high) == (pytest.approx(low), pytest.approx(high))
    assert bracket.ci[0] < low <= high < bracket.ci[1]
    assert bracket.stands is stands


def test_a_bracket_decides_nothing() -> None:
    plain = decide(
        [("claim", Rule((Criterion("c", "above", 1.0),)), Evidence({"c": 2.0 + NOISE}))]
    )[0]
    found = bracketed(-3.0, 3.0)
    assert (found.verdict, found.p, found.decisive.ci) == (
        plain.verdict, plain.p, plain.decisive.ci
    )  # fmt: skip


def test_seeds_without_a_bracket_leave_it_out() -> None:
    rule = Rule((Criterion("c", "above", 1.0),))
    unknown = np.full(len(NOISE), np.nan)
    found = decide([("c", rule, Evidence({"c": 2.0 + NOISE}, bounds={"c": (unknown, unknown)}))])
    assert found[0].decisive.bracket is None


@pytest.mark.parametrize(
    ("kind", "centre", "verdict", "close"),
    [
        ("above", 1.05, SUPPORTED, (False, INCONCLUSIVE)),
        ("above", 0.95, INCONCLUSIVE, (True, SUPPORTED)),
        ("above", 0.85, INCONCLUSIVE, (False, CONTRADICTED)),
        ("above", 0.75, CONTRADICTED, (True, INCONCLUSIVE)),
        ("below", -1.05, SUPPORTED, (False, INCONCLUSIVE)),
        ("within", 0.78, SUPPORTED, (False, INCONCLUSIVE)),
        ("within", -0.85, INCONCLUSIVE, (True, SUPPORTED)),
        ("differs", 1.05, SUPPORTED, (False, INCONCLUSIVE)),
        ("above", 2.0, SUPPORTED, None),
        ("above", 0.0, CONTRADICTED, None),
        ("below", -2.0, SUPPORTED, None),
        ("within", 0.1, SUPPORTED, None),
    ],
)
def test_a_verdict_that_another_standard_error_would_change_is_a_close_call(
    kind: str, centre: float, verdict: str, close: tuple[bool, str] | None
) -> None:
    judgement = judge(kind, centre)
    assert judgement.verdict == verdict
    call = judgement.close_call
    assert (call and (call.toward, call.verdict)) == close


@pytest.mark.parametrize(
    ("kind", "centre", "claimed"),
    [
        ("above", 1.2, True),
        ("below", -1.2, True),
        ("above", 0.4, False),
        ("within", 0.2, True),
        ("within", -2.0, False),
        ("differs", -1.2, True),
        ("differs", 0.2, False),
    ],
)
def test_the_predicted_power_is_about_the_share_of_runs_with_a_verdict(
    kind: str, centre: float, claimed: bool
) -> None:
    criterion, rng, runs = Criterion("c", kind, 1.0), np.random.default_rng(0), 120
    values = np.array([-1.0, 1.0] * 10)
    values += centre - values.mean()
    candidates = np.arange(5, 1001)
    predicted = power(criterion, values, claimed=claimed, level=0.95, seeds=candidates)
    at = int(np.flatnonzero(predicted >= POWER)[0])
    wanted = SUPPORTED if claimed else CONTRADICTED
    decided = 0
    for run in range(runs):
        draws = rng.normal(centre, values.std(ddof=1), candidates[at])
        [found] = decide([(f"{run}", Rule((criterion,)), Evidence({"c": draws}))])
        decided += found.verdict == wanted
    assert decided / runs == pytest.approx(POWER, abs=0.13)


def test_an_open_claim_says_how_many_seeds_would_decide_it() -> None:
    found = judge("above", 1.2, spread=8.0)
    assert found.verdict == INCONCLUSIVE
    assert found.seeds_needed is not None
    assert found.reasons == (
        f"too few seeds: about {found.seeds_needed} would decide with 80% power",
    )
    larger = np.tile(1.2 + 8.0 * NOISE, found.seeds_needed // len(NOISE) + 1)
    [decided] = decide(
        [("claim", Rule((Criterion("c0", "above", 1.0),)), Evidence({"c0": larger}))]
    )
    assert decided.verdict == SUPPORTED


def test_the_criterion_that_needs_the_most_seeds_is_named() -> None:
    criteria = (Criterion("clear", "above", 1.0), Criterion("vague", "above", 1.0))
    values = {"clear": 3 + NOISE, "vague": 1.2 + 8 * NOISE}
    [found] = decide([("claim", Rule(criteria), Evidence(values))])
    assert found.reasons[0].startswith("too few seeds for 'vague': about ")


def test_an_effect_at_its_limit_needs_more_seeds_than_anyone_has() -> None:
    found = judge("above", 1.0, spread=10.0)
    assert found.seeds_needed is None
    assert found.reasons == ("the effect lies at its limit: more than 1,000 seeds needed",)


def test_an_open_claim_on_a_narrow_range_says_so_and_a_decided_one_does_not() -> None:
    rule = Rule((Criterion("c", "above", 1.0),))
    narrow = "tried up to 100 examples"
    for values, reasons in ((1.2 + 8 * NOISE, [narrow]), (3 + NOISE, [])):
        [found] = decide([("claim", rule, Evidence({"c": values}, narrow=narrow))])
        assert list(found.reasons[1:]) == reasons


def test_a_claim_with_half_of_the_error_rate_needs_half_the_p() -> None:
    rule = Rule((Criterion("c0", "above", 0.01),))
    case = ("claim", rule, Evidence({"c0": 0.22 + NOISE}))
    [whole], [half] = decide([case]), decide([case], {"claim": 0.5})
    assert (whole.verdict, half.verdict) == (SUPPORTED, INCONCLUSIVE)
    assert half.p == whole.p
    assert half.p_holm == pytest.approx(2 * whole.p_holm)
    assert half.level == pytest.approx(0.975)
    assert half.decisive.corrected[0] < whole.decisive.corrected[0]
