"""The page of the bench: `python -m benchmarks.page` writes docs/results/bench.md.

`python -m benchmarks` and `python -m benchmarks.growth` leave their figures under out/. Those that
the page shows lie beside it in docs/results; with `--take out` the new ones take their place.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tabled import table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results"
NAMES = ("bench.json", "growth.json")

Row = Mapping[str, Any]

SIDES = ("", "row", "peer", "ours", "peer's", "ratio", "wanted", "of the limit")
ALONE = ("", "row", "seconds", "wanted", "memory", "wanted")
GROWTH = ("cost of", "with", "sizes", "seconds", "exponent", "by arithmetic")


def page(bench: Sequence[Row], growth: Sequence[Row]) -> str:
    """Return the page in Markdown.

    Args:
        bench: rows as `python -m benchmarks` leaves them, whichever there are.
        growth: lines as `python -m benchmarks.growth` leaves them.
    """
    text = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    missed = [row for row in bench if not reached(row)]
    held_back = [f"- {_named(row)}: {_distance(row)}; {_why(row)}" for row in missed]
    parts = {
        "sides": table(SIDES, (_sides(row) for row in bench if row["peer"])),
        "alone": table(ALONE, (_alone(row) for row in bench if not row["peer"])),
        "held_back": "\n".join(held_back) or "All are reached.",
        "growth": table(GROWTH, map(_line, growth)),
    }
    for name, part in parts.items():
        text = text.replace("{" + name + "}", part)
    return text


def reached(row: Row) -> bool:
    """Return whether a row comes to all that is wanted of it."""
    if row["peer"] is None:
        in_time = row["ours_seconds"] <= row["wanted_seconds"]
        return bool(in_time and row["peak_bytes"] <= row["wanted_bytes"])
    enough = row["ratio"]["median"] >= row["wanted"]
    of_limit = row["wanted_of_limit"] is None or row["limit_fraction"] >= row["wanted_of_limit"]
    return bool(enough and of_limit)


def _sides(row: Row) -> Sequence[str]:
    ratio, fraction, wanted = row["ratio"], row["limit_fraction"], row["wanted_of_limit"]
    limit = "" if fraction is None else f"{fraction:.0%}"
    return (
        _sign(row),
        _described(row),
        row["peer"],
        f"{row['ours_seconds']:.3g} s",
        f"{row['peer_seconds']:.3g} s",
        f"{ratio['median']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})",
        f"{row['wanted']:g}",
        limit + (f" (wanted {wanted:.0%})" if wanted else ""),
    )


def _alone(row: Row) -> Sequence[str]:
    return (
        _sign(row),
        _described(row),
        f"{row['ours_seconds']:.0f}",
        f"{row['wanted_seconds']:g}",
        f"{row['peak_bytes'] / 2**30:.2f} GiB",
        f"{row['wanted_bytes'] / 2**30:g} GiB",
    )


def _line(line: Row) -> Sequence[str]:
    sizes, seconds = line["sizes"], line["seconds"]
    return (
        line["measure"],
        line["factor"],
        f"{sizes[0]} to {sizes[-1]}",
        f"{seconds[0]:.2g} to {seconds[-1]:.2g}",
        f"{line['exponent']:.2f} ({line['low']:.2f} to {line['high']:.2f})",
        f"{line['predicted']:.2f}",
    )


def _described(row: Row) -> str:
    """Return a row's name, and below it the work and how the answers of both compare."""
    answers = "; ".join(filter(None, [row["agreement"], row["note"]]))
    return f"**{row['row']}**<br>{row['work']}<br>*{answers}*"


def _sign(row: Row) -> str:
    return "✓" if reached(row) else "✗"


def _named(row: Row) -> str:
    against = f" against {row['peer']}" if row["peer"] else ""
    return f"**{row['row']}** ({row['work']}){against}"


def _distance(row: Row) -> str:
    if row["peer"] is None:
        return (
            f"{row['ours_seconds']:.0f} of {row['wanted_seconds']:g} s, "
            f"{row['peak_bytes'] / 2**30:.2f} of {row['wanted_bytes'] / 2**30:g} GiB"
        )
    words = f"{row['ratio']['median']:.3g} of {row['wanted']:g}"
    if row["wanted_of_limit"]:
        words += f", {row['limit_fraction']:.0%} of {row['wanted_of_limit']:.0%} of the limit"
    return words


def _why(row: Row) -> str:
    """Return what a profile said holds such a row back: the first entry whose words it has."""
    known = json.loads(Path(__file__).with_name("held_back.json").read_text(encoding="utf-8"))
    for one in known:
        if all(one[part] in (row[part] or "") for part in ("row", "peer", "work")):
            return str(one["why"])
    return "not profiled yet."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", type=Path, metavar="DIR", help="take the JSON files from there")
    options = parser.parse_args()
    for name in NAMES if options.take is not None else ():
        if (options.take / name).exists():
            shutil.copyfile(options.take / name, FOLDER / name)
    bench, growth = (json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in NAMES)
    (FOLDER / "bench.md").write_text(page(bench, growth), encoding="utf-8")


if __name__ == "__main__":
    main()
