"""Errors that a user can mend: one line that names the input and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from byheart.texts import visible

MOST_NAMED = 60
"""Right names that an error lists."""


class ByheartError(Exception):
    """Base of every error byheart raises on purpose.

    Args:
        message: one line; names in it may be a stranger's, and are made harmless.
    """

    def __init__(self, message: str) -> None:
        super().__init__(visible(" ".join(line.strip() for line in message.splitlines())))


class InputError(ByheartError, ValueError):
    """Bad usage or input. The command line prints the message and exits with code 2."""


class DataError(InputError):
    """A data source that is missing, damaged or not what it claims to be."""


class StoreError(InputError):
    """A store that cannot be written, is corrupt, locked, or from a newer version."""


def choose(kind: str, name: str, known: Iterable[str]) -> str:
    """Return ``name`` if it is one of ``known``, else raise an error with the nearest right name.

    Args:
        kind: what the name stands for, as the user would call it ("claim", "preset").
        name: what the user wrote.
        known: the right names.

    Raises:
        InputError: ``name`` is not known.
    """
    names = list(known)
    if name in names:
        return name
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    listed = ", ".join(names[:MOST_NAMED])
    raise InputError(f"unknown {kind} '{name}': {hint}known are {listed}{more}")
