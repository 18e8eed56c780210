"""Which part of every value a pass of rows back through a network goes through: all, or windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Size, Tensor

from byheart.measures.critical.bends import Lines, MaxPool
from byheart.measures.critical.programs import Program, Window
from byheart.measures.critical.steps import Affine, Node

FEW_ROWS = 3
"""Fewer rows than this do not pay for placing filters."""


class BoundedValues(Protocol):
    """What passes need to know of a network; :class:`.deviations.Deviations` has it."""

    nodes: Sequence[Node]
    program: Program
    centres: list[Tensor]
    half: Tensor
    lines: dict[int, Lines]

    def placed(self, number: int) -> Tensor:
        """Return the filters before a max pool at its entries, for all samples."""
        ...


class AllPlaces:
    """Passes through all of every value, for some samples."""

    def __init__(self, of: BoundedValues, samples: Tensor, lines: Mapping[int, Lines]) -> None:
        self.of, self.samples, self.given = of, samples, lines

    @property
    def half(self) -> Tensor:
        """Return half the width of the boxes, for what is held of the input."""
        return self.of.half[self.samples]

    def lines(self, number: int) -> Lines:
        """Return the lines of a step, for what is held of its output."""
        return self.given[number].take(self.samples)

    def pull(self, step: Affine, source: int, coefficients: Tensor) -> Tensor:
        """Return the coefficients of an affine step's input."""
        shape = self.of.centres[source].shape[1:]
        flat = step.transpose(coefficients.flatten(0, 1), shape)
        return flat.reshape(*coefficients.shape[:2], *shape)

    def spread(
        self, number: int, coefficients: Tensor, entry: Tensor
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Return the coefficients that a max pool's go to, and the values they belong to.

        If a convolution computes the pool's input, its filters are placed at the entries.
        """
        node = self.of.nodes[number]
        assert isinstance(node.step, MaxPool)
        filters = self.of.program.filters.get(number)
        if filters is None or coefficients.shape[1] < FEW_ROWS:
            size, padding = self.size(node.inputs[0]), self.padding(node.step.padding)
            return node.step.spread(coefficients, entry, size, padding), node.inputs
        placed = self.placed(number).flatten(1, 2)
        blocks = torch.matmul(coefficients.flatten(3).permute(0, 3, 1, 2), placed)
        size, padding = self.size(filters.source), self.padding(filters.window.padding)
        part = filters.place(blocks, entry.shape[2:], size, padding)
        return part, (filters.source,)

    def placed(self, number: int) -> Tensor:
        """Return the filters before a max pool, [batch, *places, channels, filter]."""
        placed = self.of.placed(number)
        everyone = torch.equal(self.samples, torch.arange(len(placed), device=placed.device))
        return placed if everyone else placed[self.samples]

    def size(self, value: int) -> tuple[int, int]:
        """Return height and width of what is held of a value."""
        shape = self.of.centres[value].shape
        return shape[2], shape[3]

    def padding(self, padding: tuple[int, int]) -> tuple[int, int]:
        """Return how much of the padding of a step is within what is held."""
        return padding


class SomePlaces(AllPlaces):
    """Passes through the parts of the values that reach single places of an image."""

    def __init__(
        self,
        of: BoundedValues,
        places: Tensor,
        lines: Mapping[int, Lines],
        windows: dict[int, Window],
        shape: Size,
    ) -> None:
        self.windows, self.shape = windows, (shape[0], shape[1])
        area = shape[0] * shape[1]
        self.row, self.column = places % area // shape[1], places % area % shape[1]
        super().__init__(of, places // area, lines)

    def _cut(self, value: int, values: Tensor) -> Tensor:
        views = self.windows[value].cut(values, self.shape)
        return views[self.samples, :, self.row, self.column]

    @property
    def half(self) -> Tensor:
        """Return half the width of the boxes, for what is held of the input."""
        return self._cut(0, self.of.half)

    def lines(self, number: int) -> Lines:
        """Return the lines of a step, for what is held of its output."""
        return self.given[number].each(lambda value: self._cut(number + 1, value))

    def placed(self, number: int) -> Tensor:
        """Return the filters before a max pool, [batch, *places, channels, filter]."""
        everywhere, window = self.of.placed(number), self.windows[number + 1]
        down, across = (
            (at.unsqueeze(1) * stride - padding + torch.arange(size)).clamp(0, most - 1)
            for at, stride, padding, size, most in zip(
                (self.row, self.column),
                window.stride,
                window.padding,
                window.size,
                everywhere.shape[1:3],
                strict=True,
            )
        )
        # Places beyond the edges have coefficients 0.
        return everywhere[self.samples[:, None, None], down[:, :, None], across[:, None, :]]

    def size(self, value: int) -> tuple[int, int]:
        """Return height and width of what is held of a value."""
        return self.windows[value].size

    def padding(self, padding: tuple[int, int]) -> tuple[int, int]:
        """Return how much of the padding of a step is within what is held."""
        del padding
        return 0, 0

    def pull(self, step: Affine, source: int, coefficients: Tensor) -> Tensor:
        """Return the coefficients of an affine step's input."""
        if step.kernel is None:
            assert step.scale is not None
            return coefficients * step.scale
        kernel, flat = step.kernel, coefficients.flatten(0, 1)
        shape = Size((self.of.centres[source].shape[1], *self.size(source)))
        if kernel.weight.shape[1:] == (1, 1, 1) and kernel.groups == len(kernel.weight):
            flat = flat * kernel.weight.reshape(-1, 1, 1)
        elif flat.shape[2:] == (1, 1) and kernel.groups == 1 and kernel.dilation == (1, 1):
            flat = flat.flatten(1) @ kernel.weight.flatten(1)
        else:
            flat = replace(kernel, padding=(0, 0)).transpose(flat, shape)
        part = flat.reshape(*coefficients.shape[:2], *shape)
        if any(kernel.padding):
            part = self._inside(source, part)
        return part

    def spread(
        self, number: int, coefficients: Tensor, entry: Tensor
    ) -> tuple[Tensor, tuple[int, ...]]:
        """Return the coefficients that a max pool's go to; see :class:`AllPlaces`."""
        part, inputs = super().spread(number, coefficients, entry)
        return self._inside(inputs[0], part), inputs

    def _inside(self, source: int, part: Tensor) -> Tensor:
        """Return coefficients of a value, 0 beyond its edges: there it is 0, always."""
        if not source or source - 1 in self.of.lines:
            return part  # the box and the lines are 0 there
        ones = torch.ones_like(self.of.centres[source], dtype=part.dtype)
        return part * self._cut(source, ones).unsqueeze(1)
