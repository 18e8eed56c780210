"""Where the command line writes: results to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys

from rich.console import Console
from rich.text import Text

from byheart.texts import visible, visible_json


class CutShortError(Exception):
    """Ctrl-C, where a command has something of its own to say about it."""


def results() -> Console:
    """Return the console of what was asked for; made anew, so that a redirected stdout counts."""
    return Console(file=sys.stdout, highlight=False)


def notes() -> Console:
    """Return the console of all that goes on beside it: progress, hints."""
    return Console(file=sys.stderr, highlight=False)


def plain(text: object) -> Text:
    """Return a stranger's text for a table: no markup, and nothing that steers the terminal."""
    return Text(visible(str(text)))


def tell(message: object) -> None:
    """Write lines to stdout, names in them made harmless."""
    print(visible(str(message), keep="\n"))


def say(message: str) -> None:
    """Write lines to stderr, names in them made harmless."""
    print(visible(message, keep="\n"), file=sys.stderr, flush=True)


def error(message: str) -> None:
    """Write the one line that says what is wrong and what would be right."""
    say("error: " + " ".join(line.strip() for line in message.splitlines() if line.strip()))


def write_json(value: object) -> None:
    """Write a value as JSON to stdout."""
    print(visible_json(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)))
