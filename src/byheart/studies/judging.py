"""From records to findings: every claim of a run judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from byheart.record import Record
from byheart.statistics.decide import Judgement, decide
from byheart.statistics.looks import share_of_look
from byheart.statistics.verdict import CriterionResult, Evidence, Rule, Verdict
from byheart.studies.base import Claim, Records, Setting, Study
from byheart.studies.registry import studies_of

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
        p_holm: p after the correction for the looks and Holm's over the claims of the run.
        verdict: supported, contradicted or inconclusive.
        reasons: what is in the way of a verdict, if it is inconclusive.
        seeds_needed: number of seeds that would decide the claim with 80% power if effects and
            spreads stay as observed; None if it is decided, or needs more than 1,000 seeds.
        open: it is inconclusive, and more seeds could decide it.
        look: number of the look at the data after which it was judged; None if the number of seeds
            was fixed beforehand.
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
    seeds_needed: int | None = None
    open: bool = False
    look: int | None = None
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


def judge(
    chosen: Sequence[str],
    records: Mapping[str, Record],
    setting: Setting,
    seeds: Mapping[str, int] | None = None,
    looks: Mapping[str, int] | None = None,
) -> list[Finding]:
    """Judge the chosen claims, with Holm's correction over them.

    Args:
        chosen: ids of claims, in the order of the registry.
        records: by key of the trial.
        setting: preset, data and seeds of the run.
        seeds: number of seeds of each claim that has another number than the setting's.
        looks: number of the last look, per claim that gets seeds until it is decided; each look has
            its share of the error rate.

    Returns:
        One finding per claim, in order.
    """
    known, seeds, looks = Records(records), seeds or {}, looks or {}
    cases = []
    for study in studies_of(chosen):
        claims = [claim for claim in study.claims if claim.id in chosen]
        settings = {c.id: replace(setting, seeds=seeds.get(c.id, setting.seeds)) for c in claims}
        outcomes = {s.seeds: _judged(study, known, s) for s in settings.values()}
        for claim in claims:
            evidence, seconds = outcomes[settings[claim.id].seeds]
            cases.append((claim, evidence[claim.id], seconds))
    judgements = decide(
        [(claim.id, claim.rule, evidence) for claim, evidence, _ in cases],
        {claim: share_of_look(look) for claim, look in looks.items()},
    )
    return [
        _finding(claim, evidence, judgement, setting, seconds, looks.get(claim.id))
        for (claim, evidence, seconds), judgement in zip(cases, judgements, strict=True)
    ]


def _judged(
    study: Study, records: Records, setting: Setting
) -> tuple[Mapping[str, Evidence], float]:
    """Return the evidence on each claim of a study, and the training seconds of its trials."""
    trials = {trial.key: trial for trial in study.plan(setting, records)}
    return study.judge(records, setting), records.seconds(trials.values())


def _finding(
    claim: Claim,
    evidence: Evidence,
    judgement: Judgement,
    setting: Setting,
    seconds: float,
    look: int | None,
) -> Finding:
    decisive = judgement.decisive
    return Finding(
        claim=claim.id,
        source=claim.source,
        statement=claim.statement,
        statistic=decisive.criterion.name,
        rule=claim.rule.describe(),
        estimate=decisive.estimate,
        ci=decisive.ci,
        ci_corrected=decisive.corrected,
        null=decisive.criterion.null,
        n=decisive.n,
        p=judgement.p,
        p_holm=judgement.p_holm,
        verdict=judgement.verdict,
        reasons=judgement.reasons,
        seeds_needed=judgement.seeds_needed,
        open=judgement.verdict == "inconclusive" and not evidence.undecidable,
        look=look,
        parts=tuple(_part(part) for part in judgement.parts),
        censored=evidence.censored,
        diverged=evidence.diverged,
        failed=evidence.failed,
        note="; ".join(
            filter(
                None,
                (
                    _too_small(judgement),
                    evidence.narrow if judgement.verdict == "contradicted" else "",
                    evidence.note,
                    _certainty(claim.rule, judgement),
                    _close_call(judgement),
                ),
            )
        ),
        preset=setting.preset.name,
        data=setting.data.name,
        model="" if setting.model is None else setting.model.factory,
        seconds=round(seconds, 3),
    )


def _too_small(judgement: Judgement) -> str:
    """Return that a claim is contradicted by an effect too small to matter, if so."""
    decisive = judgement.decisive
    if judgement.verdict != "contradicted" or decisive.opposite:
        return ""
    criterion = decisive.criterion
    unit = f" {criterion.unit}" if criterion.unit else ""
    return f"no effect worth having: smaller than {criterion.smallest:g}{unit}"


def _certainty(rule: Rule, judgement: Judgement) -> str:
    """Return whether the verdict would stand wherever the truth is, where values are bracketed."""
    agreeing = [part for part in judgement.parts if part.verdict == judgement.verdict]
    bracketed = [part.bracket for part in agreeing if part.bracket is not None]
    if not bracketed or judgement.verdict == "inconclusive":
        return ""
    standing = sum(bracket.stands for bracket in bracketed)
    every = (judgement.verdict == "supported") == (rule.combine == "all")
    if standing >= (len(agreeing) if every else 1):
        return "the verdict is the same whatever the truth inside the brackets"
    return (
        f"the verdict rests on what the search found: {standing} of {len(agreeing)} criteria "
        "would come out the same whatever the truth inside the brackets"
    )


def _close_call(judgement: Judgement) -> str:
    """Return that the verdict would be another one within one standard error, if so."""
    close = judgement.close_call
    if close is None:
        return ""
    side = "closer to the claim" if close.toward else "further from the claim"
    return f"close call: with all estimates one standard error {side}, {close.verdict}"


def _part(part: CriterionResult) -> FindingPart:
    criterion, bracket = part.criterion, part.bracket
    return FindingPart(
        statistic=criterion.name,
        rule=criterion.describe(),
        null=criterion.null,
        estimate=part.estimate,
        ci=part.ci,
        ci_corrected=part.corrected,
        n=part.n,
        p=part.p,
        verdict=part.verdict,
        kind=criterion.kind,
        smallest=criterion.smallest,
        unit=criterion.unit,
        bracket=None if bracket is None else (bracket.low, bracket.high),
        bracket_ci=None if bracket is None else bracket.ci,
        stands=None if bracket is None else bracket.stands,
    )
