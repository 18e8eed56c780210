"""How wide a network must be for what the widest of a grid achieves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from byheart.errors import InputError

Values = NDArray[np.float64]


def sufficient_width(widths: Values, accuracy: Values, *, margin: float = 0.01) -> Values:
    r"""Return the smallest width whose accuracy is within a margin of the best over widths.

    Formula: with \(a^*\) the non-decreasing sequence nearest to the accuracies in least squares,
    the smallest w with \(a^*(w) \ge \max a^* - \mathrm{margin}\), where \(a^*\) is linear in log w
    between the widths of the grid; at least the narrowest of them.

    The best of several noisy values lies above the truth, and all the more the noisier they are. A
    monotone curve averages over neighbours that chance has put in the wrong order, and its largest
    value over those that chance has put on top.

    Args:
        widths: [W] ascending.
        accuracy: [S, W] one curve per row.
        margin: in the unit of the accuracies.

    Returns:
        [S] widths within the grid; NaN for a row with a gap.

    Raises:
        InputError: fewer than two widths, widths that do not ascend, or another number of them.

    Source: Arpit et al. (2017), Figure 5; Barlow et al. (1972) for isotonic regression.
    """
    grid = np.asarray(widths, dtype=float)
    if grid.ndim != 1 or len(grid) < 2 or not (np.diff(grid) > 0).all() or grid[0] <= 0:
        raise InputError(f"widths are {grid.tolist()}: give at least two, ascending from above 0")
    if accuracy.ndim != 2 or accuracy.shape[1] != len(grid):
        raise InputError(
            f"accuracies have shape {list(accuracy.shape)} but there are {len(grid)} widths: give "
            f"one curve per row, [seeds, {len(grid)}]"
        )
    sufficient = np.exp([_crossing(np.log(grid), curve, margin) for curve in accuracy])
    # Rounding in the logarithm must not leave the grid.
    return np.asarray(np.clip(sufficient, grid[0], grid[-1]))


def accuracy_at(widths: Values, accuracy: Values, width: Values) -> Values:
    """Return each curve at its own width, linear in log width; the ends hold beyond the grid.

    Args:
        widths: [W] ascending.
        accuracy: [S, W] one curve per row.
        width: [S].

    Returns:
        [S]; NaN where the width is.
    """
    grid = np.log(np.asarray(widths, dtype=float))
    return np.array(
        [np.interp(np.log(at), grid, row) for at, row in zip(width, accuracy, strict=True)]
    )


def _crossing(grid: Values, curve: Values, margin: float) -> float:
    """Return the logarithm of the width, on a grid of logarithms."""
    if np.isnan(curve).any():
        return float("nan")
    rising = np.asarray(isotonic_regression(curve).x)
    enough = float(rising[-1]) - margin
    at = int((rising >= enough).argmax())
    if at == 0:
        return float(grid[0])
    share = (enough - rising[at - 1]) / (rising[at] - rising[at - 1])
    return float(grid[at - 1] + share * (grid[at] - grid[at - 1]))
