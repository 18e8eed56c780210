"""Test one criterion on per-seed values, by a rule declared before the data are seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from byheart.statistics.inference import bca_interval, sign_flip_p

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
        narrow: how the range of the trials falls short of the paper's; empty if it does not.
        bounds: lower and upper limits per seed, for a criterion whose values are only known to lie
            between them. They do not change the verdict; they only test its robustness.
    """

    values: Mapping[str, NDArray[np.float64]]
    censored: int = 0
    diverged: int = 0
    failed: int = 0
    note: str = ""
    undecidable: str = ""
    narrow: str = ""
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
        p: p value of the side on which the estimate lies, see :func:`p_and_side`.
        claimed: the estimate has the claimed effect, of the smallest size that counts or more.
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

    @property
    def opposite(self) -> bool:
        """Whether the effect is opposite to the claim, and of a size that counts."""
        if self.estimate is None or self.corrected is None:
            return False
        null, smallest = self.criterion.null, self.criterion.smallest
        low, high = self.corrected
        match self.criterion.kind:
            case "above":
                return high < null and self.estimate <= null - smallest
            case "below":
                return low > null and self.estimate >= null + smallest
            case "within":
                return True
            case "differs":
                return False


def measure_criterion(claim: str, criterion: Criterion, evidence: Evidence) -> CriterionResult:
    """Return estimate, 95% interval and p value of a criterion; the verdict is still open."""
    values = usable(evidence, criterion)
    n = len(values)
    if n < FEWEST_SEEDS:
        estimate = float(values.mean()) if n else None
        return CriterionResult(criterion, n, estimate, None, 1.0, claimed=False)
    interval = bca_interval(values, name=f"{claim}/{criterion.name}")
    p, claimed = p_and_side(criterion, values)
    return CriterionResult(criterion, n, float(values.mean()), interval, p, claimed)


def p_and_side(criterion: Criterion, values: NDArray[np.float64]) -> tuple[float, bool]:
    """Return the p value of the side on which the mean lies, and whether it is the claimed side.

    The claimed side begins at the smallest effect. On the claimed side, p tests "no effect"; on the
    other side, it tests "an effect of the smallest size or more". For ``within`` the roles change:
    on the claimed side, p is that of two one-sided tests.

    Args:
        criterion: the criterion.
        values: [n] one per seed, all finite.

    Source: Schuirmann (1987) for the two one-sided tests.
    """
    null, smallest = criterion.null, criterion.smallest
    low, high = null - smallest, null + smallest
    mean = float(values.mean())
    if criterion.kind in ("above", "below"):
        edge = high if criterion.kind == "above" else low
        claimed = mean >= edge if criterion.kind == "above" else mean <= edge
        return sign_flip_p(values, null=null if claimed else edge), claimed
    inside = low < mean < high
    if inside:
        p = max(
            sign_flip_p(values, null=low, alternative="greater"),
            sign_flip_p(values, null=high, alternative="less"),
        )
    elif criterion.kind == "differs":
        p = sign_flip_p(values, null=null)
    else:
        p = sign_flip_p(values, null=low if mean < null else high)
    return p, inside == (criterion.kind == "within")


def judge_criterion(
    claim: str, part: CriterionResult, evidence: Evidence, level: float
) -> CriterionResult:
    """Return the result with its verdict and its interval, both at a confidence level."""
    if part.ci is None or part.estimate is None:
        return part
    criterion = part.criterion
    low, high = bca_interval(
        usable(evidence, criterion), level=level, name=f"{claim}/{criterion.name}"
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
        p, _ = p_and_side(criterion, values)
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
            claimed, against = above, high < null + smallest
        case "below":
            claimed, against = below, low > null - smallest
        case "within":
            claimed = inside
            against = low > null + smallest or high < null - smallest
        case "differs":
            claimed, against = above or below, inside
    return "supported" if claimed else "contradicted" if against else "inconclusive"


def usable(evidence: Evidence, criterion: Criterion) -> NDArray[np.float64]:
    """Return the finite values of a criterion."""
    values = np.asarray(evidence.values[criterion.name], dtype=float)
    return np.asarray(values[np.isfinite(values)])
