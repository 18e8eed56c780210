"""The page of the audit's benchmark: `python -m benchmarks.audit.page` writes bench-audit.md.

`python -m benchmarks.audit` leaves its rows under out/. The rows of the page are one file in
docs/results, one a line. With `--take DIR` the rows of that folder replace them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from math import isnan
from pathlib import Path

from benchmarks.audit.cases import CALIBRATED, RANKED, Row, all_cases, collected
from benchmarks.audit.summary import (
    NAMES,
    STATED,
    TRAINED,
    Coverage,
    Line,
    against_cleanlab,
    answers,
    coverage,
    in_words,
    lines,
    stopped,
)
from benchmarks.markdown import filled, table
from byheart.charts.figure import Axis, Figure, Point
from byheart.charts.vega import Layout, draw_svg
from byheart.files import write_text

FOLDER = Path(__file__).parents[2] / "docs" / "results"
NAME = "bench-audit"

DRAWN = {
    "byheart": "byheart",
    "AUM": "AUM",
    "cumulative loss": "cumulative loss",
    "cleanlab self-confidence, best epoch": "self-confidence, best epoch",
    "cleanlab normalized margin, best epoch": "normalized margin, best epoch",
    "second-split forgetting": "second-split forgetting",
}
"""Rankings that the chart shows, and their names there; all are in the tables."""
SIGNS = {True: "✓", False: "✗", None: "?"}


def page(rows: Sequence[Row]) -> str:
    """Return the page in Markdown, a function of the rows alone."""
    goals = [(SIGNS[a.reached], a.goal, a.result) for a in answers(rows)]
    return filled(
        Path(__file__).with_name("page.md"),
        goals=table(("", "goal", "result"), goals),
        cleanlab=_cleanlab(rows),
        rankings="\n\n".join(_rankings(lines(rows))),
        calibration=_calibration(rows),
        onset=_onset(rows),
    )


def noise_in_words(rate: float, pairs: bool) -> str:
    """Return what was done to the labels."""
    return f"{rate:.0%} " + ("look-alikes" if pairs else "random")


def _rankings(ranked: Sequence[Line]) -> list[str]:
    parts = []
    for source, momentum in dict.fromkeys(line.kind[:2] for line in ranked):
        group = [line for line in ranked if line.kind[:2] == (source, momentum)]
        noises = list(dict.fromkeys(line.kind[2:] for line in group))
        by_name: dict[str, dict[tuple[float, bool], str]] = {}
        for line in group:
            by_name.setdefault(line.ranking, {})[line.kind[2:]] = _cell(line)
        parts += [
            f"### {NAMES[source]} {TRAINED[momentum]}",
            table(
                ("ranking", *(noise_in_words(*noise) for noise in noises)),
                ((name, *(cells.get(n, "") for n in noises)) for name, cells in by_name.items()),
            ),
        ]
    return parts


def _cell(line: Line) -> str:
    """Return the AUROC, and byheart's lead: in bold where its interval leaves out 0."""
    area = f"{line.means['auroc'].value:.4f}"
    if line.ahead is None:
        return area
    lead = line.ahead["auroc"]
    text = f"{lead.value:+.4f}"
    return f"{area} (**{text}**)" if lead.low > 0 or lead.high < 0 else f"{area} ({text})"


def _cleanlab(rows: Sequence[Row]) -> str:
    ratios = against_cleanlab(rows)
    trained = list(dict.fromkeys(kind[:2] for kind in ratios))
    return table(
        ("labels", *(f"{NAMES[source]} {TRAINED[momentum]}" for source, momentum in trained)),
        [
            (
                noise_in_words(*noise),
                *(
                    in_words(ratios[*group, *noise], "{:.2f}".format)
                    if (*group, *noise) in ratios
                    else ""
                    for group in trained
                ),
            )
            for noise in RANKED
            if any(kind[2:] == noise for kind in ratios)
        ],
    )


def _calibration(rows: Sequence[Row]) -> str:
    cells: list[Sequence[str]] = []
    for source, name in NAMES.items():
        audits = [row for row in rows if (row["part"], row["source"]) == ("calibration", source)]
        for kind in (None, *CALIBRATED):
            group = [row for row in audits if kind in (None, (row["rate"], row["pairs"]))]
            covered = [coverage(group, number) for number in STATED]
            if any(covered):
                words = "all" if kind is None else noise_in_words(*kind)
                cells.append((name, words, *map(_covered, covered)))
    return table(("examples", "wrong labels", *STATED), cells)


def _covered(covered: Coverage | None) -> str:
    if covered is None:
        return ""
    digits = 0 if covered.true > 1 else 3
    means = f"{covered.true:.{digits}f}, {covered.said:.{digits}f}"
    return f"{covered.hits} of {covered.audits} ({means})"


def _onset(rows: Sequence[Row]) -> str:
    head = ("examples", "random", "lost", "lost, unbiased", "gained over the end", "inside")
    return table(
        head,
        [
            (
                NAMES[result.source],
                f"{result.rate:.0%}",
                in_words(result.lost, "{:.2f}".format),
                in_words(result.unbiased, "{:.2f}".format),
                in_words(result.gained, "{:.2f}".format),
                f"{result.inside} of {result.seeds}",
            )
            for result in stopped([row for row in rows if row["part"] == "onset"])
        ],
    )


def figure(ranked: Sequence[Line]) -> Figure:
    """Return 1 - AUROC of each ranking by rate of random labels."""
    points = []
    for line in ranked:
        source, momentum, rate, pairs = line.kind
        if not pairs and line.ranking in DRAWN:
            area = line.means["auroc"]
            points.append(
                Point(
                    f"{NAMES[source]}, {TRAINED[momentum]}",
                    DRAWN[line.ranking],
                    100 * rate,
                    1 - area.value,
                    None if isnan(area.low) else 1 - area.high,
                    None if isnan(area.low) else 1 - area.low,
                )
            )
    return Figure(
        id="bench-audit",
        title="How often a ranking puts a right label above a wrong one",
        source="",
        reading="Lower is better; bands are 95% intervals of means over data sets.",
        x=Axis("random labels, %", log=True),
        y=Axis("1 - AUROC", log=True),
        series=tuple(dict.fromkeys(point.series for point in points)),
        points=tuple(points),
    )


def read(path: Path) -> list[Row]:
    """Return the rows of a file that has one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", type=Path, metavar="DIR", help="take the rows of this folder")
    options = parser.parse_args()
    kept = FOLDER / f"{NAME}.jsonl"
    if options.take is not None:
        taken = collected(all_cases(), options.take)
        write_text(kept, "".join(json.dumps(row) + "\n" for row in taken))
    rows = read(kept)
    write_text(FOLDER / f"{NAME}.md", page(rows))
    write_text(FOLDER / f"{NAME}.svg", draw_svg(figure(lines(rows)), Layout(420, 320, 2)))


if __name__ == "__main__":
    main()
