"""What passes back need of a network: folded layers, parts of images, filters behind max pools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Size, Tensor
from torch.nn import functional

from byheart.measures.critical.bends import MaxPool
from byheart.measures.critical.steps import Affine, Kernel, Node

FEW_CHANNELS = 8
"""A convolution of at most so many input channels is placed at the entries of a max pool."""


@dataclass(frozen=True)
class Window:
    """Which part of a value reaches one place of another: along both axes of an image.

    Attributes:
        stride: between the parts of two neighbouring places.
        padding: how far the part of the first place starts before the value does.
        size: of the part.
    """

    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    size: tuple[int, int] = (1, 1)

    def before(self, step: Kernel | MaxPool) -> Window:
        """Return the part of the input of a step, given that of its output."""
        kernel = step.kernel if isinstance(step, MaxPool) else step.weight.shape[2:]
        axes = zip(
            self.stride,
            self.padding,
            self.size,
            kernel,
            step.stride,
            step.padding,
            step.dilation,
            strict=True,
        )
        (down, across) = (
            (stride * by, padding * by + pad, (size - 1) * by + gap * (width - 1) + 1)
            for stride, padding, size, width, by, pad, gap in axes
        )
        return Window(*((a, b) for a, b in zip(down, across, strict=True)))

    def cut(self, values: Tensor, places: tuple[int, int]) -> Tensor:
        """Return a view of the parts of all places, [N, channels, *places, *size]; 0 outside."""
        edges: list[int] = []
        for axis in (1, 0):
            end = (places[axis] - 1) * self.stride[axis] - self.padding[axis] + self.size[axis]
            edges += [self.padding[axis], end - values.shape[2 + axis]]
        padded = functional.pad(values, edges)
        return padded.unfold(2, self.size[0], self.stride[0]).unfold(
            3, self.size[1], self.stride[1]
        )


@dataclass(frozen=True)
class Program:
    """A network as passes take it: batch norm is part of the layer before it.

    Attributes:
        nodes: in the format of the passes.
        folded: by number of a node, the layer and the value that takes its place on the way back.
        filters: by number of a max pool, those of the convolution that computes what it takes.
        dtype: format of the passes.
    """

    nodes: Sequence[Node]
    folded: dict[int, tuple[Affine, int]]
    filters: dict[int, EntryFilters]
    dtype: torch.dtype

    @classmethod
    def of(cls, nodes: Sequence[Node], dtype: torch.dtype) -> Program:
        """Fold every batch norm whose layer before it has no other user."""
        users = [sum(node.inputs.count(v) for node in nodes) for v in range(len(nodes) + 1)]
        folded = {}
        for number, node in enumerate(nodes):
            value = node.inputs[0]
            if not isinstance(node.step, Affine) or node.step.scale is None or not value:
                continue
            before = nodes[value - 1]
            if isinstance(before.step, Affine) and users[value] == 1:
                merged = _scaled(before.step, node.step.scale)
                if merged is not None:
                    folded[number] = (merged, before.inputs[0])
        program = cls(nodes, folded, {}, dtype)
        for number, node in enumerate(nodes):
            value = node.inputs[0]
            affine = program.affine(value - 1) if value and users[value] == 1 else None
            if isinstance(node.step, MaxPool) and affine is not None:
                kernel = affine[0].kernel
                if kernel is not None and _is_slow(kernel):
                    program.filters[number] = EntryFilters.of(kernel, affine[1], node.step)
        return program

    def affine(self, number: int) -> tuple[Affine, int] | None:
        """Return an affine layer and the value it takes; None if the node is of another kind."""
        if number in self.folded:
            return self.folded[number]
        step = self.nodes[number].step
        return (step, self.nodes[number].inputs[0]) if isinstance(step, Affine) else None


def _is_slow(kernel: Kernel) -> bool:
    """Return whether PyTorch's own way back through a convolution is slow: to few channels."""
    plain = kernel.groups == 1 and kernel.dilation == (1, 1)
    return plain and kernel.weight.shape[1] <= FEW_CHANNELS


def _scaled(step: Affine, scale: Tensor) -> Affine | None:
    if step.kernel is not None and scale.shape == (len(step.kernel.weight), 1, 1):
        kernel = replace(step.kernel, weight=step.kernel.weight * scale.reshape(-1, 1, 1, 1))
        return replace(step, kernel=kernel, transpose=kernel.transpose)
    if step.weight is not None and scale.shape == (len(step.weight),):
        weight = step.weight * scale.unsqueeze(1)

        def transpose(coefficients: Tensor, shape: Size) -> Tensor:
            del shape
            return coefficients @ weight

        return replace(step, weight=weight, transpose=transpose)
    return None


@dataclass(frozen=True)
class EntryFilters:
    """A convolution's filters, each placed at every entry of the windows of a max pool behind it.

    Attributes:
        weight: [channels, entries, inputs * height * width].
        window: what of the input reaches one place of the pool.
        source: the value that the convolution takes.
        inputs: channels of it.
    """

    weight: Tensor
    window: Window
    source: int
    inputs: int

    @classmethod
    def of(cls, kernel: Kernel, source: int, pool: MaxPool) -> EntryFilters:
        """Place the filters of a convolution without groups and gaps."""
        window = Window().before(pool).before(kernel)
        weight, (height, width) = kernel.weight, kernel.weight.shape[2:]
        placed = weight.new_zeros(
            len(weight), pool.kernel[0], pool.kernel[1], weight.shape[1], *window.size
        )
        for i in range(pool.kernel[0]):
            for j in range(pool.kernel[1]):
                down = i * pool.dilation[0] * kernel.stride[0]
                across = j * pool.dilation[1] * kernel.stride[1]
                rows, columns = slice(down, down + height), slice(across, across + width)
                placed[:, i, j, :, rows, columns] = weight
        return cls(placed.flatten(1, 2).flatten(2), window, source, weight.shape[1])

    def place(
        self, blocks: Tensor, places: Size, size: tuple[int, int], padding: tuple[int, int]
    ) -> Tensor:
        """Add up the blocks [batch, places, rows, inputs * height * width] of all places.

        Returns:
            [batch, rows, inputs, *size].
        """
        (height, width), (down, across) = self.window.size, self.window.stride
        blocks = blocks.reshape(*blocks.shape[:3], self.inputs, height, width)
        covered = ((places[0] - 1) * down + height, (places[1] - 1) * across + width)
        result = blocks.new_zeros(len(blocks), blocks.shape[2], self.inputs, *covered)
        for place in range(places[0] * places[1]):
            row, column = place // places[1] * down, place % places[1] * across
            result[..., row : row + height, column : column + width] += blocks[:, place]
        top, left = padding
        if padding == (0, 0) and covered == size:
            return result
        edges = (-left, size[1] + left - covered[1], -top, size[0] + top - covered[0])
        return functional.pad(result, edges)
