"""``--fail-if``: conditions on the numbers of an audit, such as ``flagged > 5% and not onset < 3``.

Python's own parser reads the text. Nothing of it is executed: a condition may come from a pull
request. A walk over the syntax tree takes comparisons of names and numbers, ``and``, ``or``,
``not`` and parentheses, and refuses everything else.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from byheart.auditing.result import AuditResult
from byheart.errors import InputError, choose

MOST_LETTERS = 1_000
DEEPEST = 20
_COMPARE: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_PERCENT = re.compile(r"(?<![\w.])((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)%(?![\w.])", re.ASCII)
_OTHER_SIGN = re.compile(r"[^\w\s<>=!().+-]", re.ASCII)

Values = Mapping[str, float | None]


@dataclass(frozen=True)
class Quantity:
    """A number that a condition may ask about.

    Attributes:
        name: in conditions.
        meaning: in words.
        needs_reviews: known only with reviews.
    """

    name: str
    meaning: str
    needs_reviews: bool = False


QUANTITIES = (
    Quantity("flagged", "share of examples that are flagged", needs_reviews=True),
    Quantity("mislabelled", "estimated share of wrong labels", needs_reviews=True),
    Quantity("mislabelled_low", "lower end of its interval", needs_reviews=True),
    Quantity("mislabelled_high", "upper end of its interval", needs_reviews=True),
    Quantity("precision", "estimated share of wrong labels among the flagged", needs_reviews=True),
    Quantity("recall", "estimated share of all wrong labels that are flagged", needs_reviews=True),
    Quantity("rare", "share of examples with the verdict 'rare'"),
    Quantity("ambiguous", "share of examples with the verdict 'ambiguous'"),
    Quantity("conflicts", "number of pairs of near-duplicates with different labels"),
    Quantity("onset", "epoch at which memorization sets in; infinite if it did not"),
    Quantity("gain", "accuracy on held-out examples gained by stopping there, as a share"),
    Quantity("examples", "number of examples"),
    Quantity("epochs", "epochs per run"),
)


def quantities(audit: AuditResult) -> dict[str, float | None]:
    """Return the numbers that a condition may ask about; None where a number is not known."""
    examples = len(audit.table)
    shares = audit.table["verdict"].value_counts() / examples
    values: dict[str, float | None] = dict.fromkeys(quantity.name for quantity in QUANTITIES)
    values |= {
        "rare": float(shares.get("rare", 0.0)),
        "ambiguous": float(shares.get("ambiguous", 0.0)),
        "conflicts": len(audit.conflicts),
        "examples": examples,
        "epochs": audit.epochs,
    }
    calibration, onset = audit.calibration, audit.onset
    if calibration.reviews is not None:
        wrong, recall = calibration.mislabelled, calibration.recall.value
        values |= {
            "flagged": len(calibration.flagged) / examples,
            "mislabelled": wrong.value / examples,
            "mislabelled_low": wrong.low / examples,
            "mislabelled_high": wrong.high / examples,
            "precision": calibration.precision.value,
            "recall": None if math.isnan(recall) else recall,
        }
    if onset is not None:
        values |= {"onset": onset.epoch if onset.reached else math.inf, "gain": onset.gain}
    return values


@dataclass(frozen=True)
class FailIf:
    """A condition that a user gave.

    Attributes:
        text: as the user wrote it.
        names: the quantities that it asks about.
    """

    text: str
    names: frozenset[str]
    _tree: ast.expr

    def holds(self, values: Values) -> bool:
        """Return whether the condition is true; refuse to decide on a value that is None."""
        unknown = sorted(name for name in self.names if values[name] is None)
        if unknown:
            raise InputError(
                f"the condition '{self.text}' cannot be decided: {unknown[0]} is not known here "
                "(the audit's first lines say why)"
            )
        return _is_true(self._tree, values)


def read_fail_if(text: str, names: Iterable[str]) -> FailIf:
    """Return the condition that a text stands for; refuse any other text and say where it fails."""
    if len(text) > MOST_LETTERS:
        raise InputError(f"the condition has {len(text)} letters: write at most {MOST_LETTERS:,}")
    # Python knows no "5%", and ends a line where a condition may go on.
    plain = _PERCENT.sub(lambda match: repr(float(match[1]) / 100), " ".join(text.split()))
    strange = _OTHER_SIGN.search(plain)
    if strange is not None:
        _refuse(text, plain[strange.start() :])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = ast.parse(plain, mode="eval").body
    except SyntaxError as error:
        _refuse(text, plain[error.offset - 1 :] if error.offset else "")
    except (MemoryError, RecursionError):
        _refuse(text, plain)
    known = tuple(names)
    asked: set[str] = set()
    _require_condition(tree, text, known, asked)
    return FailIf(text, frozenset(asked), tree)


def _require_condition(
    node: ast.expr, text: str, known: tuple[str, ...], asked: set[str], depth: int = 0
) -> None:
    """Refuse what is not a condition, and collect the names that it asks about."""
    if depth > DEEPEST:
        raise InputError(f"the condition '{text}' is nested too deeply: {DEEPEST} levels at most")
    match node:
        case ast.BoolOp(values=parts):
            for part in parts:
                _require_condition(part, text, known, asked, depth + 1)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            _require_condition(part, text, known, asked, depth + 1)
        case ast.Compare(left=left, ops=[sign], comparators=[right]) if type(sign) in _COMPARE:
            for side in (left, right):
                if isinstance(side, ast.Name):
                    choose("name in the condition", side.id, known)
                    asked.add(side.id)
                elif _number(side) is None:
                    _refuse(text, ast.unparse(side))
        case _:
            _refuse(text, ast.unparse(node))


def _is_true(node: ast.expr, values: Values) -> bool:
    match node:
        case ast.BoolOp(op=ast.And(), values=parts):
            return all(_is_true(part, values) for part in parts)
        case ast.BoolOp(values=parts):
            return any(_is_true(part, values) for part in parts)
        case ast.UnaryOp(operand=part):
            return not _is_true(part, values)
        case ast.Compare(left=left, ops=[sign], comparators=[right]):
            return _COMPARE[type(sign)](_value(left, values), _value(right, values))
    raise AssertionError(f"{ast.dump(node)} was not refused when the condition was read")


def _value(node: ast.expr, values: Values) -> float:
    value = values[node.id] if isinstance(node, ast.Name) else _number(node)
    assert value is not None
    return value


def _number(node: ast.expr) -> float | None:
    """Return the number that a node is, with or without a minus sign; None if it is none."""
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant() as operand):
            number = _number(operand)
            return None if number is None else -number
    return None


def _refuse(text: str, rest: str) -> NoReturn:
    where = f"cannot be read at '{rest.strip()[:12]}'" if rest.strip() else "ends too early"
    raise InputError(
        f"the condition '{text}' {where}: write it like flagged > 0.05, with and, or, not and "
        "parentheses, one comparison at a time"
    )
