"""How every command can end."""

import errno
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import byheart as package
from byheart.cli import claims as claims_command
from byheart.cli import main as cli
from byheart.studies import registry

Run = Callable[..., Any]


def test_the_version_is_that_of_the_package(byheart: Run) -> None:
    assert byheart("--version").out == f"byheart {package.__version__}\n"


def test_without_a_command_help_is_shown(byheart: Run) -> None:
    shown = byheart()
    assert shown.code == 0
    for command in ("study", "plan", "claims", "audit", "report", "store"):
        assert command in shown.out


@pytest.mark.parametrize(
    "command",
    ["study", "plan", "claims", "audit", "report", "store verify", "store list", "store export"],
)
def test_every_command_explains_itself(byheart: Run, command: str) -> None:
    shown = byheart(*command.split(), "--help")
    assert shown.code == 0
    assert "Usage: byheart" in shown.out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("stduy", "stduy"),
        ("study --sedes 3", "--sedes"),
        ("study --seeds x", "study --help"),
        ("study --seeds", "--seeds"),
        ("report", "DIR"),
        ("claims extra", "extra"),
        ("store", "command"),
        ("store verfy x", "verfy"),
    ],
)
def test_wrong_usage_gets_one_line(byheart: Run, words: str, named: str) -> None:
    refused = byheart(*words.split())
    assert refused.code == 2
    assert named in refused.error


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_cannot_be_written_gets_one_line(
    byheart: Run, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def fail(*_: object) -> None:
        raise OSError(code, "the reason", "out/page.html")

    monkeypatch.setattr(claims_command, "write_json", fail)
    refused = byheart("claims", "--json")
    assert refused.code == 2
    assert refused.error.startswith("error: out/page.html: the reason: ")


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(claims_command, "write_json", fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(["claims", "--json"])


def test_an_interruption_is_one_line_and_code_130(
    byheart: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(claims_command, "write_json", interrupt)
    stopped = byheart("claims", "--json")
    assert stopped.code == 130
    assert stopped.err.splitlines() == [
        "interrupted: finished trials are kept; give the same command to continue"
    ]


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "byheart", "--version"], capture_output=True, text=True
    )
    assert done.stdout == f"byheart {package.__version__}\n"


def test_a_reader_that_stops_early_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m byheart claims | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout


def test_every_claim_is_listed_with_its_rule(byheart: Run) -> None:
    listed = json.loads(byheart("claims", "--json").out)
    assert [row["claim"] for row in listed] == [claim.id for claim in registry.claims()]
    assert all(row["source"] and row["statement"] and row["rule"] for row in listed)


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_the_list_of_claims_fits_the_terminal(
    byheart: Run, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    text = byheart("claims").out
    assert max(len(line) for line in text.splitlines()) <= int(columns)
    assert all(claim.id in text for claim in registry.claims())
