r"""Backward bounds on what a network does around the centres of boxes, fast enough for CNNs.

Every value z of the network is written as c + d: c at the centre of the box, computed in float64,
and a deviation d, which is small. Affine layers map deviations without their bias, and a
nonlinearity lies between two lines in d. What bounds of deviations lose to rounding is a share of
the deviations, not of the values: so they can be computed in float32.

Rounding errors of the network itself, and those of the bounds, are added to the lines once for each
box. No pass of a row back through the network computes them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Size, Tensor
from torch.nn import functional

from byheart.measures.critical.arithmetic import SPARE, gamma, unit_of
from byheart.measures.critical.steps import (
    Add,
    Affine,
    Flatten,
    Kernel,
    MaxPool,
    Node,
    Reach,
    Relu,
    dot,
)

ROUNDED = 1.001
"""Factor for rounding errors of rounding errors."""
UNDERFLOW = 2.0**-40
"""More than what underflow takes from a bound; see :data:`LARGEST_DEVIATION`."""
LARGEST_DEVIATION = 2.0**46
"""Fewer than 2^40 products lose at most 2^-126 each, times a deviation smaller than this."""
ELEMENTS = 2**19
"""Numbers in the largest tensor of a pass: they stay in the cache."""


class Lines(NamedTuple):
    r"""Two lines between which a nonlinearity lies, as deviations.

    Formula: A g(c + d) - A g(c) >= (A slope - |A| spread) d + A shift - |A| gap, each factor for
    each value. For a max pool d is that of the entry which is largest at the centre.

    Attributes:
        slope: [N, *shape], mean slope of the upper and the lower line.
        spread: half the difference of their slopes.
        shift: mean of the lines at d = 0.
        gap: half their difference, with all rounding errors.
        entry: int64 [N, *shape], which entry of a window d belongs to; None for other steps.
    """

    slope: Tensor
    spread: Tensor
    shift: Tensor
    gap: Tensor
    entry: Tensor | None = None

    def back(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coefficients [batch, rows, *shape] of d and the constants [batch, rows]."""
        size = coefficients.abs()
        constant = dot(coefficients, self.shift) - dot(size, self.gap)
        slopes, spreads = self.slope.unsqueeze(1), self.spread.unsqueeze(1)
        return torch.mul(coefficients, slopes).sub_(size.mul_(spreads)), constant


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
    """

    nodes: Sequence[Node]
    folded: dict[int, tuple[Affine, int]]
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
        return cls(nodes, folded, dtype)

    def affine(self, number: int) -> tuple[Affine, int] | None:
        """Return an affine layer and the value it takes; None if the node is of another kind."""
        if number in self.folded:
            return self.folded[number]
        step = self.nodes[number].step
        return (step, self.nodes[number].inputs[0]) if isinstance(step, Affine) else None


def _scaled(step: Affine, scale: Tensor) -> Affine | None:
    if step.kernel is not None:
        kernel = replace(step.kernel, weight=step.kernel.weight * scale.reshape(-1, 1, 1, 1))
        return replace(step, kernel=kernel, transpose=kernel.transpose)
    if step.weight is not None and scale.dim() == 1:
        weight = step.weight * scale.unsqueeze(1)

        def transpose(coefficients: Tensor, shape: Size) -> Tensor:
            del shape
            return coefficients @ weight

        return replace(step, weight=weight, transpose=transpose)
    return None


class Deviations:
    """Backward bounds for a batch of boxes.

    Attributes:
        reaches: where the values can be, in float64: of the input and of what each node returns.
        centres: the values at the centres of the boxes, in float64.
        errors: how far a deviation can be from the linear map of earlier ones that stands for it.
        lines: of the nonlinearities, by number, in the format of the passes.
    """

    def __init__(self, nodes: Sequence[Node], program: Program, box: Reach) -> None:
        centre = (box.low + box.high) / 2
        self.nodes, self.program, self.dtype = nodes, program, program.dtype
        self.unit = unit_of(program.dtype)
        self.reaches, self.centres, self.errors = [box], [centre], [torch.zeros_like(centre)]
        self.lines: dict[int, Lines] = {}
        half = (box.high - box.low) / 2 + 4 * unit_of(torch.float64) * centre.abs()
        self.half = (half * (1.0 + 2.0 * gamma(half[0].numel() + SPARE, self.unit))).to(self.dtype)

    def forward(self, *, tighten: bool) -> None:
        """Bound all values in turn, those that a nonlinearity takes by passes back.

        Args:
            tighten: else by intervals alone.
        """
        for number, node in enumerate(self.nodes):
            source = node.inputs[0]
            if isinstance(node.step, Relu | MaxPool):
                if tighten and self._can_improve(source):
                    self._tighten(source, number)
                self.lines[number] = self._lines(number)
            reach = node.interval(self.reaches)
            self.centres.append(node.step.value(*(self.centres[v] for v in node.inputs)))
            self.reaches.append(reach)
            self.errors.append(self._error(number))

    def margins(self, rows: Tensor, coefficients: Tensor) -> Tensor:
        """Return lower bounds of linear functions of the output, [n, bounds] float64.

        Args:
            rows: [n] samples.
            coefficients: [n, bounds, classes], -1, 0 and 1.
        """
        exact = coefficients.double()
        value = len(self.nodes)
        deviation = self._descend(value, coefficients.to(self.dtype), _Whole(self, rows)).double()
        rounding = 8 * unit_of(torch.float64) * dot(exact.abs(), self.centres[-1][rows].abs())
        centre = dot(exact, self.centres[-1][rows]) - rounding
        return centre + deviation - ROUNDED * dot(exact.abs(), self.errors[-1][rows])

    def _size(self, value: int) -> Tensor:
        """Return the largest absolute deviation of a value."""
        reach, centre = self.reaches[value], self.centres[value]
        return torch.maximum(reach.high - centre, centre - reach.low)

    def _error(self, number: int) -> Tensor:
        """Return the entry of ``errors`` for what a node returns."""
        node, value = self.nodes[number], number + 1
        if isinstance(node.step, Relu | MaxPool):
            return torch.zeros_like(self.centres[value])
        before = self.errors[node.inputs[0]]
        if isinstance(node.step, Flatten):
            return node.step.value(before)
        rounding = 4.0 * self.unit * self._size(value)
        error = self.reaches[value].error
        assert error is not None
        if isinstance(node.step, Add):
            return error + rounding + before + self.errors[node.inputs[1]]
        share = gamma(sum(node.step.terms) + SPARE, self.unit)
        lost = share * self._size(node.inputs[0]) + ROUNDED * before
        return error + rounding + node.step.absolute(lost)

    def _lines(self, number: int) -> Lines:
        step, source = self.nodes[number].step, self.nodes[number].inputs[0]
        reach, centre = self.reaches[source], self.centres[source]
        size, carried, entry = self._size(source), self.errors[source], None
        if isinstance(step, MaxPool):
            entry = step.largest(centre)
            lower, upper, centre, largest = _pool_lines(step, reach, centre, entry)
            size, carried = step.pick(size, entry), step.pick(carried, entry)
        else:
            lower, upper = _relu_lines(reach, centre)
            largest = reach.largest
        slope, spread = (upper[0] + lower[0]) / 2, (upper[0] - lower[0]) / 2
        shift, gap = (upper[1] + lower[1]) / 2, (upper[1] - lower[1]) / 2
        steep = slope.abs() + spread.abs()
        gap = gap + steep * (ROUNDED * carried + 16 * self.unit * size)
        gap = gap + 16 * unit_of(torch.float64) * (1.0 + steep) * (largest + centre.abs())
        share = 2.0 * gamma(shift[0].numel() + SPARE, self.unit)
        gap = gap * (1.0 + share) + share * shift.abs()
        return Lines(*(v.to(self.dtype) for v in (slope, spread, shift, gap)), entry)

    def _can_improve(self, value: int) -> bool:
        """Return whether intervals lose something at a value that passes back can win."""
        if not value or not isinstance(self.nodes[value - 1].step, Affine | Add):
            return False
        before = [node.step for node in self.nodes[:value]]
        bends = any(isinstance(step, Relu | MaxPool) for step in before)
        mixes = sum(isinstance(step, Affine) and step.terms != (1, 1) for step in before)
        return bends or mixes > 1

    def _tighten(self, value: int, number: int) -> None:
        """Replace the bounds of a value where the node ``number`` needs better ones."""
        reach, centre, error = self.reaches[value], self.centres[value], self.errors[value]
        wanted = torch.stack(self._wanted(number), 1)
        windows = self._windows(value)
        if windows is None:
            order = (lambda values: values.flatten(1), lambda values: values.reshape(centre.shape))
            widest = max(reach.low[0].numel() for reach in self.reaches)
        else:
            order = (_by_place, lambda values: _by_channel(values, centre.shape))
            widest = max(
                self.centres[v].shape[1] * window.size[0] * window.size[1]
                for v, window in windows.items()
            )
        flat, back = order
        low, high, middle, lost = (flat(v) for v in (reach.low, reach.high, centre, error))
        low, high = low.clone(), high.clone()
        units = low.shape[1]
        both = torch.cat([flat(wanted[:, 0]), flat(wanted[:, 1])], 1)
        for places, chosen in _chunks(both, max(1, ELEMENTS // widest)):
            unit, sign = chosen % units, 1.0 - 2.0 * (chosen >= units).double()
            rows = torch.zeros(*chosen.shape, units, dtype=self.dtype, device=low.device)
            rows.scatter_(2, unit.unsqueeze(2), sign.to(self.dtype).unsqueeze(2))
            if windows is None:
                scope: _Whole = _Whole(self, places)
                rows = rows.reshape(*chosen.shape, *centre.shape[1:])
            else:
                scope = _Part(self, places, windows, centre.shape[2:])
                rows = rows.reshape(*chosen.shape, units, 1, 1)
            index = (places.unsqueeze(1), unit)
            bound = self._descend(value, rows, scope).double() - ROUNDED * lost[index]
            for sides, positive in ((low, True), (high, False)):
                where = both[places.unsqueeze(1), chosen] & ((sign > 0) == positive)
                at = (index[0].expand_as(unit)[where], unit[where])
                new = middle[at] + (bound[where] if positive else -bound[where])
                rounding = 4 * unit_of(torch.float64) * middle[at].abs()
                old = sides[at]
                # A bound that is not a number improves nothing.
                better = new - rounding > old if positive else new + rounding < old
                outward = new - rounding if positive else new + rounding
                sides[at] = torch.where(better, outward, old)
        self.reaches[value] = reach.within(back(low), back(high))

    def _wanted(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the inputs of a nonlinearity whose lower and whose upper bounds matter."""
        node = self.nodes[number]
        reach = self.reaches[node.inputs[0]]
        undecided = (reach.low < 0) & (reach.high > 0)
        if isinstance(node.step, Relu):
            return undecided, undecided
        assert isinstance(node.step, MaxPool)
        takers = [after.step for after in self.nodes if number + 1 in after.inputs]
        rectified = all(isinstance(step, Relu) for step in takers)
        return node.step.matter(reach, self.centres[node.inputs[0]], rectified=rectified)

    def _windows(self, value: int) -> dict[int, Window] | None:
        """Return the part of each earlier value that reaches one place of an image.

        None if a value is no image, or if the layers are not one chain.
        """
        windows = {value: Window()}
        while value:
            if self.centres[value].dim() != 4 or self.nodes[value - 1].inputs != (value - 1,):
                return None
            step = self.nodes[value - 1].step
            kernel = step.kernel if isinstance(step, Affine) else step
            window = windows[value]
            if isinstance(kernel, Kernel | MaxPool):
                window = window.before(kernel)
            elif not isinstance(step, Relu) and not (isinstance(step, Affine) and step.scale is not None):
                return None
            value -= 1
            windows[value] = window
        return windows if self.centres[0].dim() == 4 else None

    def _descend(self, value: int, coefficients: Tensor, scope: _Whole) -> Tensor:
        """Return lower bounds [batch, rows] of linear functions of a value's deviation.

        The caller subtracts what ``errors`` of the value can take away.
        """
        pending = {value: coefficients}
        constant = coefficients.new_zeros(coefficients.shape[:2])
        for number in reversed(range(value)):
            if number + 1 not in pending:
                continue
            part, node = pending.pop(number + 1), self.nodes[number]
            inputs, affine = node.inputs, self.program.affine(number)
            if number in self.lines:
                lines = scope.lines(number)
                part, added = lines.back(part)
                constant = constant + added
                if lines.entry is not None:
                    part = scope.spread(number, part, lines.entry)
            elif affine is not None:
                step, source = affine
                part, inputs = scope.pull(step, source, part), (source,)
            elif isinstance(node.step, Flatten):
                shape = self.centres[node.inputs[0]].shape[1:]
                part = part.reshape(*part.shape[:2], *shape)
            for source in inputs:
                pending[source] = pending[source] + part if source in pending else part
        return constant - dot(pending[0].abs_(), scope.half) - UNDERFLOW


class _Whole:
    """Passes through all of every value, for some samples."""

    def __init__(self, of: Deviations, samples: Tensor) -> None:
        self.of, self.samples, self.places = of, samples, len(samples)

    @property
    def half(self) -> Tensor:
        return self.of.half[self.samples]

    def lines(self, number: int) -> Lines:
        return Lines(*(None if v is None else v[self.samples] for v in self.of.lines[number]))

    def pull(self, step: Affine, source: int, coefficients: Tensor) -> Tensor:
        shape = self.of.centres[source].shape[1:]
        flat = step.transpose(coefficients.flatten(0, 1), shape)
        return flat.reshape(*coefficients.shape[:2], *shape)

    def spread(self, number: int, coefficients: Tensor, entry: Tensor) -> Tensor:
        node = self.of.nodes[number]
        assert isinstance(node.step, MaxPool)
        shape = self.of.centres[node.inputs[0]].shape[2:]
        return _to_entries(node.step, coefficients, entry, shape, node.step.padding)


class _Part(_Whole):
    """Passes through the parts of the values that reach single places of an image."""

    def __init__(
        self, of: Deviations, places: Tensor, windows: dict[int, Window], shape: Size
    ) -> None:
        self.windows, self.shape = windows, (shape[0], shape[1])
        area = shape[0] * shape[1]
        self.row, self.column = places % area // shape[1], places % area % shape[1]
        super().__init__(of, places // area)

    def _cut(self, value: int, values: Tensor) -> Tensor:
        views = self.windows[value].cut(values, self.shape)
        return views[self.samples, :, self.row, self.column]

    @property
    def half(self) -> Tensor:
        return self._cut(0, self.of.half)

    def lines(self, number: int) -> Lines:
        return Lines(
            *(None if v is None else self._cut(number + 1, v) for v in self.of.lines[number])
        )

    def pull(self, step: Affine, source: int, coefficients: Tensor) -> Tensor:
        if step.kernel is None:
            assert step.scale is not None
            return coefficients * step.scale
        kernel, flat = step.kernel, coefficients.flatten(0, 1)
        window = self.windows[source]
        shape = Size((self.of.centres[source].shape[1], *window.size))
        if kernel.weight.shape[1:] == (1, 1, 1) and kernel.groups == len(kernel.weight):
            flat = flat * kernel.weight.reshape(-1, 1, 1)
        elif flat.shape[2:] == (1, 1) and kernel.groups == 1 and kernel.dilation == (1, 1):
            flat = flat.flatten(1) @ kernel.weight.flatten(1)
        else:
            flat = replace(kernel, padding=(0, 0)).transpose(flat, shape)
        part = flat.reshape(*coefficients.shape[:2], *shape)
        # Beyond its edges a value is 0, and so is its deviation: lines hold this already.
        if source and source - 1 not in self.of.lines and any(kernel.padding):
            ones = torch.ones_like(self.of.centres[source], dtype=part.dtype)
            part = part * self._cut(source, ones).unsqueeze(1)
        return part

    def spread(self, number: int, coefficients: Tensor, entry: Tensor) -> Tensor:
        node = self.of.nodes[number]
        assert isinstance(node.step, MaxPool)
        size = self.windows[node.inputs[0]].size
        return _to_entries(node.step, coefficients, entry, Size(size), (0, 0))


def _to_entries(
    step: MaxPool, coefficients: Tensor, entry: Tensor, size: Size, padding: tuple[int, int]
) -> Tensor:
    """Return the coefficients of a max pool's inputs: those of a window go to one entry."""
    down, across = padding
    places = coefficients.shape[3:]
    height, width = size[0] + 2 * down, size[1] + 2 * across
    result = coefficients.new_zeros(*coefficients.shape[:3], height, width)
    for index in range(step.kernel[0] * step.kernel[1]):
        row = index // step.kernel[1] * step.dilation[0]
        column = index % step.kernel[1] * step.dilation[1]
        rows = slice(row, row + (places[0] - 1) * step.stride[0] + 1, step.stride[0])
        columns = slice(column, column + (places[1] - 1) * step.stride[1] + 1, step.stride[1])
        mask = (entry == index).to(coefficients.dtype).unsqueeze(1)
        result[..., rows, columns].addcmul_(coefficients, mask)
    return result[..., down : down + size[0], across : across + size[1]]


def _relu_lines(reach: Reach, centre: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
    """Return slope and shift of the lower and of the upper line of ReLUs, as deviations."""
    low, high = reach.low.clamp(max=0.0), reach.high.clamp(min=0.0)
    slope = torch.where(reach.low >= 0, 1.0, high / (high - low).clamp(min=torch.finfo().tiny))
    alpha = (reach.high > -reach.low).to(slope)
    at = centre.clamp(min=0.0)
    return (alpha, alpha * centre - at), (slope, slope * (centre - low) - at)


def _pool_lines(
    step: MaxPool, reach: Reach, centre: Tensor, entry: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor], Tensor, Tensor]:
    r"""Return the lines of max pools, the centres of the entries, and the largest values in play.

    Formula: for the entry z in [l, u] that is largest at the centre and others of at most m, the
    maximum is at least z and at most t + (u - t)^+ / (u - l) (z - l) with t = max(l, m).
    """
    high = step.windows(reach.high)
    others = high.scatter(2, entry.flatten(2).unsqueeze(2), float("-inf")).amax(2)
    low, top, at = (step.pick(values, entry) for values in (reach.low, reach.high, centre))
    least = torch.maximum(others.reshape(low.shape), low)
    slope = (top - least).clamp(min=0.0) / (top - low).clamp(min=torch.finfo().tiny)
    upper = (slope, least + slope * (at - low) - at)
    largest = torch.maximum(torch.maximum(low.abs(), top.abs()), least.abs())
    return (torch.ones_like(slope), torch.zeros_like(slope)), upper, at, largest


def _by_place(values: Tensor) -> Tensor:
    """Return [N, channels, height, width] as [places, channels]."""
    return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])


def _by_channel(values: Tensor, shape: Size) -> Tensor:
    """Return [places, channels] as [N, channels, height, width] again."""
    images = values.reshape(shape[0], shape[2], shape[3], shape[1])
    return images.permute(0, 3, 1, 2).contiguous()


def _chunks(wanted: Tensor, rows: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield places [b] and units [b, n] that cover ``wanted`` [places, units], few beyond it.

    Args:
        wanted: bool.
        rows: b n at most.
    """
    counts = wanted.sum(1)
    order = counts.argsort(stable=True)
    order = order[counts[order] > 0]
    while len(order):
        longest = int(counts[order[-1]])
        together = max(1, rows // longest)
        places, order = order[-together:], order[:-together]
        ranked = torch.sort((~wanted[places]).to(torch.uint8), dim=1, stable=True).indices
        for units in torch.split(ranked[:, :longest], rows, 1):
            yield places, units
