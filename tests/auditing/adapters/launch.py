"""Trainings in processes of their own, which go with the one that started them."""

import contextlib
import os
import signal
import subprocess
import sys

LIMIT = 300
"""Seconds after which processes that wait for each other are ended."""


def launch(module: str, *arguments: str) -> None:
    """Run a module in a new process, and see that it and all that it starts end well."""
    started = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
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
