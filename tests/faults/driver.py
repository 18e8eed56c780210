"""A study to hurt: the tiny one in many small packs, whose driver notes what it has stored.

``python -m tests.faults.driver DIR RUNNER [ADDRESS]``; ``TRAIN`` names another training function,
``HANG_AFTER`` the seconds of silence that a worker is given.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

from tests.studies import tiny

from byheart.errors import InputError
from byheart.runners.base import InlineRunner, Progress
from byheart.runners.hangs import HANG_AFTER
from byheart.runners.processes import ProcessesRunner
from byheart.runners.ray import RayRunner
from byheart.store import Store
from byheart.studies.registry import studies_of
from byheart.studies.session import run_session
from byheart.training import packs

TRAIN = "tests.studies.tiny:train"
REPLICAS = 8
"""Of a pack at most, so that a study is many of them."""


class NotedStore(Store):
    """Notes the trials of a pack once they are stored: from then on none may be lost."""

    def add(self, records):
        super().add(records)
        keys = [one.trial.key for one in records if one.outcome != "failed"]
        with Path(self.folder, "stored.log").open("a", encoding="utf-8") as file:
            file.write(json.dumps(keys) + "\n")


def run(folder, runner, store=Store):
    """Run the study in this process; return its result."""
    small = replace(packs.FOOTPRINTS["cpu"], replicas=REPLICAS)
    dataset = tiny.tiny_dataset()
    setting = tiny.tiny_setting(dataset)
    # For this study alone: tests run it in their own process too.
    with mock.patch.dict(packs.FOOTPRINTS, cpu=small), store.open(folder) as opened:
        return run_session(
            studies_of(tiny.CLAIMS),
            tiny.CLAIMS,
            setting,
            dataset,
            opened,
            runner,
            progress=Progress(),
        )


def make_runner(kind, address=None):
    train = os.environ.get("TRAIN", TRAIN)
    if kind == "inline":
        return InlineRunner(1, train)
    hang_after = float(os.environ.get("HANG_AFTER", HANG_AFTER))
    if kind == "ray":
        return RayRunner(address, train=train, hang_after=hang_after)
    return ProcessesRunner(2, train=train, hang_after=hang_after)


def main():
    folder, words = Path(sys.argv[1]), sys.argv[2:]
    try:
        result = run(folder, make_runner(*words), NotedStore)
    except InputError as error:
        sys.exit(f"error: {error}")
    (folder / "findings.json").write_text(tiny.without_timings(result.findings), encoding="utf-8")
    print(result.trained)
    sys.exit(bool(result.failed))


if __name__ == "__main__":
    main()
