"""Makes text from users and data sets safe to show in terminals, pages and tables."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

_UNSEEN = re.compile(
    # Control characters, escape sequences of terminals among them.
    "[\x00-\x1f\x7f-\x9f"
    # What turns the direction of all that follows, breaks a line, or has no width. The joiners
    # U+200C and U+200D stay: scripts and emoji need them.
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\U000e0000-\U000e007f"
    # Bytes of a file name that are no UTF-8, as Python hands them on: no file could hold them.
    "\ud800-\udfff]"
)


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def visible(text: str, keep: str = "") -> str:
    r"""Return a text in which every character is seen: "\\x1b" for what would steer a terminal.

    Args:
        text: a name of a class or a file, say, from anyone.
        keep: characters that stay as they are, such as line breaks in code.
    """
    return _UNSEEN.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def visible_within(value: Any) -> Any:
    """Return lists and dicts with every text in them visible, as what is drawn must be.

    A control character in a text ends the process of vl-convert, and ours with it.
    """
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {name: visible_within(item) for name, item in value.items()}
    return [visible_within(item) for item in value] if isinstance(value, list | tuple) else value


def xml(text: str) -> str:
    """Return a text as XML can hold it."""
    return escape(visible(text), quote=False)


def visible_json(text: str) -> str:
    """Return JSON that means the same, in which every character is seen."""
    return _UNSEEN.sub(
        lambda match: match[0] if match[0] == "\n" else json.dumps(match[0])[1:-1], text
    )


def cell(value: Any) -> Any:
    """Return a value for a cell of a CSV file: no text that a spreadsheet takes for a formula.

    Source: OWASP, "CSV Injection".
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
