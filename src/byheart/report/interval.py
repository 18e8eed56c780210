"""An estimate with its interval as a small drawing, on a scale of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from byheart.report.numbers import exact
from byheart.studies.judging import FindingPart, Interval

WIDTH = 176.0
_MARGIN = 10.0
_LABEL_GAP = 34.0
_DIGIT = 6.0


@dataclass(frozen=True)
class Label:
    """A number under the drawing."""

    x: float
    anchor: str
    text: str


@dataclass(frozen=True)
class Drawing:
    """Positions in pixels from the left, in a drawing ``WIDTH`` wide.

    Attributes:
        estimate: the dot.
        ci: the bar of the 95% interval.
        corrected: the thin line of the interval after Holm's correction.
        bracket: the bar of where the truth can be, for an estimate from bracketed values.
        null: where there is no effect.
        zones: where the claim holds, by the smallest effect or more.
        labels: the null and the bounds of the zones, in numbers.
    """

    estimate: float
    ci: Interval | None
    corrected: Interval | None
    bracket: Interval | None
    null: float
    zones: tuple[Interval, ...]
    labels: tuple[Label, ...]


def draw(part: FindingPart) -> Drawing | None:
    """Return the drawing of one criterion, or None where there is no estimate."""
    if part.estimate is None or not math.isfinite(part.estimate):
        return None
    bounds = _bounds(part)
    known: list[float] = [
        part.estimate,
        part.null,
        *bounds,
        *(part.ci or ()),
        *(part.ci_corrected or ()),
        *(part.bracket or ()),
    ]
    finite = [value for value in known if math.isfinite(value)]
    low, high = min(finite), max(finite)
    if high == low:
        low, high = low - 1.0, high + 1.0

    def place(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_MARGIN + share * (WIDTH - 2 * _MARGIN), 1)

    def span(ends: Interval | None) -> Interval | None:
        return None if ends is None else (place(ends[0]), place(ends[1]))

    return Drawing(
        estimate=place(part.estimate),
        ci=span(part.ci),
        corrected=span(part.ci_corrected),
        bracket=span(part.bracket),
        null=place(part.null),
        zones=_zones(part, [place(value) for value in bounds]),
        labels=tuple(_labels([(place(value), value) for value in (part.null, *bounds)])),
    )


def _bounds(part: FindingPart) -> list[float]:
    if part.kind is None or part.smallest is None:
        return []
    below, above = part.null - part.smallest, part.null + part.smallest
    match part.kind:
        case "above":
            return [above]
        case "below":
            return [below]
        case _:
            return [below, above]


def _zones(part: FindingPart, at: list[float]) -> tuple[Interval, ...]:
    match part.kind if at else None:
        case "above":
            return ((at[0], WIDTH),)
        case "below":
            return ((0.0, at[0]),)
        case "within":
            return ((at[0], at[1]),)
        case "differs":
            return ((0.0, at[0]), (at[1], WIDTH))
    return ()


def _labels(candidates: list[tuple[float, float]]) -> Iterator[Label]:
    """Yield the labels that do not run into one that came before; the null comes first."""
    taken: list[float] = []
    for x, value in candidates:
        if all(abs(x - other) >= _LABEL_GAP for other in taken):
            taken.append(x)
            text = exact(value)
            half = len(text) * _DIGIT / 2
            anchor = "start" if x < half else "end" if x > WIDTH - half else "middle"
            yield Label(x, anchor, text)
