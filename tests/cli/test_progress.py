"""How a command says how far it is."""

import io
import sys

import pytest

from byheart.cli import progress


def test_a_log_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([0.0, 4.0, 12.0, 13.0, 30.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(seconds))
    with progress.epochs_trained() as tell:
        for done in (1, 2, 3, 4):
            tell(done, 4)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["2 of 4 epochs, about 12 s left"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress.epochs_trained() as tell:
        tell(1, 4)
    assert "training" in terminal.getvalue()
    assert terminal.getvalue().rstrip("\n").endswith("\x1b[2K")


def test_a_bar_goes_away_when_training_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with pytest.raises(KeyboardInterrupt), progress.epochs_trained() as tell:
        tell(1, 4)
        raise KeyboardInterrupt
    assert "\x1b[?25h" in terminal.getvalue()
