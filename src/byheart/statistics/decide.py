"""Judge the claims of a run together, with Holm's correction over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from byheart.statistics.inference import holm
from byheart.statistics.power import MOST_SEEDS, POWER, fewest_seeds, power
from byheart.statistics.verdict import (
    ALPHA,
    FEWEST_SEEDS,
    Criterion,
    CriterionResult,
    Evidence,
    Rule,
    Verdict,
    judge_criterion,
    measure_criterion,
    p_and_side,
    usable,
)

Case = tuple[str, Rule, Evidence]
"""Id of a claim, its rule and its evidence."""


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
        reasons: what is in the way of a verdict; empty if there is one.
        seeds_needed: seeds that would decide the claim with 80% power at the observed effects and
            spreads; None if it is decided, cannot be decided, or needs more than 1,000 seeds.
        close_call: see :class:`CloseCall`; None if the verdict is stable.
    """

    parts: tuple[CriterionResult, ...]
    decisive: CriterionResult
    p: float
    p_holm: float
    level: float
    verdict: Verdict
    reasons: tuple[str, ...] = field(default=())
    seeds_needed: int | None = None
    close_call: CloseCall | None = None


NO_SHARES: Mapping[str, float] = {}


def decide(cases: Sequence[Case], shares: Mapping[str, float] = NO_SHARES) -> list[Judgement]:
    """Judge all claims of one run, with Holm's correction over them.

    A claim combined by ``all`` is an intersection-union test: its p is the largest p of its
    parts if all estimates lie on the claimed side, else the smallest p of the parts on the other
    side, times the number of parts. For ``any`` the two sides change places. "Supported" needs the
    corrected p at 0.05 or below, the corrected interval on the claimed side of the null, and the
    smallest effect. "Contradicted" needs the same p, and the corrected interval short of the
    smallest effect.

    Args:
        cases: for each claim its id, its rule and its evidence.
        shares: share of the error rate that a claim may use at this look, by its id; 1 if absent.
            Its p is divided by the share: over all looks, the shares of a claim add up to at most
            1, so the corrected p keeps its error rate whenever the looks end.

    Returns:
        One judgement per claim, in order.

    Source: Holm (1979); Berger (1982) for intersection-union tests; Schuirmann (1987) for the two
    one-sided tests behind ``within``.
    """
    parts = [
        [measure_criterion(claim, criterion, evidence) for criterion in rule.criteria]
        for claim, rule, evidence in cases
    ]
    p_values = [
        _combined_p(claim_parts, rule)
        for claim_parts, (_, rule, _) in zip(parts, cases, strict=True)
    ]
    in_order = [shares.get(claim, 1.0) for claim, _, _ in cases]
    adjusted, levels = _holm(p_values, in_order)
    judgements = [
        _judge(case, claim_parts, p, p_holm, level)
        for case, claim_parts, p, p_holm, level in zip(
            cases, parts, p_values, adjusted, levels, strict=True
        )
    ]
    return [
        replace(
            _with_reasons(case, judgement, in_order[index], len(cases)),
            close_call=_close_call(index, cases, parts[index], p_values, in_order, judgement),
        )
        for index, (case, judgement) in enumerate(zip(cases, judgements, strict=True))
    ]


def _holm(p_values: Sequence[float], shares: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return adjusted p values and levels of intervals, each claim at its share of the errors."""
    adjusted, levels = holm(np.minimum(1.0, np.divide(p_values, shares)).tolist(), alpha=ALPHA)
    return adjusted.tolist(), (1.0 - (1.0 - levels) * np.asarray(shares)).tolist()


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


def _judge(
    case: Case, parts: Sequence[CriterionResult], p: float, p_holm: float, level: float
) -> Judgement:
    claim, rule, evidence = case
    judged = [
        judge_criterion(claim, part, evidence, _level_of(part, rule, level, len(parts)))
        for part in parts
    ]
    reasons = [evidence.undecidable] if evidence.undecidable else []
    if min(part.n for part in judged) < FEWEST_SEEDS:
        reasons.append(f"fewer than {FEWEST_SEEDS} seeds gave a value")
    verdict: Verdict = "inconclusive"
    if not reasons and p_holm <= ALPHA:
        verdict = _combined([part.verdict for part in judged], rule)
    decisive = _deciding_part(judged, rule, verdict)
    return Judgement(tuple(judged), decisive, p, p_holm, level, verdict, tuple(reasons))


def _level_of(part: CriterionResult, rule: Rule, level: float, parts: int) -> float:
    """Return the level of a part: where one suffices, Bonferroni divides alpha among the parts."""
    return 1.0 - (1.0 - level) / parts if _suffices(part, rule) else level


def _with_reasons(case: Case, judgement: Judgement, share: float, claims: int) -> Judgement:
    """Return the judgement with what is in the way of a verdict, if there is none.

    Args:
        case: the claim.
        judgement: its judgement.
        share: share of the error rate that the claim may use.
        claims: number of claims of the run.
    """
    evidence = case[2]
    if judgement.verdict != "inconclusive" or judgement.reasons:
        return judgement
    seeds = judgement.decisive.n
    needed, held_back_by = _seeds_needed(case, judgement)
    about = "" if len(judgement.parts) == 1 else f" for '{held_back_by}'"
    fewest = fewest_seeds(ALPHA * share / claims)
    if seeds < fewest:
        count = f"{claims} claims" if claims > 1 else "a claim"
        reason = f"{seeds} seeds cannot decide {count}: {fewest} can"
    elif needed is None:
        reason = f"the effect lies at its limit{about}: more than {MOST_SEEDS:,} seeds needed"
    else:
        reason = f"too few seeds{about}: about {needed} would decide with {POWER:.0%} power"
    reasons = (reason, evidence.narrow) if evidence.narrow else (reason,)
    return replace(judgement, reasons=reasons, seeds_needed=needed)


def _seeds_needed(case: Case, judgement: Judgement) -> tuple[int | None, str]:
    """Return the seeds that decide a claim on the side of its estimates with 80% power.

    If this side needs all parts, the product of their powers counts, else the largest power.

    Returns:
        The number of seeds, None if more than :data:`MOST_SEEDS`; and the name of the criterion
        that needs most of them (if one suffices: that one).
    """
    _, rule, evidence = case
    sufficient = [part for part in judgement.parts if _suffices(part, rule)]
    seeds = np.arange(judgement.decisive.n + 1, MOST_SEEDS + 1)
    parts = sufficient or judgement.parts
    powers = np.array(
        [
            power(
                part.criterion,
                usable(evidence, part.criterion),
                claimed=part.claimed,
                level=_level_of(part, rule, judgement.level, len(judgement.parts)),
                seeds=seeds,
            )
            for part in parts
        ]
    )
    joint = powers.max(axis=0) if sufficient else powers.prod(axis=0)
    enough = np.flatnonzero(joint >= POWER)
    at = int(enough[0]) if len(enough) else -1
    part = parts[int(powers[:, at].argmax() if sufficient else powers[:, at].argmin())]
    return (int(seeds[at]) if len(enough) else None), part.criterion.name


def _combined(verdicts: Sequence[Verdict], rule: Rule) -> Verdict:
    """Return the verdict of a rule from those of its criteria."""
    if_any: Verdict = "contradicted" if rule.combine == "all" else "supported"
    if_all: Verdict = "supported" if rule.combine == "all" else "contradicted"
    if if_any in verdicts:
        return if_any
    return if_all if all(verdict == if_all for verdict in verdicts) else "inconclusive"


def _close_call(
    index: int,
    cases: Sequence[Case],
    parts: Sequence[CriterionResult],
    p_values: Sequence[float],
    shares: Sequence[float],
    judgement: Judgement,
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
            values = _moved(criterion, usable(evidence, criterion), toward)
            p, claimed = p_and_side(criterion, values)
            moved[criterion.name] = values
            moved_parts.append(replace(part, estimate=float(values.mean()), p=p, claimed=claimed))
        moved_p = list(p_values)
        moved_p[index] = _combined_p(moved_parts, rule)
        adjusted, levels = _holm(moved_p, shares)
        case = (claim, rule, Evidence(moved))
        verdict = _judge(case, moved_parts, moved_p[index], adjusted[index], levels[index]).verdict
        if verdict != judgement.verdict:
            return CloseCall(toward, verdict)
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
