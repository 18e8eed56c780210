"""What the fault suite did and what came of it, one line of JSON each, as it goes.

``BYHEART_FAULTS_LOG`` names the file; ``python -m benchmarks.reliability`` makes a page of it.
"""

import json
import os
from pathlib import Path

FAULTS = int(os.environ.get("BYHEART_FAULTS") or 3)
"""Faults of each kind."""


def note_fault(kind, *, lost, again=0):
    """Note a fault, how many trials it lost, and how many had to be trained again.

    Lost is what was stored before it and is no longer there, nor named as damaged.
    """
    _note({"fault": kind, "lost": lost, "again": again})


def note_study(kind, *, findings, changed):
    """Note a hurt study that was run to its end, and how many of its findings are others now."""
    _note({"study": kind, "findings": findings, "changed": changed})


def _note(line):
    log = os.environ.get("BYHEART_FAULTS_LOG")
    if log:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
