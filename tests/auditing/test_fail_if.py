"""Conditions of ``--fail-if``: read as a syntax tree, and never run."""

import pytest

from byheart.auditing.fail_if import read_fail_if
from byheart.errors import InputError

VALUES = {"flagged": 0.08, "onset": 7.0, "recall": None}


def holds(text: str) -> bool:
    return read_fail_if(text, VALUES).holds(VALUES)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("flagged > 0.05", True),
        ("flagged>5%", True),
        ("flagged < .05", False),
        ("flagged >= 0.08 and flagged <= 8e-2", True),
        ("onset == 7", True),
        ("onset != 7", False),
        ("0.05 < flagged", True),
        ("flagged > 0.5 or onset < 10", True),
        ("flagged > 0.5 or onset < 10 and flagged > 0.5", False),
        ("(flagged > 0.5 or onset < 10) and flagged > 0.05", True),
        ("not flagged > 0.5", True),
        ("not (flagged > 0.05 or onset > 3)", False),
        ("not not onset > 3", True),
        ("onset > -1", True),
        ("onset > 3 or onset > 3 and onset > 9", True),
        ("1 < 2", True),
        ("  onset\n>\t3 ", True),
    ],
)
def test_a_condition_means_what_it_says(text: str, wanted: bool) -> None:
    assert holds(text) is wanted


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "ends too early"),
        ("flagged", "cannot be read at 'flagged'"),
        ("flagged >", "ends too early"),
        ("flagged > 0.05 and", "ends too early"),
        ("flagged = 0.05", "cannot be read at '= 0.05'"),
        ("flagged => 0.05", "cannot be read at '=> 0.05'"),
        ("flaged > 0.05", "did you mean 'flagged'?"),
        ("0.01 < flagged < 0.1", "one comparison at a time"),
        ("(flagged > 0.05", "cannot be read at '(flagged > 0"),
        ("flagged > 0.05)", "cannot be read at ')'"),
        ("flagged > 5 %", "cannot be read at '%'"),
        ("flagged > 1.2.3", "cannot be read at '.3'"),
        ("flagged > -onset", "cannot be read at '-onset'"),
        ("flagged > 0.05 or or onset > 3", "cannot be read at 'or onset > 3'"),
        ("flagged > and", "cannot be read at 'and'"),
        ("flagged AND onset > 3", "cannot be read at"),
        ("flagged > 1or onset > 3", "cannot be read at"),
        ("flagged > True", "cannot be read at 'True'"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(text: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        read_fail_if(text, VALUES)
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "().__class__",
        "flagged.__class__ > 1",
        "open('/etc/passwd')",
        "exit",
        "lambda: 1",
        "flagged > 9**9**9",
        "flagged > 0; import os",
        "flagged > 0 # and more",
        "[x for x in (1,)] > 1",
        "f'{flagged}' > 1",
        "flagged > \uff10.\uff15",
        "fl\u0430gged > 1",
        "flagged > 0\x00",
        "not " * 50 + "flagged > 0",
        "(" * 400 + "flagged > 0" + ")" * 400,
        "1" * 2000,
        "{{ 7 * 7 }} > 1",
        "$(touch /tmp/x) > 1",
    ],
)
def test_nothing_but_a_condition_is_taken(text: str) -> None:
    with pytest.raises(InputError):
        read_fail_if(text, VALUES)


def test_what_is_not_known_is_neither_true_nor_false() -> None:
    condition = read_fail_if("onset > 3 or recall < 1", VALUES)
    with pytest.raises(InputError, match="recall is not known"):
        condition.holds(VALUES)


def test_a_condition_knows_what_it_asks_about() -> None:
    assert read_fail_if("onset > 3 or 1 < flagged", VALUES).names == {"onset", "flagged"}
