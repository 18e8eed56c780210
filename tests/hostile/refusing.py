"""What is asked of every reader: a right answer, or an error of ours in one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from byheart.errors import InputError
from byheart.texts import visible

T = TypeVar("T")


def answer(read: Callable[[], T]) -> T | None:
    """Return what a reader says of its input, None if it refuses it; anything else is a bug."""
    try:
        return read()
    except InputError as error:
        message = str(error)
        assert message
        assert message == visible(message), f"not one plain line: {message!r}"
        return None
