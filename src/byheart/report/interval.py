"""Positions for a small drawing of an estimate and its interval."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from byheart.report.numbers import exact
from byheart.studies.judging import FindingPart, Interval

WIDTH = 176.0
_MARGIN = 10.0
"""Pixels left free at either side."""
_LABEL_GAP = 34.0
"""Smallest distance between labels, in pixels."""
_DIGIT_WIDTH = 6.0
"""Width of a digit, in pixels."""


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
        bracket: the range of the estimate, if values per seed are known only between bounds.
        null: the value without an effect.
        zones: the ranges in which the effect is large enough for the criterion.
        labels: numbers at the null and at the bounds of the zones.
    """

    estimate: float
    ci: Interval | None
    corrected: Interval | None
    bracket: Interval | None
    null: float
    zones: tuple[Interval, ...]
    labels: tuple[Label, ...]


def draw(part: FindingPart) -> Drawing | None:
    """Return the drawing of one criterion, or None if there is no estimate."""
    if part.estimate is None or not math.isfinite(part.estimate):
        return None
    limits = _criterion_limits(part)
    known: list[float] = [
        part.estimate,
        part.null,
        *limits,
        *(part.ci or ()),
        *(part.ci_corrected or ()),
        *(part.bracket or ()),
    ]
    finite = [value for value in known if math.isfinite(value)]
    low, high = min(finite), max(finite)
    if high == low:
        low, high = low - 1.0, high + 1.0

    def to_pixel(value: float) -> float:
        fraction = (min(max(value, low), high) - low) / (high - low)
        return round(_MARGIN + fraction * (WIDTH - 2 * _MARGIN), 1)

    def span(ends: Interval | None) -> Interval | None:
        return None if ends is None else (to_pixel(ends[0]), to_pixel(ends[1]))

    return Drawing(
        estimate=to_pixel(part.estimate),
        ci=span(part.ci),
        corrected=span(part.ci_corrected),
        bracket=span(part.bracket),
        null=to_pixel(part.null),
        zones=_zones(part, [to_pixel(value) for value in limits]),
        labels=tuple(_labels([(to_pixel(value), value) for value in (part.null, *limits)])),
    )


def _criterion_limits(part: FindingPart) -> list[float]:
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


def _zones(part: FindingPart, limit_pixels: list[float]) -> tuple[Interval, ...]:
    match part.kind if limit_pixels else None:
        case "above":
            return ((limit_pixels[0], WIDTH),)
        case "below":
            return ((0.0, limit_pixels[0]),)
        case "within":
            return ((limit_pixels[0], limit_pixels[1]),)
        case "differs":
            return ((0.0, limit_pixels[0]), (limit_pixels[1], WIDTH))
    return ()


def _labels(candidates: list[tuple[float, float]]) -> Iterator[Label]:
    """Yield the labels that do not overlap an earlier one; the null comes first."""
    taken: list[float] = []
    for x, value in candidates:
        if all(abs(x - other) >= _LABEL_GAP for other in taken):
            taken.append(x)
            text = exact(value)
            half = len(text) * _DIGIT_WIDTH / 2
            anchor = "start" if x < half else "end" if x > WIDTH - half else "middle"
            yield Label(x, anchor, text)
