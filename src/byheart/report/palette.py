"""Colours that colour-blind readers can tell apart, each with a twin for dark backgrounds.

A chart is drawn once, in the colours for white paper. The page swaps every colour for its twin by
style sheet, so that dark mode needs no second drawing and print is always light.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from byheart.studies.figure import Figure

KINDS = {"real": "#0072b2", "randX": "#c65102", "randY": "#007f5f"}
"""The papers' three kinds of data keep their colour in every figure."""

OTHERS = ("#a8478a", "#7a6200", "#4c5fd7", "#5b5f66", "#9b2c2c", "#0e7c86")
REFERENCE = "#747b85"
INK = "#2b3038"
FAINT = "#59616d"
GRID = "#e3e6ea"

_VIRIDIS = (
    "#440154", "#482475", "#414487", "#355f8d", "#2a788e", "#21918c",
    "#22a884", "#44bf70", "#7ad151", "#bddf26", "#fde725",
)  # fmt: skip
"""Eleven even stops, from Smith and van der Walt (2015)."""

LEVEL_STEPS = 31
_LIGHT_RANGE = (0.0, 0.58)
_DARK_RANGE = (0.36, 1.0)


def series_colours(figure: Figure) -> list[str]:
    """Return one colour per series of a figure, for a white background.

    A dashed reference is grey, unless it is named after a series ("real, binomial" after "real").
    """
    plain = [name for name in figure.series if name not in figure.dashed]
    if figure.ordered:
        colours = dict(zip(plain, _levels(len(plain)), strict=True))
    else:
        spare = iter(OTHERS * (1 + len(plain) // len(OTHERS)))
        colours = {name: KINDS.get(name) or next(spare) for name in plain}
    return [colours.get(name) or _reference(name, colours) for name in figure.series]


def dark_twins() -> dict[str, str]:
    """Return the colour that stands for each colour of a chart on a dark background."""
    twins = {
        KINDS["real"]: "#56b4e9",
        KINDS["randX"]: "#f0894a",
        KINDS["randY"]: "#2fc79a",
        REFERENCE: "#98a1ad",
        INK: "#e4e7eb",
        FAINT: "#aab2bd",
        GRID: "#30363f",
    }
    others = ("#e08fc6", "#d9b93b", "#93a1ff", "#c2c7ce", "#f08a8a", "#5fd0d8")
    twins |= dict(zip(OTHERS, others, strict=True))
    for step in range(LEVEL_STEPS):
        share = step / (LEVEL_STEPS - 1)
        twins[_ramp(_LIGHT_RANGE, share)] = _ramp(_DARK_RANGE, share)
    return twins


_CELLS = ("#eef3f8", "#a9c9e4", "#3f84bd", "#0a2f5c")


def cell(share: float) -> str:
    """Return the colour of a share from 0 to 1 in a heat map, the same on any background."""
    position = min(1.0, max(0.0, share)) * (len(_CELLS) - 1)
    index = min(int(position), len(_CELLS) - 2)
    return _mix(_CELLS[index : index + 2], position - index)


def _reference(name: str, colours: Mapping[str, str]) -> str:
    """Return the colour of the series that a reference is named after ("real, binomial")."""
    owners = [series for series in colours if name.startswith(f"{series},")]
    return colours[max(owners, key=len)] if owners else REFERENCE


def _levels(count: int) -> list[str]:
    """Return ``count`` even steps of the ramp, snapped to those that have a twin."""
    last = LEVEL_STEPS - 1
    steps = [round(last * index / max(1, count - 1)) for index in range(count)]
    return [_ramp(_LIGHT_RANGE, step / last) for step in steps]


def _ramp(span: tuple[float, float], share: float) -> str:
    position = (span[0] + (span[1] - span[0]) * share) * (len(_VIRIDIS) - 1)
    index = min(int(position), len(_VIRIDIS) - 2)
    return _mix(_VIRIDIS[index : index + 2], position - index)


def _mix(pair: Sequence[str], share: float) -> str:
    first, second = ([int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in pair)
    mixed = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)
