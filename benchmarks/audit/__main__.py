"""Measure the cases that have no row: `python -m benchmarks.audit [PART ...] [--source mnist]`.

Every finished case leaves a row in the folder, so an interrupted run continues where it stopped.
Two runs of different parts may share a folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from pathlib import Path

import torch

from benchmarks.audit import audits, peers
from benchmarks.audit.cases import MOMENTA, PARTS, SOURCES, Case, all_cases, keep, missing

FOLDER = Path("out/bench-audit")
MEASURES = {
    "ours": audits.ranking,
    "dynamics": peers.dynamics,
    "folds": peers.folds,
    "halves": peers.halves,
    "calibration": audits.calibration,
    "onset": audits.onset,
}


def run(wanted: Iterable[Case], folder: Path) -> None:
    """Measure what is missing, case by case."""
    for case in missing(wanted, folder):
        started = time.monotonic()
        row = keep(case, MEASURES[case.part](case), folder)
        print(f"{case.name}: {time.monotonic() - started:.0f} s", flush=True)
        print(f"  {json.dumps(row['found'])[:240]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--source", choices=SOURCES, help="only these examples")
    parser.add_argument("--momentum", type=float, choices=MOMENTA, help="only these trainings")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR")
    options = parser.parse_args()
    # The work of an audit is small: more than one thread only waits.
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
