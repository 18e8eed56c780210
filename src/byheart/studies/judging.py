"""From records to findings: every claim of a run judged together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from byheart.record import Record
from byheart.statistics.verdict import Evidence, Judgement, Part, decide
from byheart.studies.base import Claim, Records, Setting
from byheart.studies.finding import Finding, FindingPart
from byheart.studies.registry import studies_of


def judge(chosen: Sequence[str], records: Mapping[str, Record], setting: Setting) -> list[Finding]:
    """Judge the chosen claims, with Holm's correction over them.

    Args:
        chosen: ids of claims, in the order of the registry.
        records: by key of the trial.
        setting: preset, data and seeds of the run.

    Returns:
        One finding per claim, in order.
    """
    found = Records(records)
    cases = []
    for study in studies_of(chosen):
        evidence = study.judge(found, setting)
        seconds = sum(
            records[key].seconds
            for key in {trial.key for trial in study.plan(setting, found)}
            if key in records
        )
        cases += [
            (claim, evidence[claim.id], seconds) for claim in study.claims if claim.id in chosen
        ]
    judgements = decide([(claim.id, claim.rule, evidence) for claim, evidence, _ in cases])
    return [
        _finding(claim, evidence, judgement, setting, seconds)
        for (claim, evidence, seconds), judgement in zip(cases, judgements, strict=True)
    ]


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
        note=evidence.note,
        preset=setting.preset.name,
        data=setting.data.name,
        seconds=round(seconds, 3),
    )


def _part(part: Part) -> FindingPart:
    criterion = part.criterion
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
    )
