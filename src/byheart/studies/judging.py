"""From records to findings: every claim of a run judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from byheart.record import Record
from byheart.statistics.verdict import Evidence, Judgement, Part, Rule, decide
from byheart.studies.base import Claim, Records, Setting, Study
from byheart.studies.finding import Finding, FindingPart
from byheart.studies.registry import studies_of


def judge(
    chosen: Sequence[str],
    records: Mapping[str, Record],
    setting: Setting,
    seeds: Mapping[str, int] | None = None,
) -> list[Finding]:
    """Judge the chosen claims, with Holm's correction over them.

    Args:
        chosen: ids of claims, in the order of the registry.
        records: by key of the trial.
        setting: preset, data and seeds of the run.
        seeds: number of seeds of each claim that has another number than the setting's.

    Returns:
        One finding per claim, in order.
    """
    known, seeds = Records(records), seeds or {}
    cases = []
    for study in studies_of(chosen):
        claims = [claim for claim in study.claims if claim.id in chosen]
        settings = {c.id: replace(setting, seeds=seeds.get(c.id, setting.seeds)) for c in claims}
        outcomes = {s.seeds: _judged(study, known, s) for s in settings.values()}
        for claim in claims:
            evidence, seconds = outcomes[settings[claim.id].seeds]
            cases.append((claim, evidence[claim.id], seconds))
    judgements = decide([(claim.id, claim.rule, evidence) for claim, evidence, _ in cases])
    return [
        _finding(claim, evidence, judgement, setting, seconds)
        for (claim, evidence, seconds), judgement in zip(cases, judgements, strict=True)
    ]


def _judged(
    study: Study, records: Records, setting: Setting
) -> tuple[Mapping[str, Evidence], float]:
    """Return the evidence on each claim of a study, and the training seconds of its trials."""
    trials = {trial.key: trial for trial in study.plan(setting, records)}
    return study.judge(records, setting), records.seconds(trials.values())


def _finding(
    claim: Claim, evidence: Evidence, judgement: Judgement, setting: Setting, seconds: float
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
        parts=tuple(_part(part) for part in judgement.parts),
        censored=evidence.censored,
        diverged=evidence.diverged,
        failed=evidence.failed,
        note="; ".join(
            filter(
                None,
                (evidence.note, _certainty(claim.rule, judgement), _close_call(judgement)),
            )
        ),
        preset=setting.preset.name,
        data=setting.data.name,
        model="" if setting.model is None else setting.model.factory,
        seconds=round(seconds, 3),
    )


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


def _part(part: Part) -> FindingPart:
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
