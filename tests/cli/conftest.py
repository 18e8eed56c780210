"""Run the command line in this process, as a shell would see it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.studies.tiny import TINY

from byheart.cli.main import main
from byheart.studies.presets import PRESETS


@dataclass(frozen=True)
class Outcome:
    """What a command left for a shell."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a refusal: stderr must hold it and nothing else, stdout nothing."""
        assert self.out == "", self.out
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        return lines[0]


Run = Callable[..., Outcome]


@pytest.fixture
def byheart(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs ``byheart`` with the given words."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def run(*words: str | Path) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a preset whose studies take a moment; known in this process only."""
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    return "tiny"
