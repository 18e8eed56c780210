"""Text from strangers, made harmless where it is shown."""

from __future__ import annotations

import re

_UNSEEN = re.compile(
    # Control characters, escape sequences of terminals among them.
    "[\x00-\x1f\x7f-\x9f"
    # What turns the direction of all that follows, breaks a line, or has no width. The joiners
    # U+200C and U+200D stay: scripts and emoji need them.
    "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f"
    # Bytes of a file name that are no UTF-8, as Python hands them on: no file could hold them.
    "\ud800-\udfff]"
)


def visible(text: str, keep: str = "") -> str:
    r"""Return a text in which every character is seen: "\\x1b" for what would steer a terminal.

    Args:
        text: a name of a class or a file, say, from anyone.
        keep: characters that stay as they are, such as line breaks in code.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def cell(text: str) -> str:
    """Return a text for a cell of a CSV file, which a spreadsheet must not take for a formula.

    Source: OWASP, "CSV Injection".
    """
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
