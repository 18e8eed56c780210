r"""Backward bounds on what a network does around the centres of boxes, fast enough for CNNs.

Every value z of the network is written as c + d: c at the centre of the box, computed in float64,
and a deviation d, which is small. Affine layers map deviations without their bias, and a
nonlinearity lies between two lines in d. What bounds of deviations lose to rounding is a share of
the deviations, not of the values: so they can be computed in float32.

Rounding errors of the network itself, and those of the bounds, are added to the lines once for each
box. No pass of a row back through the network computes them again.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Size, Tensor

from byheart.measures.critical.arithmetic import SPARE, gamma, unit_of
from byheart.measures.critical.bends import Bent, Between, Curve, Leaky, Lines, MaxPool, Relu
from byheart.measures.critical.programs import Program, Window
from byheart.measures.critical.scopes import AllPlaces, SomePlaces
from byheart.measures.critical.steps import Add, Affine, Flatten, Kernel, Node, Reach, dot

ROUNDED = 1.001
"""Factor for rounding errors of rounding errors."""
UNDERFLOW = 2.0**-40
"""More than what underflow takes from a bound; see :data:`LARGEST_DEVIATION`."""
LARGEST_DEVIATION = 2.0**46
"""Fewer than 2^40 products lose at most 2^-126 each, times a deviation smaller than this."""
PART, WHOLE = 2**19, 2**22
"""Numbers in the largest tensor of a pass, through parts of the values and through all of them."""


class Row(NamedTuple):
    r"""A linear function of a value, exchanged for one of the network's input.

    Formula: A d >= slope d_0 + shift - gap on the whole box.

    Attributes:
        slope: [batch, rows, *input].
        shift: [batch, rows].
        gap: [batch, rows].
    """

    slope: Tensor
    shift: Tensor
    gap: Tensor


@dataclass
class Best:
    """The best bounds of a value so far, [places, units] float64.

    Attributes:
        low: lower bounds.
        high: upper bounds.
        centre: the value at the centres of the boxes.
        error: the entry of :attr:`Deviations.errors`.
    """

    low: Tensor
    high: Tensor
    centre: Tensor
    error: Tensor

    def __post_init__(self) -> None:
        self.low, self.high = self.low.clone(), self.high.clone()

    def take(self, index: tuple[Tensor, Tensor], bound: Tensor, lower: Tensor) -> None:
        """Keep new bounds where they are better; one that is not a number never is.

        Args:
            index: place and unit of each.
            bound: lower bounds of deviations, or of their negatives.
            lower: bool, of deviations.
        """
        centre = self.centre[index]
        bound = bound - ROUNDED * self.error[index] - 4 * unit_of(torch.float64) * centre.abs()
        for sides, which, new in (
            (self.low, lower, centre + bound),
            (self.high, ~lower, centre - bound),
        ):
            at = (index[0][which], index[1][which])
            old, new = sides[at], new[which]
            better = new > old if sides is self.low else new < old
            sides[at] = torch.where(better, new, old)


class Deviations:
    """Backward bounds for a batch of boxes.

    Attributes:
        reaches: where the values can be, in float64: of the input and of what each node returns.
        centres: the values at the centres of the boxes, in float64.
        errors: how far a deviation can be from the linear map of earlier ones that stands for it.
        lines: of the nonlinearities, by number, in the format of the passes.
        parallel: the same with parallel lines, for bounds from both sides in one pass.
    """

    def __init__(self, nodes: Sequence[Node], program: Program, box: Reach) -> None:
        centre = (box.low + box.high) / 2
        self.nodes, self.program, self.dtype = nodes, program, program.dtype
        self.unit = unit_of(program.dtype)
        self.reaches, self.centres, self.errors = [box], [centre], [torch.zeros_like(centre)]
        self.lines: dict[int, Lines] = {}
        self.parallel: dict[int, Lines] = {}
        self.maps: dict[int, Row] = {}
        self._placed: dict[int, Tensor] = {}
        half = (box.high - box.low) / 2 + 4 * unit_of(torch.float64) * centre.abs()
        self.half = (half * (1.0 + 2.0 * gamma(half[0].numel() + SPARE, self.unit))).to(self.dtype)

    def forward(self, *, tighten: bool) -> None:
        """Bound all values in turn, those that a nonlinearity takes by passes back.

        Behind the first dense layer that is bounded so, the linear functions of the input that the
        passes found are composed forward, which costs next to nothing.

        Args:
            tighten: else by intervals alone.
        """
        for number, node in enumerate(self.nodes):
            source = node.inputs[0]
            if isinstance(node.step, Bent):
                if tighten and self._can_improve(source):
                    if self.centres[source].dim() > 2:
                        self._tighten(source, number)
                    elif source not in self.maps:
                        self._map(source, self._needed(number))
                self.lines[number], self.parallel[number] = self._lines(number)
            self.centres.append(node.step.value(*(self.centres[v] for v in node.inputs)))
            self.reaches.append(self._interval(number))
            self.errors.append(self._error(number))
            if source in self.maps and len(node.inputs) == 1:
                self._compose(number)

    def improved(self, rows: Tensor) -> Deviations:
        """Return tighter bounds for some samples, by passes for every dense layer."""
        better = copy.copy(self)
        better.reaches = [reach.take(rows) for reach in self.reaches]
        better.centres = [centre[rows] for centre in self.centres]
        better.errors = [error[rows] for error in self.errors]
        better.lines = {number: lines.take(rows) for number, lines in self.lines.items()}
        better._placed = {number: placed[rows] for number, placed in self._placed.items()}
        better.half, started = self.half[rows], False
        for number, node in enumerate(self.nodes):
            source = node.inputs[0]
            flat = isinstance(node.step, Bent) and better.centres[source].dim() == 2
            if flat and better._can_improve(source):
                started = True
                better._tighten(source, number)
                better.lines[number] = better._lines(number)[0]
            if started:
                old, new = better.reaches[number + 1], better._interval(number)
                low, high = torch.maximum(old.low, new.low), torch.minimum(old.high, new.high)
                better.reaches[number + 1] = new.within(low, high)
                better.errors[number + 1] = better._error(number)
        return better

    def _interval(self, number: int) -> Reach:
        node = self.nodes[number]
        reach = node.interval(self.reaches)
        if isinstance(node.step, Affine) and reach.error is not None:
            finer = node.step.finer_error(self.reaches[node.inputs[0]], reach.error)
            reach = replace(reach, error=finer)
        return reach

    def _map(self, value: int, needed: Tensor) -> None:
        """Bound a flat value from both sides in one pass, and keep its map of the input."""
        centre = self.centres[value]
        samples, units = centre.shape
        slope = torch.zeros(samples, units, *self.centres[0].shape[1:], dtype=self.dtype)
        slope = slope.to(centre.device)
        shift, gap = torch.zeros_like(centre), torch.full_like(centre, float("inf"))
        widest = self._widest
        for places, unit in _chunks(needed, max(1, WHOLE // widest)):
            rows = torch.zeros(*unit.shape, units, dtype=self.dtype, device=centre.device)
            rows.scatter_(2, unit.unsqueeze(2), 1.0)
            row = self._descend(value, rows, AllPlaces(self, places, self.parallel))
            index = (places.unsqueeze(1), unit)
            slope[index], shift[index] = row.slope, row.shift.double()
            gap[index] = row.gap.double()
        self.maps[value] = Row(slope.double(), shift, gap)
        self._within_map(value)

    def _compose(self, number: int) -> None:
        """Keep the map of what a node returns, given that of what it takes."""
        step, value = self.nodes[number].step, number + 1
        row = self.maps[self.nodes[number].inputs[0]]
        if isinstance(step, Relu | Leaky | Curve):
            reach, centre = self.reaches[value - 1], self.centres[value - 1]
            lower, upper = step.lines(reach, centre, parallel=True)
            slope, middle = upper.slope, (upper.shift + lower.shift) / 2
            lost = (upper.shift - lower.shift) / 2
            lost = lost + slope.abs() * ROUNDED * self.errors[value - 1]
            # Nothing is known of units that are off, and nothing needed.
            gap = torch.where(slope == 0, 0.0, slope.abs() * row.gap) + lost
            shape = slope.reshape(*slope.shape, *[1] * (row.slope.dim() - 2))
            self.maps[value] = Row(row.slope * shape, slope * row.shift + middle, gap)
        elif isinstance(step, Affine) and (step.weight is not None or step.scale is not None):
            if step.weight is not None:
                slope = torch.einsum("ij,nj...->ni...", step.weight, row.slope)
            else:
                assert step.scale is not None
                slope = row.slope * step.scale.reshape(-1, *[1] * (row.slope.dim() - 2))
            size = dot(row.slope.abs(), self.half.double()) + row.shift.abs()
            lost = gamma(step.terms[0] + SPARE, unit_of(torch.float64)) * size
            self.maps[value] = Row(slope, step.apply(row.shift), step.absolute(row.gap + lost))
            self._within_map(value)

    def _within_map(self, value: int) -> None:
        """Tighten the bounds of a value by its map."""
        row, reach, centre = self.maps[value], self.reaches[value], self.centres[value]
        spread = row.gap + dot(row.slope.abs(), self.half.double())
        spread = ROUNDED * (spread + self.errors[value]) + UNDERFLOW
        middle = centre + row.shift
        rounding = 4 * unit_of(torch.float64) * (centre.abs() + row.shift.abs())
        low, high = middle - spread - rounding, middle + spread + rounding
        low = torch.where(low > reach.low, low, reach.low)
        high = torch.where(high < reach.high, high, reach.high)
        self.reaches[value] = reach.within(low, high)

    def margins(self, rows: Tensor, coefficients: Tensor) -> Tensor:
        """Return lower bounds of linear functions of the output, [n, bounds] float64.

        Args:
            rows: [n] samples.
            coefficients: [n, bounds, classes], -1, 0 and 1.
        """
        exact = coefficients.double()
        value = len(self.nodes)
        row = self._descend(value, coefficients.to(self.dtype), AllPlaces(self, rows, self.lines))
        deviation = self._lowest(row, self.half[rows]).double()
        rounding = 8 * unit_of(torch.float64) * dot(exact.abs(), self.centres[-1][rows].abs())
        centre = dot(exact, self.centres[-1][rows]) - rounding
        return centre + deviation - ROUNDED * dot(exact.abs(), self.errors[-1][rows])

    def placed(self, number: int) -> Tensor:
        """Return the filters that a max pool's entries choose, [N, *places, channels, filter]."""
        if number not in self._placed:
            entry, filters = self.lines[number].entry, self.program.filters[number]
            assert entry is not None
            channels = torch.arange(entry.shape[1], device=entry.device)
            chosen = filters.weight[channels, entry.permute(0, 2, 3, 1)]
            self._placed[number] = chosen
        return self._placed[number]

    def _lowest(self, row: Row, half: Tensor) -> Tensor:
        return row.shift - row.gap - dot(row.slope.abs(), half) - UNDERFLOW

    def _size(self, value: int) -> Tensor:
        """Return the largest absolute deviation of a value."""
        reach, centre = self.reaches[value], self.centres[value]
        size = torch.maximum(reach.high - centre, centre - reach.low)
        return torch.where(size < LARGEST_DEVIATION, size, float("inf"))

    def _error(self, number: int) -> Tensor:
        """Return the entry of ``errors`` for what a node returns."""
        node, value = self.nodes[number], number + 1
        if isinstance(node.step, Bent):
            return torch.zeros_like(self.centres[value])
        before = self.errors[node.inputs[0]]
        if isinstance(node.step, Flatten):
            return node.step.value(before)
        rounding = 4.0 * self.unit * self._size(value)
        error = self.reaches[value].error
        assert error is not None
        if isinstance(node.step, Add):
            return error + rounding + before + self.errors[node.inputs[1]]
        assert isinstance(node.step, Affine)
        share = gamma(sum(node.step.terms) + SPARE, self.unit)
        lost = share * self._size(node.inputs[0]) + ROUNDED * before
        return error + rounding + node.step.absolute(lost)

    def _lines(self, number: int) -> tuple[Lines, Lines]:
        """Return the lines of a nonlinearity, the best ones and parallel ones."""
        step, source = self.nodes[number].step, self.nodes[number].inputs[0]
        reach, centre = self.reaches[source], self.centres[source]
        size, carried, entry = self._size(source), self.errors[source], None
        assert isinstance(step, Bent)
        if isinstance(step, MaxPool):
            entry = step.largest(centre)
            kinds = [step.lines(reach, centre, entry, parallel=p) for p in (False, True)]
            size, carried = step.pick(size, entry), step.pick(carried, entry)
            largest = step.windows(reach.largest).amax(2).reshape(entry.shape)
        else:
            kinds = [step.lines(reach, centre, parallel=p) for p in (False, True)]
            largest = reach.largest
        best, parallel = (self._rounded(lines, largest, size, carried, entry) for lines in kinds)
        return best, parallel._replace(spread=None)

    def _rounded(
        self,
        lines: Between,
        largest: Tensor,
        size: Tensor,
        carried: Tensor,
        entry: Tensor | None,
    ) -> Lines:
        """Return two lines in the format of the passes, with all rounding errors in the gap.

        Args:
            lines: the two.
            largest: absolute value in play.
            size: largest deviation of the input.
            carried: error of the input.
            entry: as in :class:`Lines`.
        """
        lower, upper = lines
        slope, spread = (upper.slope + lower.slope) / 2, (upper.slope - lower.slope) / 2
        shift, gap = (upper.shift + lower.shift) / 2, (upper.shift - lower.shift) / 2
        steep = slope.abs() + spread.abs()
        gap = gap + steep * (ROUNDED * carried + 16 * self.unit * size)
        gap = gap + 16 * unit_of(torch.float64) * (1.0 + steep) * largest
        share = 2.0 * gamma(shift[0].numel() + SPARE, self.unit)
        gap = gap * (1.0 + share) + share * shift.abs()
        exact = Lines(slope, spread, shift, gap)
        return exact.each(lambda value: value.to(self.dtype))._replace(entry=entry)

    def _can_improve(self, value: int) -> bool:
        """Return whether intervals lose something at a value that passes back can win."""
        if not value or not isinstance(self.nodes[value - 1].step, Affine | Add):
            return False
        before = [node.step for node in self.nodes[:value]]
        bends = any(isinstance(step, Bent) for step in before)
        mixes = sum(isinstance(step, Affine) and step.terms != (1, 1) for step in before)
        return bends or mixes > 1

    def _tighten(self, value: int, number: int) -> None:
        """Replace the bounds of a value where the node ``number`` needs better ones."""
        reach, centre = self.reaches[value], self.centres[value]
        windows, shape = self._windows(value), centre.shape
        widest = self._widest
        if windows is not None:
            areas = (window.size[0] * window.size[1] for window in windows.values())
            widest = max(a * self.centres[v].shape[1] for a, v in zip(areas, windows, strict=True))
        flat = _by_sample if windows is None else _by_place
        wanted = torch.cat([flat(side) for side in self._wanted(number)], 1)
        best = Best(*(flat(v) for v in (reach.low, reach.high, centre, self.errors[value])))
        units = wanted.shape[1] // 2
        for places, chosen in _chunks(wanted, max(1, (PART if windows else WHOLE) // widest)):
            unit, sign = chosen % units, 1.0 - 2.0 * (chosen >= units).to(self.dtype)
            rows = torch.zeros(*chosen.shape, units, dtype=self.dtype, device=centre.device)
            rows.scatter_(2, unit.unsqueeze(2), sign.unsqueeze(2))
            if windows is None:
                scope = AllPlaces(self, places, self.lines)
                rows = rows.reshape(*chosen.shape, *shape[1:])
            else:
                scope = SomePlaces(self, places, self.lines, windows, shape[2:])
                rows = rows.reshape(*chosen.shape, units, 1, 1)
            bound = self._lowest(self._descend(value, rows, scope), scope.half)
            where = wanted[places.unsqueeze(1), chosen]
            index = (places.unsqueeze(1).expand_as(unit)[where], unit[where])
            best.take(index, bound.double()[where], sign[where] > 0)
        if windows is None:
            self.reaches[value] = reach.within(best.low.reshape(shape), best.high.reshape(shape))
        else:
            self.reaches[value] = reach.within(
                _by_channel(best.low, shape), _by_channel(best.high, shape)
            )

    @property
    def _widest(self) -> int:
        return max(centre[0].numel() for centre in self.centres)

    def _wanted(self, number: int) -> tuple[Tensor, Tensor]:
        """Return the inputs of a nonlinearity whose lower and whose upper bounds matter."""
        node = self.nodes[number]
        reach = self.reaches[node.inputs[0]]
        undecided = (reach.low < 0) & (reach.high > 0)
        if isinstance(node.step, Curve):
            undecided = torch.ones_like(undecided)
        if not isinstance(node.step, MaxPool):
            return undecided, undecided
        takers = [after.step for after in self.nodes if number + 1 in after.inputs]
        rectified = all(isinstance(step, Relu) for step in takers)
        return node.step.matter(reach, self.centres[node.inputs[0]], rectified=rectified)

    def _needed(self, number: int) -> Tensor:
        """Return the inputs of a flat nonlinearity on which its outputs depend, bool."""
        high = self.reaches[self.nodes[number].inputs[0]].high
        return high > 0 if isinstance(self.nodes[number].step, Relu) else torch.ones_like(high) > 0

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
            elif not isinstance(step, Bent):
                scale = step.scale if isinstance(step, Affine) else None
                if scale is None or any(size != 1 for size in scale.shape[1:]):
                    return None
            value -= 1
            windows[value] = window
        return windows if self.centres[0].dim() == 4 else None

    def _descend(self, value: int, coefficients: Tensor, scope: AllPlaces) -> Row:
        """Exchange linear functions of a value's deviation for ones of the input.

        The caller subtracts what ``errors`` of the value can take away.

        Args:
            value: number of the value.
            coefficients: [batch, rows, *shape].
            scope: which samples, and which part of them.
        """
        pending = {value: coefficients}
        shift = coefficients.new_zeros(coefficients.shape[:2])
        gap = shift
        for number in reversed(range(value)):
            if number + 1 not in pending:
                continue
            part, node = pending.pop(number + 1), self.nodes[number]
            inputs, affine = node.inputs, self.program.affine(number)
            if number in self.lines:
                lines = scope.lines(number)
                part, shifted, lost = lines.back(part)
                shift, gap = shift + shifted, gap + lost
                if lines.entry is not None:
                    part, inputs = scope.spread(number, part, lines.entry)
            elif affine is not None:
                step, source = affine
                part, inputs = scope.pull(step, source, part), (source,)
            elif isinstance(node.step, Flatten):
                shape = self.centres[node.inputs[0]].shape[1:]
                part = part.reshape(*part.shape[:2], *shape)
            for source in inputs:
                pending[source] = pending[source] + part if source in pending else part
        return Row(pending[0], shift, gap)


def _by_sample(values: Tensor) -> Tensor:
    """Return [N, *shape] as [N, units]."""
    return values.flatten(1)


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
