"""The page on reliability: `python -m benchmarks.reliability` writes docs/reliability.md.

`make faults` leaves a line for each fault in the file that BYHEART_FAULTS_LOG names, and
`python -m benchmarks.load` its figures under out/. What the page shows of them lies in
docs/results; with `--take out` new ones (faults.jsonl, load.json) take their place.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.markdown import filled, table

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "reliability.md"
HEAD = ("fault", "times", "trials lost", "trained again", "studies", "findings changed")

Line = Mapping[str, Any]


def summed(lines: Iterable[Line]) -> list[dict[str, Any]]:
    """Return one row per kind of fault, in the order in which they first came.

    Args:
        lines: as the fault suite notes them.
    """
    rows: dict[str, dict[str, Any]] = {}
    for line in lines:
        kind = str(line.get("fault") or line["study"])
        empty = {"kind": kind, "times": 0, "lost": 0, "again": 0}
        row = rows.setdefault(kind, {**empty, "studies": 0, "findings": 0, "changed": 0})
        if "fault" in line:
            row["times"] += 1
            row["lost"] += line["lost"]
            row["again"] += line.get("again", 0)
        else:
            row["studies"] += 1
            row["findings"] += line["findings"]
            row["changed"] += line["changed"]
    return list(rows.values())


def page(faults: Sequence[Line], load: Line) -> str:
    """Return the page in Markdown.

    Args:
        faults: rows of :func:`summed`.
        load: what `python -m benchmarks.load` found.
    """
    return filled(
        Path(__file__).with_name("reliability.md"),
        faults=table(HEAD, map(_row, sorted(faults, key=lambda row: str(row["kind"])))),
        total=_total(faults),
        load=_load(load),
    )


def _row(row: Line) -> Sequence[str]:
    judged = f"{row['changed']} of {row['findings']}" if row["studies"] else ""
    studies = str(row["studies"] or "")
    return (row["kind"], str(row["times"]), str(row["lost"]), str(row["again"]), studies, judged)


def _total(rows: Sequence[Line]) -> str:
    total = {name: sum(row[name] for row in rows) for name in rows[0] if name != "kind"}
    return (
        f"{total['times']} faults, **{total['lost']} trials lost**; {total['studies']} studies run "
        f"to their end, **{total['changed']} of {total['findings']} findings changed**"
    )


def _load(load: Line) -> str:
    mib = 2**20
    grown = (load["bytes_at_end"] - load["bytes_after_tenth"]) / mib
    return "\n".join(
        (
            f"A study of {load['packs']:,} packs of one trial, through the runner `processes`:",
            "",
            f"- **Memory of the driver** (without shared files): "
            f"{load['bytes_after_tenth'] / mib:.0f} MiB after a tenth of the packs, "
            f"{load['bytes_at_end'] / mib:.0f} MiB after the last, "
            f"{grown:+.1f} MiB.",
            f"- **Processor time of the driver for a result**: {load['first_quarter_ms']:.1f} ms "
            f"in the first quarter, {load['last_quarter_ms']:.1f} ms in the last.",
            f"- **The page**: {load['page_bytes'] / mib:.1f} MiB, drawn from "
            f"{load['store_bytes'] / mib:.0f} MiB of records in {load['drawing_seconds']:.1f} s of "
            f"processor time; Chromium has loaded it after {load['load_seconds']:.2f} s and drawn "
            f"its charts after {load['drawn_seconds']:.2f} s (3 s wanted; median of five visits), "
            f"with {load['drawn_processor_seconds']:.2f} s of processor time.",
        )
    )


def taken(folder: Path) -> None:
    """Let new figures take the place of those that the page shows."""
    if (folder / "faults.jsonl").exists():
        lines = (folder / "faults.jsonl").read_text(encoding="utf-8").splitlines()
        rows = summed(json.loads(line) for line in lines)
        text = json.dumps(rows, indent=2) + "\n"
        (RESULTS / "faults.json").write_text(text, encoding="utf-8")
    if (folder / "load.json").exists():
        shutil.copyfile(folder / "load.json", RESULTS / "load.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--take", type=Path, metavar="DIR", help="take the figures from there")
    options = parser.parse_args()
    if options.take is not None:
        taken(options.take)
    faults, load = (
        json.loads((RESULTS / name).read_text(encoding="utf-8"))
        for name in ("faults.json", "load.json")
    )
    PAGE.write_text(page(faults, load), encoding="utf-8")


if __name__ == "__main__":
    main()
