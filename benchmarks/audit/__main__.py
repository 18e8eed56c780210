"""Measure what has no row yet: `python -m benchmarks.audit [PART ...] [--source mnist|digits]`.

Every case that ends leaves its row in the folder; a run that was interrupted goes on where it was,
and two runs of different parts may share a folder.
"""

from __future__ import annotations

import argparse
import importlib
import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.audit.cases import MOMENTA, PARTS, SOURCES, Case, all_cases
from benchmarks.audit.rows import keep, missing

FOLDER = Path("out/bench-audit")


def run(wanted: Iterable[Case], folder: Path) -> None:
    """Measure what is missing, one case after the other."""
    for case in missing(wanted, folder):
        started = time.monotonic()
        measure = importlib.import_module(f"benchmarks.audit.{case.part}").measure
        row = keep(case, measure(case), folder)
        print(f"{case.name}: {time.monotonic() - started:.0f} s", flush=True)
        print(f"  {json.dumps(row['found'])[:240]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--source", choices=SOURCES, help="these examples alone")
    parser.add_argument("--momentum", type=float, choices=MOMENTA, help="these trainings alone")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR")
    options = parser.parse_args()
    # The audit's arithmetic is small: more threads than one only wait for each other.
    torch.set_num_threads(1)
    run(
        [
            case
            for case in all_cases()
            if (not options.parts or case.part in options.parts)
            and options.source in (None, case.source)
            and options.momentum in (None, case.momentum)
        ],
        options.out,
    )


if __name__ == "__main__":
    main()
