"""Judge claims from per-seed values, by rules declared before the data are seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from byheart.statistics.inference import bca_interval, holm, sign_flip_p

Verdict = Literal["supported", "contradicted", "inconclusive"]
ALPHA = 0.05
FEWEST_SEEDS = 3


@dataclass(frozen=True)
class Criterion:
    """One measured quantity of a claim, and the range it must lie in.

    Attributes:
        name: the quantity, measured per seed.
        kind: ``above`` or ``below`` the null by the smallest effect, ``within`` the smallest effect
            of the null, or different from it in either direction (``differs``).
        smallest: the smallest effect that counts, in the unit of the values.
        null: the value without the effect.
        unit: unit of the values.
    """

    name: str
    kind: Literal["above", "below", "within", "differs"]
    smallest: float
    null: float = 0.0
    unit: str = ""

    def describe(self) -> str:
        """Return the criterion in words."""
        unit = f" {self.unit}" if self.unit else ""
        low, high = self.null - self.smallest, self.null + self.smallest
        match self.kind:
            case "above":
                return f"{self.name} above {self.null:g}, by {self.smallest:g}{unit} or more"
            case "below":
                return f"{self.name} below {self.null:g}, by {self.smallest:g}{unit} or more"
            case "within":
                return f"{self.name} between {low:g} and {high:g}{unit}"
            case "differs":
                return f"{self.name} away from {self.null:g}, by {self.smallest:g}{unit} or more"


@dataclass(frozen=True)
class Rule:
    """The criteria of a claim: ``all`` must hold, or ``any`` one of them."""

    criteria: tuple[Criterion, ...]
    combine: Literal["all", "any"] = "all"

    def describe(self) -> str:
        """Return the rule in words."""
        joint = "; and " if self.combine == "all" else "; or "
        return joint.join(criterion.describe() for criterion in self.criteria)


@dataclass(frozen=True)
class Evidence:
    """Per-seed values for the criteria of a claim.

    Attributes:
        values: for each criterion's name, one value per seed; NaN if a seed gave none.
        censored: number of trials that never reached the 100% training accuracy of the claim.
        diverged: number of trials whose loss was no longer finite.
        failed: number of trials that ended with an error.
        note: a remark for the reader, in a sentence.
        undecidable: why no verdict can be given ("most trials were censored"); empty if one can.
        bounds: lower and upper limits per seed, for a criterion whose values are only known to lie
            between them. They do not change the verdict; they only test its robustness.
    """

    values: Mapping[str, NDArray[np.float64]]
    censored: int = 0
    diverged: int = 0
    failed: int = 0
    note: str = ""
    undecidable: str = ""
    bounds: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = field(
        default_factory=dict
    )


@dataclass(frozen=True)
class SensitivityToBounds:
    """The range of a criterion's estimate, if each value may lie anywhere between its bounds.

    Attributes:
        low: mean over seeds of the lower limits.
        high: mean over seeds of the upper limits.
        ci: lower 95% limit of ``low`` and upper 95% limit of ``high``.
        stands: both the lower and the upper limits give the same verdict as the values.
    """

    low: float
    high: float
    ci: tuple[float, float]
    stands: bool


@dataclass(frozen=True)
class CriterionResult:
    """The result of one criterion.

    Attributes:
        criterion: the criterion.
        n: number of seeds with a value.
        estimate: mean over seeds; None without a value.
        ci: its 95% interval; None for fewer than :data:`FEWEST_SEEDS` seeds.
        p: p value of the side on which the estimate lies.
        claimed: the estimate lies on the claimed side.
        corrected: interval at the level that Holm's correction leaves.
        verdict: the verdict on this criterion alone, after the correction.
        bracket: see :class:`SensitivityToBounds`; None without bounds.
    """

    criterion: Criterion
    n: int
    estimate: float | None
    ci: tuple[float, float] | None
    p: float
    claimed: bool
    corrected: tuple[float, float] | None = None
    verdict: Verdict = "inconclusive"
    bracket: SensitivityToBounds | None = None


@dataclass(frozen=True)
class CloseCall:
    """The verdict changes if the estimates move by one standard error.

    Attributes:
        toward: True if they move toward the claim, False if away from it.
        verdict: the verdict after the move.
    """

    toward: bool
    verdict: Verdict


@dataclass(frozen=True)
class Judgement:
    """The verdict on a claim, with the results of its criteria.

    Attributes:
        parts: results of the criteria.
        decisive: among the parts with the claim's verdict (if no part has it: among all), the
            weakest under ``all`` and the strongest under ``any``.
        p: p value of the claim.
        p_holm: p after Holm's correction over the claims.
        level: confidence level of the corrected intervals.
        verdict: the verdict.
        reasons: why no verdict can be given; empty otherwise.
        close_call: see :class:`CloseCall`; None if the verdict is stable.
    """

    parts: tuple[CriterionResult, ...]
    decisive: CriterionResult
    p: float
    p_holm: float
    level: float
    verdict: Verdict
    reasons: tuple[str, ...] = field(default=())
    close_call: CloseCall | None = None


def decide(cases: Sequence[tuple[str, Rule, Evidence]]) -> list[Judgement]:
    """Judge all claims of one run, with Holm's correction over them.

    A claim combined by ``all`` is an intersection-union test: its p is the largest p of its
    parts if all estimates lie on the claimed side, else the smallest p of the parts on the other
    side, times the number of parts. For ``any`` the two sides change
    places. A verdict needs the corrected p below 0.05, the corrected interval on its side of the
    null, and the smallest effect.

    Args:
        cases: for each claim its id, its rule and its evidence.

    Returns:
        One judgement per claim, in order.

    Source: Holm (1979); Berger (1982) for intersection-union tests; Schuirmann (1987) for the two
    one-sided tests behind ``within``.
    """
    parts = [
        [_measure(claim, criterion, evidence) for criterion in rule.criteria]
        for claim, rule, evidence in cases
    ]
    p_values = [
        _combined_p(claim_parts, rule)
        for claim_parts, (_, rule, _) in zip(parts, cases, strict=True)
    ]
    adjusted, levels = holm(p_values, alpha=ALPHA)
    judgements = [
        _judge(case, claim_parts, p, p_holm, level, claims=len(cases))
        for case, claim_parts, p, p_holm, level in zip(
            cases, parts, p_values, adjusted.tolist(), levels.tolist(), strict=True
        )
    ]
    return [
        replace(
            judgement,
            close_call=_close_call(index, cases, parts[index], p_values, judgement.verdict),
        )
        for index, judgement in enumerate(judgements)
    ]


def _usable(evidence: Evidence, criterion: Criterion) -> NDArray[np.float64]:
    values = np.asarray(evidence.values[criterion.name], dtype=float)
    return np.asarray(values[np.isfinite(values)])


def _measure(claim: str, criterion: Criterion, evidence: Evidence) -> CriterionResult:
    values = _usable(evidence, criterion)
    n = len(values)
    if n < FEWEST_SEEDS:
        estimate = float(values.mean()) if n else None
        return CriterionResult(criterion, n, estimate, None, 1.0, claimed=False)
    name = f"{claim}/{criterion.name}"
    estimate = float(values.mean())
    p, claimed = _p_and_side(criterion, values, estimate, name)
    return CriterionResult(criterion, n, estimate, bca_interval(values, name=name), p, claimed)


def _p_and_side(
    criterion: Criterion, values: NDArray[np.float64], estimate: float, name: str
) -> tuple[float, bool]:
    null, smallest = criterion.null, criterion.smallest
    if criterion.kind in ("above", "below"):
        claimed = estimate > null if criterion.kind == "above" else estimate < null
        return sign_flip_p(values, null=null, name=name), claimed
    inside = abs(estimate - null) < smallest
    p_equivalence = max(
        sign_flip_p(values, null=null - smallest, alternative="greater", name=name),
        sign_flip_p(values, null=null + smallest, alternative="less", name=name),
    )
    if criterion.kind == "differs":
        return (p_equivalence if inside else sign_flip_p(values, null=null, name=name)), not inside
    edge = null + np.copysign(smallest, estimate - null)
    p_outside = sign_flip_p(values, null=edge, name=name)
    return (p_equivalence if inside else p_outside), inside


def _combined_p(parts: Sequence[CriterionResult], rule: Rule) -> float:
    """Return the p value of a claim, see :func:`decide`."""
    # One part on this side suffices for a verdict, so Bonferroni corrects its p.
    sufficient = [part.p for part in parts if _suffices(part, rule)]
    if sufficient:
        return min(1.0, len(parts) * min(sufficient))
    return max(part.p for part in parts)


def _suffices(part: CriterionResult, rule: Rule) -> bool:
    """Return whether this part alone decides: against ``all``, or in favour of ``any``."""
    return part.claimed == (rule.combine == "any")


def seeds_needed(claims: int) -> int:
    """Return the fewest seeds with which the sign-flip test can decide one of ``claims`` claims.

    Formula: the smallest n with 2^(1-n) <= alpha / m: n values on one side give p = 2^(1-n),
    and Holm requires p <= alpha / m of the smallest of m p values.
    """
    return 1 + math.ceil(math.log2(claims / ALPHA))


def _judge(
    case: tuple[str, Rule, Evidence],
    parts: Sequence[CriterionResult],
    p: float,
    p_holm: float,
    level: float,
    *,
    claims: int,
) -> Judgement:
    claim, rule, evidence = case
    # Where one part suffices for a verdict, Bonferroni divides alpha among the parts.
    bonferroni_level = 1.0 - (1.0 - level) / len(parts)
    judged = []
    for part in parts:
        part_level = bonferroni_level if _suffices(part, rule) else level
        judged.append(_judge_criterion(claim, part, evidence, part_level))
    reasons = [evidence.undecidable] if evidence.undecidable else []
    if min(part.n for part in judged) < FEWEST_SEEDS:
        reasons.append(f"fewer than {FEWEST_SEEDS} seeds gave a value")
    verdict: Verdict = "inconclusive"
    if not reasons and p_holm <= ALPHA:
        verdict = _combined([part.verdict for part in judged], rule)
    decisive = _deciding_part(judged, rule, verdict)
    if verdict == "inconclusive" and not reasons and decisive.n < seeds_needed(claims):
        count = f"{claims} claims" if claims > 1 else "a claim"
        reasons.append(f"{decisive.n} seeds cannot decide {count}: {seeds_needed(claims)} can")
    return Judgement(tuple(judged), decisive, p, p_holm, level, verdict, tuple(reasons))


def _combined(verdicts: Sequence[Verdict], rule: Rule) -> Verdict:
    """Return the verdict of a rule from those of its criteria."""
    if_any: Verdict = "contradicted" if rule.combine == "all" else "supported"
    if_all: Verdict = "supported" if rule.combine == "all" else "contradicted"
    if if_any in verdicts:
        return if_any
    return if_all if all(verdict == if_all for verdict in verdicts) else "inconclusive"


def _close_call(
    index: int,
    cases: Sequence[tuple[str, Rule, Evidence]],
    parts: Sequence[CriterionResult],
    p_values: Sequence[float],
    verdict: Verdict,
) -> CloseCall | None:
    """Return the different verdict within one standard error, if there is one.

    The values of each criterion are moved by the standard error of their mean, first all toward the
    claim, then all away from it, and the claim is judged again. Other claims keep their p values.
    """
    claim, rule, evidence = cases[index]
    if evidence.undecidable or min(part.n for part in parts) < FEWEST_SEEDS:
        return None
    for toward in (True, False):
        moved: dict[str, NDArray[np.float64]] = {}
        moved_parts = []
        for part in parts:
            criterion = part.criterion
            values = _moved(criterion, _usable(evidence, criterion), toward)
            estimate = float(values.mean())
            p, claimed = _p_and_side(criterion, values, estimate, f"{claim}/{criterion.name}")
            moved[criterion.name] = values
            moved_parts.append(replace(part, estimate=estimate, p=p, claimed=claimed))
        moved_p = list(p_values)
        moved_p[index] = _combined_p(moved_parts, rule)
        adjusted, levels = holm(moved_p, alpha=ALPHA)
        judgement = _judge(
            (claim, rule, Evidence(moved)),
            moved_parts,
            moved_p[index],
            float(adjusted[index]),
            float(levels[index]),
            claims=len(cases),
        )
        if judgement.verdict != verdict:
            return CloseCall(toward, judgement.verdict)
    return None


def _moved(criterion: Criterion, values: NDArray[np.float64], toward: bool) -> NDArray[np.float64]:
    """Return values moved by the standard error of their mean, toward the claim or away from it."""
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    above_null = values.mean() > criterion.null
    upward = {
        "above": True,
        "below": False,
        "within": not above_null,
        "differs": bool(above_null),
    }[criterion.kind]
    return values + error if upward == toward else values - error


def _judge_criterion(
    claim: str, part: CriterionResult, evidence: Evidence, level: float
) -> CriterionResult:
    if part.ci is None or part.estimate is None:
        return part
    criterion = part.criterion
    low, high = bca_interval(
        _usable(evidence, criterion), level=level, name=f"{claim}/{criterion.name}"
    )
    significant = part.p <= 1.0 - level + 1e-12
    verdict = (
        _verdict_from_interval(criterion, part.estimate, low, high)
        if significant
        else "inconclusive"
    )
    return replace(
        part,
        corrected=(low, high),
        verdict=verdict,
        bracket=_sensitivity_to_bounds(claim, part, evidence, level, verdict),
    )


def _sensitivity_to_bounds(
    claim: str, part: CriterionResult, evidence: Evidence, level: float, verdict: Verdict
) -> SensitivityToBounds | None:
    criterion, estimate = part.criterion, part.estimate
    if criterion.name not in evidence.bounds or estimate is None:
        return None
    pair = np.stack([np.asarray(end, dtype=float) for end in evidence.bounds[criterion.name]])
    extremes = pair[:, np.isfinite(pair).all(axis=0)]
    if extremes.shape[1] < FEWEST_SEEDS:
        return None
    ends, verdicts = [], []
    for side, values in zip(("smallest", "largest"), extremes, strict=True):
        name = f"{claim}/{criterion.name}/{side}"
        mean = float(values.mean())
        p, _ = _p_and_side(criterion, values, mean, name)
        corrected = bca_interval(values, level=level, name=name)
        extreme_verdict: Verdict = "inconclusive"
        if p <= 1.0 - level + 1e-12:
            extreme_verdict = _verdict_from_interval(criterion, mean, *corrected)
        verdicts.append(extreme_verdict)
        ends.append((mean, bca_interval(values, name=name)))
    (low, low_ci), (high, high_ci) = ends
    stands = all(extreme == verdict for extreme in verdicts)
    # min and max: rounding must not put the estimate outside the range.
    return SensitivityToBounds(
        min(low, estimate), max(high, estimate), (low_ci[0], high_ci[1]), stands
    )


def _verdict_from_interval(
    criterion: Criterion, estimate: float, low: float, high: float
) -> Verdict:
    null, smallest = criterion.null, criterion.smallest
    above = low > null and estimate >= null + smallest
    below = high < null and estimate <= null - smallest
    inside = low > null - smallest and high < null + smallest
    match criterion.kind:
        case "above":
            claimed, against = above, below
        case "below":
            claimed, against = below, above
        case "within":
            claimed = inside
            against = low > null + smallest or high < null - smallest
        case "differs":
            claimed, against = above or below, inside
    return "supported" if claimed else "contradicted" if against else "inconclusive"


def _deciding_part(
    parts: Sequence[CriterionResult], rule: Rule, verdict: Verdict
) -> CriterionResult:
    def effect_in_smallest_effects(part: CriterionResult) -> float:
        if part.estimate is None:
            return -np.inf
        distance = (part.estimate - part.criterion.null) / part.criterion.smallest
        match part.criterion.kind:
            case "above":
                return distance
            case "below":
                return -distance
            case "within":
                return 1.0 - abs(distance)
            case "differs":
                return abs(distance)

    agreeing = [part for part in parts if part.verdict == verdict]
    return (min if rule.combine == "all" else max)(
        agreeing or parts, key=effect_in_smallest_effects
    )
