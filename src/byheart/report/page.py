"""The report: one HTML file that needs no network, and every figure as SVG."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from byheart.report import charts, heatmaps, interval, marks, numbers, palette, pictures, table
from byheart.report.facts import RunFacts
from byheart.report.files import write_findings, write_text
from byheart.report.sections import Section
from byheart.studies.finding import Finding, FindingPart
from byheart.studies.matrix import MatrixFigure
from byheart.studies.picture import Drawing, PictureFigure

__all__ = ["RunFacts", "Section", "render", "write_report"]

OUTCOMES = ("supported", "contradicted", "inconclusive", "not-run")
OUTCOME_WORDS = {
    "converged": "reached 100% training accuracy",
    "budget": "spent their budget of epochs",
    "diverged": "diverged",
    "failed": "failed",
}
_ID = re.compile(r"[a-z0-9][a-z0-9-]*")


@dataclass(frozen=True)
class DrawnFigure:
    """A figure with everything the page holds of it.

    Attributes:
        figure: what is shown.
        svg: the figure as it stands in ``figures/``.
        svg_narrow: the same with one panel a row, for a phone without JavaScript.
        empty: there is nothing to draw.
        declaration: the interactive chart, without its data; None for pictures, which stand still.
        data: the data of the chart: names of the fields and one list of values per row.
        hidden: points that a logarithmic axis cannot show.
    """

    figure: Drawing
    svg: str
    svg_narrow: str
    empty: bool
    declaration: dict[str, Any] | None = None
    data: dict[str, Any] | None = None
    hidden: int = 0


def write_report(
    folder: Path, run: RunFacts, findings: Sequence[Finding], sections: Sequence[Section]
) -> Path:
    """Write ``report.html``, ``figures/<id>.svg`` and ``findings.json`` into a folder.

    Equal input gives equal bytes. The page goes last, so that what it stands for is there.

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
    drawn = _draw_all(sections)
    page = _fill(run, findings, sections, drawn)
    for name, one in drawn.items():
        write_text(folder / "figures" / f"{name}.svg", one.svg)
    write_findings(folder, findings)
    return write_text(folder / "report.html", page)


def render(run: RunFacts, findings: Sequence[Finding], sections: Sequence[Section]) -> str:
    """Return the page as HTML; see :func:`write_report`."""
    return _fill(run, findings, sections, _draw_all(sections))


def _draw_all(sections: Sequence[Section]) -> dict[str, DrawnFigure]:
    drawn: dict[str, DrawnFigure] = {}
    for section in sections:
        for figure in section.figures:
            if not _ID.fullmatch(figure.id):
                raise ValueError(f"a figure's id names a file: '{figure.id}' is none")
            if figure.id in drawn:
                raise ValueError(f"two figures have the id '{figure.id}'")
            drawn[figure.id] = _draw(figure)
    return drawn


def _draw(figure: Drawing) -> DrawnFigure:
    if isinstance(figure, PictureFigure):
        wide, narrow = (
            pictures.draw_svg(figure, sheet) for sheet in (pictures.WIDE, pictures.NARROW)
        )
        return DrawnFigure(figure, wide, narrow, empty=not figure.pictures)
    if isinstance(figure, MatrixFigure):
        wide, narrow = (
            heatmaps.draw_svg(figure, sheet) for sheet in (heatmaps.WIDE, heatmaps.NARROW)
        )
        return DrawnFigure(figure, wide, narrow, empty=not figure.matrices)
    rows = marks.rows(figure)
    fields = list(rows[0]) if rows else []
    return DrawnFigure(
        figure=figure,
        svg=charts.draw_svg(figure, charts.wide(figure)),
        svg_narrow=charts.draw_svg(figure, charts.narrow(figure)),
        empty=not rows,
        declaration=charts.declare(figure, charts.wide(figure), interactive=True),
        data={"fields": fields, "rows": [list(row.values()) for row in rows]},
        hidden=len(figure.points) - len(rows),
    )


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
    scripts = {
        "libraries": charts.libraries() if drawn else "",
        "own": _asset("page.js"),
    }
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
            style=Markup(_asset("page.css") + _dark_charts()),
            scripts={name: Markup(text) for name, text in scripts.items()},
            script_hashes=[_hash(text) for text in scripts.values() if text],
            settings=_settings(run.settings),
            outcome_words=OUTCOME_WORDS,
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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("byheart.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.filters |= {
        "decimals": numbers.decimals,
        "number": numbers.number,
        "exact": numbers.exact,
        "interval": numbers.interval,
        "p_value": numbers.p_value,
        "count": numbers.count,
        "counted": numbers.counted,
        "duration": numbers.duration,
        "capitalize_first": lambda text: text[:1].upper() + text[1:],
        "moment": numbers.moment,
        "sentence": numbers.sentence,
        "signs": numbers.signs,
        "drawing": interval.draw,
        "combination": _combination,
        "decisive": _decisive,
        "svg": lambda text: Markup(text),
        "csv": table.to_csv,
        "data_uri": lambda text, kind: table.data_uri(kind, text),
    }
    environment.globals["interval_width"] = interval.WIDTH
    return environment


def _asset(name: str) -> str:
    return (Path(__file__).parent / "templates" / name).read_text(encoding="utf-8")


def _dark_charts() -> str:
    """Return the rules that give every colour of a chart its twin in dark mode."""
    rules = "\n".join(
        f'  .chart [fill="{light}"] {{ fill: {dark}; }}\n'
        f'  .chart [stroke="{light}"] {{ stroke: {dark}; }}'
        for light, dark in palette.dark_twins().items()
    )
    return f"\n@media screen and (prefers-color-scheme: dark) {{\n{rules}\n}}\n"


def _hash(script: str) -> str:
    """Return what the page's content policy calls a script: nothing else may run."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
