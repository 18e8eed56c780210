"""The page of the bench: `python -m benchmarks.audit.page` writes docs/results/bench-audit.md.

`python -m benchmarks.audit` leaves its rows under out/. Those that the page shows lie beside it in
docs/results, one a line; with `--take DIR` those of that folder take their place.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path

from benchmarks.audit.asked import answers
from benchmarks.audit.cases import CALIBRATED, all_cases
from benchmarks.audit.compared import Interval, Kind, Line, beyond_cleanlab, lines
from benchmarks.audit.figure import NAMES, TRAINED, figure
from benchmarks.audit.held import STATED, covered, stopped
from benchmarks.audit.rows import Row, collected
from benchmarks.tabled import table
from byheart.charts.vega import Layout, draw_svg
from byheart.files import write_text

FOLDER = Path(__file__).parents[2] / "docs" / "results"
NAME = "bench-audit"

ASKED = ("", "asked", "came to")
RANKED = (
    "ranking", "AUROC", "average precision", "missed",
    "byheart ahead by: AUROC", "average precision", "missed",
)  # fmt: skip
CALIBRATION = (
    "examples",
    "wrong labels",
    "stated",
    "true value inside",
    "share of audits",
    "true",
    "stated as",
)
ONSET = (
    "examples", "drawn anew", "data sets", "lost", "lost, apart", "gained over the end",
    "best epoch inside",
)  # fmt: skip


def page(rows: Sequence[Row]) -> str:
    """Return the page in Markdown, a function of the rows alone."""
    text = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    ranked = lines(rows)
    parts = {
        "asked": table(ASKED, [(_sign(a.holds), a.asked, a.came_to) for a in answers(rows)]),
        "beyond": _beyond(rows),
        "rankings": "\n\n".join(_rankings(ranked)),
        "calibration": table(CALIBRATION, _calibration(rows)),
        "onset": table(ONSET, _onset(rows)),
    }
    for name, part in parts.items():
        text = text.replace("{" + name + "}", part)
    return text


def in_words(kind: Kind) -> str:
    """Return what was done to the labels."""
    *_, rate, pairs = kind
    return f"{rate:.0%} of " + ("look-alikes confused" if pairs else "labels drawn anew")


def _rankings(ranked: Sequence[Line]) -> list[str]:
    found = []
    for kind in dict.fromkeys(line.kind for line in ranked):
        own = [line for line in ranked if line.kind == kind]
        trained = f"{NAMES[kind[0]]}, {TRAINED[kind[1]]}"
        title = f"### {trained}, {in_words(kind)} ({own[0].seeds} data sets)"
        found += [title, table(RANKED, map(_ranking, own))]
    return found


def _ranking(line: Line) -> Sequence[str]:
    area, precision, missed = (line.means[m] for m in ("auroc", "average_precision", "missed"))
    ahead = ["", "", ""]
    if line.ahead is not None:
        ahead = [
            _marked(line.ahead["auroc"], _four),
            _marked(line.ahead["average_precision"], _three),
            _marked(line.ahead["missed"], _percent),
        ]
    own = (_four(area.value), _three(precision.value), _percent(missed.value))
    return line.ranking, *own, *ahead


def _beyond(rows: Sequence[Row]) -> str:
    found = beyond_cleanlab(rows)
    trained = list(dict.fromkeys(kind[:2] for kind in found))
    return table(
        ("labels", *(f"{NAMES[source]}, {TRAINED[momentum]}" for source, momentum in trained)),
        [
            (
                in_words(("", 0.0, *noise)),
                *(
                    found[*one, *noise].words(_two) if (*one, *noise) in found else ""
                    for one in trained
                ),
            )
            for noise in dict.fromkeys(kind[2:] for kind in found)
        ],
    )


def _calibration(rows: Sequence[Row]) -> list[Sequence[str]]:
    audits = [row for row in rows if row["part"] == "calibration"]
    found: list[Sequence[str]] = []
    for (source, shown), kind in product(NAMES.items(), (None, *CALIBRATED)):
        own = [row for row in audits if row["source"] == source]
        some = [row for row in own if kind in (None, (row["rate"], row["pairs"]))]
        words = "all" if kind is None else in_words(("", 0.0, *kind))
        for name in STATED:
            one = covered(some, name)
            if one is None:
                continue
            number = _one if name == "mislabelled" else _three
            share = Interval(one.hits / one.audits, one.low, one.high)
            held = f"{one.hits} of {one.audits}"
            found.append(
                (shown, words, name, held, share.words(_whole), number(one.true), number(one.said))
            )
    return found


def _onset(rows: Sequence[Row]) -> list[Sequence[str]]:
    return [
        (
            NAMES[one.source],
            f"{one.rate:.0%}",
            str(one.seeds),
            *(part.words(_two) for part in (one.lost, one.apart, one.gained)),
            f"{one.held} of {one.seeds}",
        )
        for one in stopped([row for row in rows if row["part"] == "onset"])
    ]


def _marked(one: Interval, write: Callable[[float], str]) -> str:
    """Return a difference with its sign; bold where its interval leaves out 0."""

    def signed(value: float) -> str:
        return ("+" if value > 0 else "") + write(value)

    words, value = one.words(signed), signed(one.value)
    return words.replace(value, f"**{value}**", 1) if one.low > 0 or one.high < 0 else words


def _sign(holds: bool | None) -> str:
    return "?" if holds is None else "✓" if holds else "✗"


def _four(value: float) -> str:
    return f"{value:.4f}"


def _three(value: float) -> str:
    return f"{value:.3f}"


def _two(value: float) -> str:
    return f"{value:.2f}"


def _one(value: float) -> str:
    return f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _whole(value: float) -> str:
    return f"{value:.0%}"


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
