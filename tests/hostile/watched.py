"""Runs commands and prints every path that they write, make, move or remove: a process of its own.

``python -m tests.hostile.watched OUT`` writes below OUT what a user's commands write.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import unquote

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {
    "shutil.rmtree",
    *(f"os.{one}" for one in ("mkdir", "remove", "rename", "rmdir", "link", "symlink", "truncate")),
}


def database(address: object) -> object:
    """Return the file that SQLite may write to; None for a database in memory, or read only."""
    if address in ("", ":memory:"):
        return None
    if not isinstance(address, str):
        return address
    path, _, mode = address.removeprefix("file:").partition("?")
    return None if "mode=ro" in mode else unquote(path)


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Print the paths of an event that changes files."""
    changed: tuple[object, ...] = ()
    if event == "open":
        path, mode, flags = arguments
        by_mode = isinstance(mode, str) and set(mode) & set("wax+")
        if by_mode or (isinstance(flags, int) and flags & WRITING):
            changed = (path,)
    elif event == "sqlite3.connect":
        changed = tuple(map(database, arguments[:1]))
    elif event in CHANGES:
        # Last comes the folder that a name counts from, open already, or -1: only shutil.rmtree
        # counts so, and has said which tree.
        last = arguments[-1]
        counted = event != "os.truncate" and isinstance(last, int) and last >= 0
        changed = () if counted else arguments
    for path in changed:
        if isinstance(path, str | bytes | os.PathLike):
            print(f"wrote {Path(os.fsdecode(path)).absolute()}", flush=True)


def main(out: Path) -> None:
    sys.addaudithook(watch)
    from tests.studies.tiny import run

    from byheart.cli.main import main as byheart
    from byheart.runners.base import InlineRunner

    run(out / "study", InlineRunner(1))
    network = ["digits", "--model", "tests.networks.user_networks:mlp"]
    commands = (
        ["report", out / "study"],
        ["store", "verify", out / "study"],
        ["store", "list", out / "study"],
        ["store", "export", out / "study", "--to", out / "exported"],
        ["store", "merge", out / "study", out / "merged"],
        ["audit", *network, "--examples", "200", "--epochs", "3", "--seeds", "2",
         "--out", out / "audit"],
        ["advise", *network, "--examples", "100", "--epochs", "2", "--rounds", "1,2,2",
         "--regularizer", "label smoothing", "--out", out / "advice"],
    )  # fmt: skip
    for command in commands:
        code = byheart([str(word) for word in command])
        print(f"ended {command[0]} {code}", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
