"""Conditions such as ``flagged > 0.05 and not onset >= 5``: read by a grammar of their own.

::

    condition  = term { "or" term }
    term       = factor { "and" factor }
    factor     = "not" factor | "(" condition ")" | comparison
    comparison = operand ( "<" | "<=" | ">" | ">=" | "==" | "!=" ) operand
    operand    = name | number | number "%"

Nothing of a condition is ever executed: it is a string from a user, perhaps from a pull request.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from byheart.errors import InputError, choose

MOST_LETTERS = 1_000
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?(?![\w.]))|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign><=|>=|==|!=|[<>()-]))",
    re.ASCII,
)

Values = Mapping[str, float | None]
_Test = Callable[[Values], bool]
_Operand = Callable[[Values], float]


@dataclass(frozen=True)
class Condition:
    """What a user asked for.

    Attributes:
        text: as it was written.
        names: that it asks about.
    """

    text: str
    names: frozenset[str]
    _test: _Test

    def holds(self, values: Values) -> bool:
        """Return whether it is true.

        Args:
            values: of all names; None for what is not known.

        Raises:
            InputError: it asks about something that is not known: that is neither true nor false.
        """
        unknown = sorted(name for name in self.names if values[name] is None)
        if unknown:
            raise InputError(
                f"the condition '{self.text}' cannot be decided: {unknown[0]} is not known here "
                "(see what the audit says first)"
            )
        return self._test(values)


def read_condition(text: str, names: Iterable[str]) -> Condition:
    """Return the condition that a text stands for.

    Args:
        text: see the grammar above.
        names: that it may ask about.

    Raises:
        InputError: it is none, or asks about something else; says where, and what would be right.
    """
    if len(text) > MOST_LETTERS:
        raise InputError(f"the condition has {len(text)} letters: write one of {MOST_LETTERS:,}")
    reader = _Reader(text, tuple(names))
    return Condition(text, frozenset(reader.asked), reader.test)


class _Reader:
    """One pass over the words of a condition, from left to right."""

    def __init__(self, text: str, names: tuple[str, ...]) -> None:
        self._text, self._names = text, names
        self._words = list(self._split())
        self._at = 0
        self.asked: set[str] = set()
        self.test = self._any(0)
        if self._word():
            self._refuse("'and', 'or' or the end")

    def _split(self) -> Iterator[tuple[str, str, int]]:
        at, end = 0, len(self._text.rstrip())
        while at < end:
            found = _TOKEN.match(self._text, at)
            if found is None:
                rest = self._text[at:].lstrip()
                raise InputError(
                    f"the condition '{self._text}' cannot be read at '{rest[:12]}': write it like "
                    "flagged > 0.05, with and, or, not and parentheses"
                )
            kind = found.lastgroup or ""
            yield kind, found[kind], found.start(kind)
            at = found.end()

    def _word(self) -> str:
        return self._words[self._at][1] if self._at < len(self._words) else ""

    def _take(self, *wanted: str) -> bool:
        if self._word() in wanted and self._word():
            self._at += 1
            return True
        return False

    def _any(self, depth: int) -> _Test:
        tests = [self._all(depth)]
        while self._take("or"):
            tests.append(self._all(depth))
        return lambda values: any(test(values) for test in tests)

    def _all(self, depth: int) -> _Test:
        tests = [self._factor(depth)]
        while self._take("and"):
            tests.append(self._factor(depth))
        return lambda values: all(test(values) for test in tests)

    def _factor(self, depth: int) -> _Test:
        if depth > 20:
            raise InputError(
                f"the condition '{self._text}' is nested too deeply: 20 levels at most"
            )
        if self._take("not"):
            negated = self._factor(depth + 1)
            return lambda values: not negated(values)
        if self._take("("):
            inner = self._any(depth + 1)
            if not self._take(")"):
                self._refuse("')'")
            return inner
        return self._comparison()

    def _comparison(self) -> _Test:
        left = self._operand()
        sign = self._word()
        if not self._take(*_COMPARE):
            self._refuse("a comparison (" + " ".join(_COMPARE) + ")")
        right, compare = self._operand(), _COMPARE[sign]
        return lambda values: compare(left(values), right(values))

    def _operand(self) -> _Operand:
        sign = -1.0 if self._take("-") else 1.0
        kind, word, _ = self._words[self._at] if self._at < len(self._words) else ("", "", 0)
        if kind == "number":
            self._at += 1
            percent = word.endswith("%")
            number = sign * float(word.rstrip("%")) / (100 if percent else 1)
            return lambda _: number
        if kind != "name" or word in ("and", "or", "not") or sign < 0:
            self._refuse("a number" if sign < 0 else "a name or a number")
        choose("name in the condition", word, self._names)
        self._at += 1
        self.asked.add(word)
        return lambda values: _known(values[word])

    def _refuse(self, wanted: str) -> None:
        if self._at < len(self._words):
            _, word, start = self._words[self._at]
            where = f"'{word}' (letter {start + 1}) stands"
        else:
            where = "it ends"
        raise InputError(f"the condition '{self._text}': {where} where {wanted} should be")


def _known(value: float | None) -> float:
    assert value is not None
    return value
