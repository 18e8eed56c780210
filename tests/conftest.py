"""What every test may rely on: one thread, and honesty about what this machine cannot run."""

import functools
import os
import shutil
import signal
import subprocess
from pathlib import Path

# Before anything imports torch: the tests run side by side, one to a core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what it runs in the background with Ctrl-C ignored, and a process hands that on.
# The tests of Ctrl-C start programs as a terminal would.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Return the path of a Chromium, or None; ``CHROMIUM`` in the environment goes first."""
    named = os.environ.get("CHROMIUM")
    found = (shutil.which(name) for name in ((named,) if named else CHROMIUM_NAMES))
    return next((path for path in found if path), None)


def find_mnist() -> Path | None:
    """Return the folder of real MNIST under ``BYHEART_DATA``, or None."""
    root = os.environ.get("BYHEART_DATA")
    folder = Path(root, "mnist") if root else None
    return folder if folder and (folder / "train-images-idx3-ubyte.gz").is_file() else None


@functools.cache
def find_namespaces() -> str | None:
    """Return the program that runs another where it may mount without being seen, or None."""
    program = shutil.which("unshare")
    words = [str(program), "-rm", "sh", "-c", "mount -t tmpfs none /tmp"]
    if program is None or subprocess.run(words, capture_output=True).returncode != 0:
        return None
    return program


def _needs() -> dict[str, tuple[str | None, str]]:
    mnist = find_mnist()
    return {
        "browser": (find_chromium(), "no Chromium found (install chromium, or set CHROMIUM)"),
        "mnist": (str(mnist) if mnist else None, "no mnist folder under BYHEART_DATA"),
        "mount": (find_namespaces(), "no right to mount in a namespace (unshare -rm)"),
    }


def pytest_report_header() -> list[str]:
    """Say where the tests that need more than Python run, or that they are left out."""
    return [
        f"{name} tests: {f'run with {found}' if found else f'LEFT OUT, {absent}'}"
        for name, (found, absent) in _needs().items()
    ]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests whose needs this machine lacks; the header has said so."""
    lacking = {name for name, (found, _) in _needs().items() if not found}
    left_out = [item for item in items if lacking & {mark.name for mark in item.iter_markers()}]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the Chromium that browser tests drive; mark those tests ``browser``."""
    path = find_chromium()
    assert path is not None, "a test that uses this fixture carries the mark 'browser'"
    return path


@pytest.fixture(scope="session")
def mnist_root() -> Path:
    """Return the folder that holds real ``mnist``; mark the tests that use it ``mnist``."""
    folder = find_mnist()
    assert folder is not None, "a test that uses this fixture carries the mark 'mnist'"
    return folder.parent


@pytest.fixture
def fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bootstrap with 299 resamples, for tests that judge many claims."""
    from byheart.statistics import inference

    monkeypatch.setattr(inference, "RESAMPLES", 299)


@pytest.fixture
def only_verdicts(fewer_resamples: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge in less time, for tests that count verdicts over many simulated runs.

    What explains a verdict once it stands is left out: reasons, seeds needed, close calls.
    """
    from byheart.statistics import decide

    monkeypatch.setattr(decide, "_with_reasons", lambda case, judgement, share, claims: judgement)
    monkeypatch.setattr(decide, "_close_call", lambda *_: None)
