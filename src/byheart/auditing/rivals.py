"""Which other label an example may have: a tally of few classes that stands for one of all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.auditing.observed import Observed

SLOTS = 4
"""Classes that are tallied for an example: memory does not grow with the number of classes."""
CHUNK = 2**16
"""Examples whose tallies are brought up to date at once."""


@dataclass(frozen=True)
class Rivals:
    """For each example the classes that the network preferred to its label, or nearly did.

    Attributes:
        classes: [N, 4], integers as narrow as will do; -1 where a slot is empty.
        weights: float32 [N, 4]: the sum over epochs of the probability of the class, whenever it
            was the likeliest besides the label.
    """

    classes: NDArray[np.signedinteger]
    weights: NDArray[np.float32]

    @classmethod
    def empty(cls, examples: int, classes: int) -> Rivals:
        """Return tallies of nothing yet, for so many examples and classes."""
        shape = (examples, SLOTS)
        return cls(np.full(shape, -1, narrowest(classes)), np.zeros(shape, np.float32))

    def copy(self) -> Rivals:
        """Return tallies that no later epoch changes."""
        return Rivals(self.classes.copy(), self.weights.copy())

    def add(self, rival: NDArray[np.int32], weight: NDArray[np.float32]) -> None:
        r"""Count one epoch, in place.

        Formula: a class that has a slot gains its probability there; one that has none takes the
        lightest slot over, with its weight: w <- min_s w_s + p. With S slots, a weight is then too
        large by at most 1/S of the sum of all, and never too small; up to S classes it is exact.

        Args:
            rival: [N] likeliest class besides the label.
            weight: [N] its probability; 0 where the example was not seen.

        Source: the weighted SpaceSaving of Metwally, Agrawal & El Abbadi (2005).
        """
        for start in range(0, len(rival), CHUNK):
            part = slice(start, start + CHUNK)
            rows = np.flatnonzero(weight[part] > 0) + start
            classes, weights = self.classes[rows], self.weights[rows]
            held = classes == rival[rows, None]
            slot = np.where(held.any(1), held.argmax(1), weights.argmin(1))
            self.classes[rows, slot] = rival[rows]
            self.weights[rows, slot] += weight[rows]


def narrowest(classes: int) -> np.dtype[np.signedinteger]:
    """Return the narrowest integers that hold -1 and every class."""
    return np.min_scalar_type(-max(classes, 1))


def rivals_of(epochs: list[Observed], examples: int, classes: int) -> Rivals:
    """Return the tallies of whole epochs, in which every example was seen once, in order."""
    rivals = Rivals.empty(examples, classes)
    for epoch in epochs:
        rivals.add(epoch.rival, epoch.weight)
    return rivals
