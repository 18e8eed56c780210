"""A network, as the certificate sees it: steps, and the values that they take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from byheart.measures.critical.affine import Reach
from byheart.measures.critical.relaxations import Add


class Step(Protocol):
    """A layer of one input on which bounds can travel."""

    def value(self, z: Tensor) -> Tensor:
        """Return the output at an input."""
        ...

    def interval(self, reach: Reach) -> Reach:
        """Return where the outputs can be, given where the inputs can be."""
        ...

    def back(self, coefficients: Tensor, reach: Reach, output: Reach) -> tuple[Tensor, Tensor]:
        """Return A', c with A output >= A' input + c for all inputs within ``reach``.

        Args:
            coefficients: A, [batch, bounds, *output].
            reach: of the inputs, [batch, *input].
            output: what ``interval`` returned, or tighter bounds with the same error.
        """
        ...


@dataclass(frozen=True)
class Node:
    """A step and what it takes.

    Attributes:
        step: of the network.
        inputs: numbers of the values it takes: 0 is the network's input, n + 1 what node n returns.
    """

    step: Step | Add
    inputs: tuple[int, ...]

    def interval(self, reaches: Sequence[Reach]) -> Reach:
        """Return where the outputs can be, given where all earlier values can be."""
        return self.step.interval(*(reaches[value] for value in self.inputs))


def values(nodes: Sequence[Node], x: Tensor) -> list[Tensor]:
    """Return every value of a network at an input, in the order of their numbers."""
    found = [x]
    for node in nodes:
        found.append(node.step.value(*(found[value] for value in node.inputs)))
    return found
