"""The page of the benchmarks: `python -m benchmarks.page` writes docs/results/bench.md.

`python -m benchmarks` and `python -m benchmarks.growth` write JSON files under out/. The files that
the page shows are in docs/results. With `--take out` the new ones replace them.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import filled, table

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results"
NAMES = ("bench.json", "growth.json")

Row = Mapping[str, Any]

SIDES = ("", "row", "peer", "ours", "peer's", "ratio", "target", "of the limit")
ALONE = ("", "row", "seconds", "target", "memory", "target")
GROWTH = ("cost of", "with", "sizes", "seconds", "exponent", "by arithmetic")


HELD_BACK = (
    (
        "audit", "", "MLP",
        "In a profile with one thread, steps take two thirds of the time, neighbours a ninth, "
        "and input gradients, the record of examples and the onset the rest. A pack's step "
        "takes 1.2 to 1.5 times that of plain loops where a network has 165,000 weights or more.",
    ),
    (
        "CNN pack", "", "",
        "In a profile, convolutions take half of a step, at nine tenths of the speed of bare "
        "ones. The rest is memory traffic: pooling and its gradient 20%, batch norm 11%, the "
        "sum of both gradients 6%. The plain loop has the same convolutions, so a ratio of 2 "
        "leaves almost no time for anything else ([more](../decisions/replicas.md)).",
    ),
    (
        "loss-sensitivity", "", "",
        "In a trace, an update takes 100 µs to add the batch's share to 39 MB of gradients "
        "(memory traffic), 160 µs for the four products with the width of the input (near the "
        "machine's speed), and 200 µs for thirty small operators of 3 to 12 µs each "
        "([more](../decisions/speed-curvature.md)).",
    ),
    (
        "sharpness", "PyHessian", "",
        "PyHessian keeps the graph of the gradient, and its product costs no more arithmetic "
        "than ours. We can only save products, pixels that are always dark, and overhead. For "
        "20 networks on MNIST the bare products alone take more than a tenth of PyHessian's "
        "time ([more](../decisions/speed-curvature.md)).",
    ),
    (
        "own network, by vmap", "", "CNN",
        "vmap makes one grouped convolution of all replicas, which is slow on a CPU where "
        "images are large ([more](../how-to/own-network.md#how-its-replicas-train)).",
    ),
)  # fmt: skip
"""Parts of a row's name, peer and work, and what a profile says holds such rows back."""


def page(bench: Sequence[Row], growth: Sequence[Row]) -> str:
    """Return the page in Markdown.

    Args:
        bench: rows of `python -m benchmarks`, all or some.
        growth: lines of `python -m benchmarks.growth`.
    """
    return filled(
        Path(__file__).with_name("page.md"),
        sides=table(SIDES, _sides([row for row in bench if row["peer"]])),
        alone=table(ALONE, (_alone(row) for row in bench if not row["peer"])),
        held_back=_held_back([row for row in bench if not reached(row)]),
        growth=table(GROWTH, map(_line, growth)),
    )


def reached(row: Row) -> bool:
    """Return whether a row reaches its targets."""
    if row["peer"] is None:
        in_time = row["ours_seconds"] <= row["wanted_seconds"]
        return bool(in_time and row["peak_bytes"] <= row["wanted_bytes"])
    enough = row["ratio"]["median"] >= row["wanted"]
    of_limit = row["wanted_of_limit"] is None or row["limit_fraction"] >= row["wanted_of_limit"]
    return bool(enough and of_limit)


def _sides(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    work = agreement = ""
    for row in rows:
        ratio, fraction, target = row["ratio"], row["limit_fraction"], row["wanted_of_limit"]
        limit = "" if fraction is None else f"{fraction:.0%}"
        yield (
            _sign(row),
            _described(row, work, agreement),
            _peer(row),
            f"{row['ours_seconds']:.3g} s",
            f"{row['peer_seconds']:.3g} s",
            f"{ratio['median']:.3g} ({ratio['low']:.3g} to {ratio['high']:.3g})",
            f"{row['wanted']:g}",
            limit + (f" (target {target:.0%})" if target else ""),
        )
        work, agreement = row["work"], row["agreement"]


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


def _described(row: Row, work: str = "", agreement: str = "") -> str:
    """Return a row's name, its work and how the answers compare.

    Args:
        row: to describe.
        work: of the row above; left out if this row has the same.
        agreement: of the row above; likewise.
    """
    parts = [f"**{row['row']}**"]
    if row["work"] != work:
        parts.append(row["work"])
    answers = [row["agreement"]] if row["agreement"] != agreement else []
    answers += [row["note"]] if row["note"] else []
    return "<br>".join(parts + ([f"*{'; '.join(answers)}*"] if answers else []))


def _peer(row: Row) -> str:
    """Return a peer without its settings; the page's text gives them."""
    return str(row["peer"]).partition(",")[0]


def _sign(row: Row) -> str:
    return "✓" if reached(row) else "✗"


def _held_back(rows: Sequence[Row]) -> str:
    """Return the rows that miss a target, by reason."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        name = row["row"] + (f" against {_peer(row)}" if row["peer"] else "")
        by_reason.setdefault(_why(row), []).append(f"**{name}** ({row['work']}: {_distance(row)})")
    lines = [f"- {'; '.join(names)}. {reason}" for reason, names in by_reason.items()]
    return "\n".join(lines) or "All rows reach their targets."


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
    """Return what holds a row back: the first entry whose words it contains."""
    for name, peer, work, why in HELD_BACK:
        if name in row["row"] and peer in (row["peer"] or "") and work in row["work"]:
            return why
    return "Not profiled yet."


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
