"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys

from rich.console import Console


class CutShortError(Exception):
    """Ctrl-C, where a command has something of its own to say about it."""


def results() -> Console:
    """Return the console of what was asked for; made anew, so that a redirected stdout counts."""
    return Console(file=sys.stdout, highlight=False)


def notes() -> Console:
    """Return the console of all that goes on beside it: progress, hints."""
    return Console(file=sys.stderr, highlight=False)


def say(message: str) -> None:
    """Write one line to stderr."""
    print(message, file=sys.stderr, flush=True)


def error(message: str) -> None:
    """Write the one line that says what is wrong and what would be right."""
    say("error: " + " ".join(line.strip() for line in message.splitlines() if line.strip()))


def write_json(value: object) -> None:
    """Write a value as JSON to stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
