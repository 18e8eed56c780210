"""The page of a study: one HTML file that needs no network, and every figure as SVG.

The page is a pure function of what the study's store holds: no clock, no host.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from byheart.charts.drawn import DrawnFigure, draw_all
from byheart.charts.figure import Drawing
from byheart.errors import ByheartError, StoreError
from byheart.files import write_text
from byheart.record import Record
from byheart.report import numbers
from byheart.report.frame import render_page
from byheart.store import Store
from byheart.studies.base import Records, Setting, Study
from byheart.studies.folder import SessionFacts, folder_records, load_session
from byheart.studies.judging import Finding, FindingPart, judge
from byheart.studies.registry import chosen_claims, studies_of
from byheart.studies.settings import Preset

VERDICTS = ("supported", "contradicted", "inconclusive", "not-run")
OUTCOME_WORDS = {
    "converged": "reached 100% training accuracy",
    "budget": "used all their epochs",
    "diverged": "diverged",
    "failed": "failed",
}


@dataclass(frozen=True)
class Section:
    """The figures of one study and the claims that it decides.

    Attributes:
        title: heading.
        source: the papers' figures ("A17 Fig 9").
        claims: ids of the claims; one without a finding is shown as not run.
        figures: charts, pictures and heat maps, in order.
    """

    title: str
    source: str
    claims: tuple[str, ...]
    figures: tuple[Drawing, ...]


def redraw(folder: Path, store: Store) -> tuple[Path, list[Finding]]:
    """Judge the last session in a store, and write its page.

    Args:
        folder: folder of the page.
        store: open for reading.

    Returns:
        The path of the page, and the findings.

    Raises:
        StoreError: no study was run, a record is damaged or not what a trial leaves, or the folder
            cannot be written.
    """
    session = load_session(store)
    try:
        records = folder_records(session, store)
        findings = judge(session.claims, records, session.setting, session.seeds, session.looks)
        return write_report(folder, session, records, findings), findings
    except ByheartError:
        raise
    except Exception as error:
        # A file from anyone can have right checksums: what is in it may be anything.
        raise StoreError(
            f"{folder}: its records are not what this version's trials leave "
            f"({type(error).__name__}: {error}): run the study again in another folder; if byheart "
            "wrote them, please report it"
        ) from error


def write_report(
    folder: Path,
    session: SessionFacts,
    records: Mapping[str, Record],
    findings: Sequence[Finding],
    sections: Sequence[Section] | None = None,
) -> Path:
    """Write ``report.html``, ``figures/<id>.svg`` and ``findings.json`` into a folder.

    Equal input gives equal bytes. The page is written last, so that its figures are there.
    Figures of an earlier page that this one does not show are removed.

    Args:
        folder: folder of the page; made if it does not exist.
        session: the request.
        records: the records of its trials, by key.
        findings: one per claim that was judged, in the order of the table.
        sections: one per study, in the order of the page; those of the session's studies if None.

    Returns:
        The path of the page.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    sections = _sections(session, records) if sections is None else sections
    drawn = _draw(sections)
    page = _fill(session, records, findings, sections, drawn)
    for name, figure in drawn.items():
        write_text(folder / "figures" / f"{name}.svg", figure.svg)
    _remove_stale(folder / "figures", drawn)
    write_findings(folder, findings)
    return write_text(folder / "report.html", page)


def write_findings(folder: Path, findings: Sequence[Finding]) -> Path:
    """Write ``findings.json``, the list of all findings, and return its path.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    rows = [finding.as_json() for finding in findings]
    text = json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return write_text(folder / "findings.json", text)


def _remove_stale(figures: Path, drawn: Mapping[str, DrawnFigure]) -> None:
    """Remove the figures of an earlier page; files that byheart did not draw stay."""
    for path in figures.glob("*.svg"):
        if path.stem not in drawn and path.is_file() and not path.is_symlink():
            with path.open(encoding="utf-8", errors="replace") as file:
                head = file.read(2000)
            if head.startswith("<svg xmlns=") and "</title><desc>" in head:
                path.unlink()


def render(
    session: SessionFacts,
    records: Mapping[str, Record],
    findings: Sequence[Finding],
    sections: Sequence[Section] | None = None,
) -> str:
    """Return the page as HTML; arguments as for :func:`write_report`."""
    sections = _sections(session, records) if sections is None else sections
    return _fill(session, records, findings, sections, _draw(sections))


def _sections(session: SessionFacts, records: Mapping[str, Record]) -> list[Section]:
    return [
        Section(
            title=study.title,
            source=study.source,
            claims=tuple(claim.id for claim in study.claims),
            figures=tuple(study.figures(Records(records), _drawn_setting(session, study))),
        )
        for study in studies_of(session.claims)
    ]


def _drawn_setting(session: SessionFacts, study: Study) -> Setting:
    """Return the setting of a study's figures: with the most seeds of any of its claims."""
    seeds = [
        session.seeds.get(claim.id, session.setting.seeds)
        for claim in study.claims
        if claim.id in session.claims
    ]
    return replace(session.setting, seeds=max(seeds))


def _draw(sections: Sequence[Section]) -> dict[str, DrawnFigure]:
    return draw_all(figure for section in sections for figure in section.figures)


def _fill(
    session: SessionFacts,
    records: Mapping[str, Record],
    findings: Sequence[Finding],
    sections: Sequence[Section],
    drawn: Mapping[str, DrawnFigure],
) -> str:
    by_claim = {finding.claim: finding for finding in findings}
    left_out = session.own_network.left_out if session.own_network else {}
    planned = [claim for section in sections for claim in section.claims]
    not_run = [c for c in dict.fromkeys((*planned, *left_out)) if c not in by_claim]
    tally = Counter[str](finding.verdict for finding in findings)
    tally["not-run"] = len(not_run)
    preset = session.setting.preset
    return render_page(
        "study.html",
        with_charts=bool(drawn),
        session=session,
        preset=preset,
        data=session.setting.data,
        command=shlex.join(session.command),
        trials=len(records),
        outcomes=Counter(record.outcome for record in records.values()),
        outcome_words=OUTCOME_WORDS,
        train_seconds=sum(record.seconds for record in records.values()),
        left_out=left_out,
        findings=findings,
        by_claim=by_claim,
        of_papers=by_claim.keys() <= {*chosen_claims(())},
        sections=sections,
        decided={claim for section in sections for claim in section.claims},
        drawn=drawn,
        decisive=_decisive,
        combination=_combination,
        not_run=not_run,
        counts={verdict: tally[verdict] for verdict in VERDICTS},
        settings=_groups(_settings(preset)),
    )


def _settings(preset: Preset) -> dict[str, Any]:
    """Return the numbers of a preset that its studies use: a CNN has no hidden widths."""
    settings = preset.model_dump(mode="json", exclude={"name", "default_data", "seeds"})
    for family, values in settings.items():
        if preset.network == "cnn" and family != "sensitivity" and isinstance(values, dict):
            values.pop("hidden", None)
    return settings


def _groups(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the settings in groups: the plain numbers first, then each nested family."""
    single = [(k, numbers.plain(v)) for k, v in settings.items() if not isinstance(v, Mapping)]
    nested = [(k, _flat(v)) for k, v in settings.items() if isinstance(v, Mapping)]
    return ([("run", single)] if single else []) + nested


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    result: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            result += _flat(value, f"{name}.")
        else:
            result.append((name, numbers.plain(value)))
    return result


def _decisive(finding: Finding) -> FindingPart:
    """Return the part that the finding's estimate belongs to."""
    for part in finding.parts:
        if part.statistic == finding.statistic:
            return part
    return FindingPart(
        statistic=finding.statistic,
        rule=finding.rule,
        null=finding.null,
        estimate=finding.estimate,
        ci=finding.ci,
        ci_corrected=finding.ci_corrected,
        n=finding.n,
        p=finding.p,
        verdict=finding.verdict,
    )


def _combination(finding: Finding) -> str:
    """Return in a sentence how the criteria of a rule make up the verdict."""
    rules = [part.rule for part in finding.parts]
    if finding.rule == "; and ".join(rules):
        return "Supported if all of these hold, contradicted if at least one is refuted:"
    if finding.rule == "; or ".join(rules):
        return "Supported if at least one of these holds, contradicted if all are refuted:"
    return f"{finding.rule}:"
