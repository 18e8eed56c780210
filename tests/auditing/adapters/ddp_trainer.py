"""A Trainer in two processes that are cut short, and go on: see ``test_two_processes``."""

import contextlib
import sys
from pathlib import Path

from tests.auditing.adapters.loops import EXAMPLES
from tests.auditing.adapters.test_transformers import Die, trainer

import byheart
from byheart.auditing.adapters.transformers import TrackerCallback


def main(folder: Path) -> None:
    # Two steps to an epoch: the checkpoint of step 3 lies in the midst of one.
    options = {"save_strategy": "steps", "save_steps": 3, "ddp_backend": "gloo"}

    def follow() -> TrackerCallback:
        return TrackerCallback(byheart.Tracker(EXAMPLES, folder / "history.sqlite"))

    with contextlib.suppress(KeyboardInterrupt):
        trainer(folder, follow(), Die(5), **options).train()
    trainer(folder, follow(), **options).train(resume_from_checkpoint=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
