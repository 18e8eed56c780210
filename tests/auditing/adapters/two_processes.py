"""Trainings in two processes: each library's is a module run, ended with all that it started.

``python -m tests.auditing.adapters.two_processes LIBRARY FOLDER`` leaves a history in FOLDER.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

LIMIT = 300
"""Seconds after which processes that wait for each other are ended."""


def launch(*words: str) -> None:
    """Run Python with these words in a new process, and see that all that it starts end well."""
    started = subprocess.Popen(
        [sys.executable, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = started.communicate(timeout=LIMIT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
    assert started.returncode == 0, said


def with_lightning(folder: Path) -> None:
    """Train in two processes, which Lightning starts itself."""
    from tests.auditing.adapters.loops import BATCH, EXAMPLES, examples
    from tests.auditing.adapters.test_lightning import callback, module, trainer
    from torch.utils.data import DataLoader

    import byheart

    tracker = byheart.Tracker(EXAMPLES, folder / "history.sqlite")
    follow = callback("lightning", tracker)
    two = trainer("lightning", folder, follow, devices=2, strategy="ddp")
    data = byheart.IndexedDataset(examples())
    two.fit(module("lightning"), DataLoader(data, BATCH, shuffle=True))
    two.save_checkpoint(folder / "last.ckpt")


def with_transformers(folder: Path) -> None:
    """Train in the two processes of torchrun, which are cut short and go on."""
    from tests.auditing.adapters.loops import EXAMPLES
    from tests.auditing.adapters.test_transformers import Die, trainer

    import byheart
    from byheart.auditing.adapters.transformers import TrackerCallback

    # Two steps to an epoch: the checkpoint of step 3 lies in the midst of one.
    options = {"save_strategy": "steps", "save_steps": 3, "ddp_backend": "gloo"}

    def follow() -> TrackerCallback:
        return TrackerCallback(byheart.Tracker(EXAMPLES, folder / "history.sqlite"))

    with contextlib.suppress(KeyboardInterrupt):
        trainer(folder, follow(), Die(5), **options).train()
    trainer(folder, follow(), **options).train(resume_from_checkpoint=True)


if __name__ == "__main__":
    train = {"lightning": with_lightning, "transformers": with_transformers}[sys.argv[1]]
    train(Path(sys.argv[2]))
