"""Scales, ticks and number formats of the two axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from byheart.studies.figure import Axis

MOST_TICKS = 8
HEADROOM = 0.04
"""Share of the vertical axis left free, so that no label stands out above the panel."""

_LEADING = (
    (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)
"""Leading digits of the ticks of a logarithmic axis, from the finest choice to the coarsest."""


def horizontal(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Return title, scale and ticks of the x axis as Altair's channels take them.

    Args:
        axis: what the figure says of it.
        values: everything that must fit on it, in its unit.
    """
    if axis.log:
        return _logarithmic(axis, values, alt.Scale(type="log", nice=False))
    if axis.percent and values and min(values) >= 0 and 0.95 < max(values) <= 1:
        # The whole range of a share, though its outermost examples stand half a step inside.
        return _linear(axis, alt.Scale(domain=[0, 1], nice=False))
    return _linear(axis, alt.Scale(zero=_near_zero(values), nice=not axis.percent))


def vertical(axis: Axis, values: Sequence[float]) -> dict[str, Any]:
    """Return title, scale and ticks of the y axis; arguments as for :func:`horizontal`."""
    low, high = float(min(values, default=0.1)), float(max(values, default=1.0))
    if axis.log:
        factor = (high / low) ** HEADROOM if high > low else 2.0
        domain = [low / factor, high * factor]
        return _logarithmic(axis, values, alt.Scale(type="log", domain=domain, nice=False))
    room = HEADROOM * (high - low) or 0.5
    domain = [0.0 if _near_zero(values) else low - room, high + room]
    return _linear(axis, alt.Scale(domain=domain, nice=False, zero=False))


def number_format(axis: Axis, *, tip: bool = False) -> str:
    """Return the d3 format of an axis, or of its tooltip, which shows one digit more."""
    if axis.percent:
        return ".1~%" if tip else "~%"
    # With no precision of its own, Vega gives a linear axis one so low that 10 becomes 1e+1.
    return ".3~g" if tip else ".6~g"


def log_ticks(values: Sequence[float]) -> list[float]:
    """Return the values themselves where they are few whole numbers, else the finest round ones."""
    own = sorted({float(value) for value in values})
    if len(own) <= MOST_TICKS and all(value.is_integer() for value in own):
        return own
    low, high = own[0], own[-1]
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for leading in _LEADING:
        every = (float(f"{digit}e{decade}") for decade in decades for digit in leading)
        ticks = [tick for tick in every if low <= tick <= high]
        if len(ticks) <= MOST_TICKS:
            break
    return ticks


def _logarithmic(axis: Axis, values: Sequence[float], scale: alt.Scale) -> dict[str, Any]:
    shown = alt.Axis(format=number_format(axis), values=log_ticks(values))
    return {"title": axis.title, "scale": scale, "axis": shown}


def _linear(axis: Axis, scale: alt.Scale) -> dict[str, Any]:
    shown = alt.Axis(format=number_format(axis), tickCount=5)
    return {"title": axis.title, "scale": scale, "axis": shown}


def _near_zero(values: Sequence[float]) -> bool:
    """Tell whether zero belongs on the axis: far from it, the differences are what is shown."""
    low, high = float(min(values, default=0.0)), float(max(values, default=1.0))
    return 0 <= low <= 0.5 * high
