"""The two lines between which a nonlinearity lies, as deviations from the centre of a box."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from byheart.measures.critical.steps import dot


class Lines(NamedTuple):
    r"""Two lines between which a nonlinearity lies, as deviations.

    Formula: A g(c + d) - A g(c) >= (A slope - |A| spread) d + A shift - |A| gap, each factor for
    each value. For a max pool d is that of the entry which is largest at the centre.

    Attributes:
        slope: [N, *shape], mean slope of the upper and the lower line.
        spread: half the difference of their slopes; None if they are parallel.
        shift: mean of the lines at d = 0.
        gap: half their difference, with all rounding errors.
        entry: int64 [N, *shape], which entry of a window d belongs to; None for other steps.
    """

    slope: Tensor
    spread: Tensor | None
    shift: Tensor
    gap: Tensor
    entry: Tensor | None = None

    def take(self, rows: Tensor) -> Lines:
        """Return the lines of some samples."""
        return self.each(lambda value: value[rows])

    def each(self, change: Callable[[Tensor], Tensor]) -> Lines:
        """Return the lines with every tensor changed."""
        spread = None if self.spread is None else change(self.spread)
        entry = None if self.entry is None else change(self.entry)
        return Lines(change(self.slope), spread, change(self.shift), change(self.gap), entry)

    def back(self, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the coefficients [batch, rows, *shape] of d, and A shift and |A| gap."""
        size = coefficients.abs()
        shift, gap = dot(coefficients, self.shift), dot(size, self.gap)
        part = coefficients * self.slope.unsqueeze(1)
        if self.spread is not None:
            part.sub_(size.mul_(self.spread.unsqueeze(1)))
        return part, shift, gap
