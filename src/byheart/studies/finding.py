"""The outcome of a claim, as it stands in findings.json and on the page."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Verdict = Literal["supported", "contradicted", "inconclusive"]
Interval = tuple[float, float]


class FindingPart(BaseModel):
    """One criterion of the rule: what was estimated, and what came of it.

    ``kind``, ``smallest`` and ``unit`` are those of the criterion; the page draws the smallest
    effect worth having from them. Where the values are only known to lie in a bracket, ``bracket``
    is the range of the estimate that the brackets allow, ``bracket_ci`` the 95% interval around
    that range, and ``stands`` whether the verdict is the same at either end of it.
    """

    model_config = ConfigDict(frozen=True)

    statistic: str
    rule: str
    null: float
    estimate: float | None
    ci: Interval | None
    ci_corrected: Interval | None
    n: int
    p: float
    verdict: Verdict
    kind: Literal["above", "below", "within", "differs"] | None = None
    smallest: float | None = None
    unit: str = ""
    bracket: Interval | None = None
    bracket_ci: Interval | None = None
    stands: bool | None = None


class Finding(BaseModel):
    """One row of findings.json.

    Attributes:
        claim: id of the claim.
        source: paper and figure.
        statement: what the papers say.
        statistic: what ``estimate`` is: the part of the rule that decides.
        rule: the whole rule, declared before the data were seen.
        estimate: mean over seeds of the statistic; None where no seed gave a value.
        ci: its 95% BCa bootstrap interval over seeds.
        ci_corrected: the interval at the level of Holm's correction, which the verdict uses.
        null: value of the statistic without the effect.
        n: seeds that gave a value.
        p: two-sided exact permutation p of the claim.
        p_holm: p after Holm's correction over the claims of the run.
        verdict: supported, contradicted or inconclusive.
        reasons: why no verdict could be given, if so.
        parts: every criterion of the rule.
        censored: trials that never reached 100% training accuracy though the claim asks for it.
        diverged: trials whose loss stopped being finite.
        failed: trials that ended with an error.
        note: what else a reader should know.
        preset: name of the preset.
        data: name of the data source.
        model: the user's network that was trained, by its factory; empty if byheart's own.
        seconds: training time of the trials behind it (trials may serve several claims).
    """

    model_config = ConfigDict(frozen=True)

    claim: str
    source: str
    statement: str
    statistic: str
    rule: str
    estimate: float | None
    ci: Interval | None
    ci_corrected: Interval | None
    null: float
    n: int
    p: float
    p_holm: float
    verdict: Verdict
    reasons: tuple[str, ...]
    parts: tuple[FindingPart, ...]
    censored: int
    diverged: int
    failed: int
    note: str
    preset: str
    data: str
    model: str = ""
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain JSON values."""
        return self.model_dump(mode="json")
