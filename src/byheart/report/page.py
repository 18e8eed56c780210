"""The report: one HTML file that needs no network, and every figure as SVG."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from byheart.charts.drawn import DrawnFigure, draw_all
from byheart.charts.figure import Drawing
from byheart.files import write_text
from byheart.report import interval, numbers
from byheart.report.facts import RunFacts
from byheart.report.frame import environment, shell
from byheart.report.sections import Section
from byheart.store.distrust import require_own
from byheart.studies.finding import Finding, FindingPart

__all__ = ["RunFacts", "Section", "render", "write_report"]

OUTCOMES = ("supported", "contradicted", "inconclusive", "not-run")
OUTCOME_WORDS = {
    "converged": "reached 100% training accuracy",
    "budget": "spent their budget of epochs",
    "diverged": "diverged",
    "failed": "failed",
}


def write_report(
    folder: Path, run: RunFacts, findings: Sequence[Finding], sections: Sequence[Section]
) -> Path:
    """Write ``report.html``, ``figures/<id>.svg`` and ``findings.json`` into a folder.

    Equal input gives equal bytes. The page goes last, so that what it stands for is there. Figures
    of an earlier page that this one does not show are removed.

    Args:
        folder: where to; made if it does not exist.
        run: what was run.
        findings: the outcome of every claim that was judged, in the order of the table.
        sections: one per study, in the order of the page.

    Returns:
        The path of the page.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    require_own(folder / "figures")
    drawn = draw_all(_figures(sections))
    page = _fill(run, findings, sections, drawn)
    for name, one in drawn.items():
        write_text(folder / "figures" / f"{name}.svg", one.svg)
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


def render(run: RunFacts, findings: Sequence[Finding], sections: Sequence[Section]) -> str:
    """Return the page as HTML; see :func:`write_report`."""
    return _fill(run, findings, sections, draw_all(_figures(sections)))


def _figures(sections: Sequence[Section]) -> Iterator[Drawing]:
    return (figure for section in sections for figure in section.figures)


def _fill(
    run: RunFacts,
    findings: Sequence[Finding],
    sections: Sequence[Section],
    drawn: Mapping[str, DrawnFigure],
) -> str:
    by_claim = {finding.claim: finding for finding in findings}
    planned = [claim for section in sections for claim in section.claims]
    not_run = [c for c in dict.fromkeys((*planned, *run.left_out)) if c not in by_claim]
    tally = Counter[str](finding.verdict for finding in findings)
    tally["not-run"] = len(not_run)
    return (
        _environment()
        .get_template("page.html")
        .render(
            run=run,
            findings=findings,
            by_claim=by_claim,
            sections=sections,
            drawn=drawn,
            not_run=not_run,
            counts={one: tally[one] for one in OUTCOMES},
            homes=_homes(sections),
            settings=_settings(run.settings),
            outcome_words=OUTCOME_WORDS,
            **shell(["page.css"], ["charts.js", "page.js"], with_charts=bool(drawn)),
        )
    )


def _homes(sections: Sequence[Section]) -> dict[str, str]:
    """Return for every claim the anchor in the section that decides it."""
    return {claim: f"claim-{claim}" for section in sections for claim in section.claims}


def _settings(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
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
    """Return how the criteria of a rule make up the verdict, in a sentence."""
    rules = [part.rule for part in finding.parts]
    if finding.rule == "; and ".join(rules):
        return "Supported if all of these hold, contradicted if one is on the other side:"
    if finding.rule == "; or ".join(rules):
        return "Supported if one of these holds, contradicted if all are on the other side:"
    return f"{finding.rule}:"


def _environment() -> jinja2.Environment:
    made = environment()
    made.filters |= {
        "decimals": numbers.decimals,
        "p_value": numbers.p_value,
        "drawing": interval.draw,
        "combination": _combination,
        "decisive": _decisive,
    }
    return made
