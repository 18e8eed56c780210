"""LASS, the Langevin adversarial sample search, for many examples and many replicas at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from byheart.measures.critical.noise import OwnNoise

STEP_PER_RADIUS = 0.25 / 0.3
"""The papers' alpha in units of the radius."""
NOISE_PER_RADIUS = 0.2 / 0.3
"""The papers' beta in units of the radius."""
SHRINK = 0.8
"""Settled examples leave the batch once it can shrink to this share."""


class Classifier(Protocol):
    """R classifiers that score [R, N, *shape] inputs as one program: [R, N, classes] logits."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return the logits."""
        ...

    def select(self, replicas: Tensor) -> Self:
        """Return the classifiers of some replicas, by index."""
        ...


@dataclass(frozen=True)
class Box:
    """The l-infinity ball around each input, with bounds that rounding cannot push outside it.

    Attributes:
        low: [R, N, *shape] the smallest floats not below x - r.
        high: [R, N, *shape] the largest floats not above x + r.
    """

    low: Tensor
    high: Tensor

    @classmethod
    def around(cls, x: Tensor, radius: float) -> Box:
        """Return the box, with ||bound - x|| <= radius exactly (checked in float64)."""
        # Rounded once, from float64, a bound is off by less than one float: one step mends it.
        # On the CPU, since not every device has float64.
        centre = x.cpu()
        exact = centre.double()
        low, high = ((exact + side).to(x.dtype) for side in (-radius, radius))
        too_low = exact - low.double() > radius
        too_high = high.double() - exact > radius
        return cls(
            torch.where(too_low, torch.nextafter(low, centre), low).to(x.device),
            torch.where(too_high, torch.nextafter(high, centre), high).to(x.device),
        )

    def project(self, x: Tensor) -> Tensor:
        """Return the nearest point of the box, coordinate by coordinate."""
        return torch.minimum(torch.maximum(x, self.low), self.high)

    def take(self, rows: Tensor) -> Box:
        """Return some of the boxes, by index into the first dimension."""
        return Box(self.low[rows], self.high[rows])

    def gather(self, rows: _Rows) -> Box:
        """Return the boxes of the examples that a batch holds."""
        return Box(rows.gather(self.low), rows.gather(self.high))


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        witness: [R, N, *shape] the last point of each search, inside the box.
        found_at: [R, N] int64, the iteration at which the predicted class changed; -1 if never.
        predicted: [R, N] int64, the predicted class at x.
    """

    witness: Tensor
    found_at: Tensor
    predicted: Tensor


@dataclass(frozen=True)
class _Rows:
    """A batch of unsettled examples: for each live replica the indices of as many examples."""

    replicas: Tensor
    examples: Tensor

    @classmethod
    def unsettled(cls, active: Tensor) -> _Rows:
        counts = active.sum(1)
        replicas = counts.nonzero().squeeze(1)
        most = int(counts.max())
        # A stable sort puts a replica's active examples first; the rest of the row is padding.
        order = torch.sort((~active[replicas]).to(torch.uint8), dim=1, stable=True).indices
        return cls(replicas, order[:, :most])

    def gather(self, values: Tensor) -> Tensor:
        return values[self.replicas.unsqueeze(1), self.examples]

    def scatter(self, into: Tensor, values: Tensor) -> None:
        into[self.replicas.unsqueeze(1), self.examples] = values


def margin(logits: Tensor, predicted: Tensor) -> Tensor:
    """Return z_k - log sum_{j != k} exp z_j for the predicted class k, [..., classes] -> [...].

    Its gradient is that of log softmax(z)_k divided by 1 - softmax(z)_k > 0: the same direction
    and sign, but it does not underflow where the network is sure of its class.
    """
    index = predicted.unsqueeze(-1)
    own = logits.gather(-1, index).squeeze(-1)
    others = logits.scatter(-1, index, float("-inf"))
    return own - torch.logsumexp(others, dim=-1)


def lass(
    classifier: Classifier,
    x: Tensor,
    radius: float,
    *,
    step: float,
    noise: float,
    max_steps: int,
    generator: torch.Generator | OwnNoise | None = None,
    eta: Tensor | None = None,
    settled: Tensor | None = None,
) -> Search:
    r"""Search the box of each example for a point of another predicted class.

    Formula: x~ <- P(x~ - step * sign(grad_x~ log f_k(x~)) + noise * eta), eta ~ N(0, I) drawn per
    coordinate, example and iteration (the same eta for all replicas, so that they can be compared
    pairwise), P the projection on ||x~ - x||_inf <= r, and k the class predicted at x. An example
    settles at the first x~ whose predicted class is not k. ``step=0`` is the noise-only control.

    Args:
        classifier: R classifiers in eval mode.
        x: [R, N, *shape] inputs.
        radius: r, in the unit of x.
        step: alpha, in the unit of x.
        noise: beta, in the unit of x.
        max_steps: iteration limit.
        generator: CPU generator of eta, or a generator for each example; it alone decides the
            random numbers.
        eta: [R, N, max_steps, *shape] drawn beforehand instead, for every replica on its own.
        settled: [R, N] bool, examples not to search (already known critical).

    Returns:
        The search; its witnesses still have to be re-scored.

    Raises:
        ValueError: not exactly one of ``generator`` and ``eta``.

    Source: A17 section 4.1, Algorithm 1, with the gradient at the current point x~ and downhill on
    the predicted class's score (the printed algorithm takes it at x and gives no sign).
    """
    if (generator is None) == (eta is None):
        raise ValueError("the noise comes from either a generator or eta: give one of them")
    box = Box.around(x, radius)
    witness = x.clone()
    with torch.no_grad():
        predicted = classifier(x).argmax(-1)
    found_at = torch.full_like(predicted, -1)
    active = torch.ones_like(predicted, dtype=torch.bool) if settled is None else ~settled
    if max_steps > 0 and bool(active.any()):
        _Walk(classifier, box, predicted, step, noise, generator, eta).run(
            witness, found_at, active.clone(), max_steps
        )
    return Search(witness, found_at, predicted)


@torch.no_grad()
def verified(classifier: Classifier, x: Tensor, radius: float, found: Search) -> Tensor:
    """Return which samples are critical for certain, bool [R, N].

    Every witness is projected on the box again and scored again, all of them in one batch, against
    the class predicted at x in a batch of the same size: what a report counts has been re-verified.
    """
    witness = Box.around(x, radius).project(found.witness)
    return classifier(witness).argmax(-1) != classifier(x).argmax(-1)


@dataclass(frozen=True)
class _Walk:
    """The constants of a search."""

    classifier: Classifier
    box: Box
    predicted: Tensor
    step: float
    noise: float
    generator: torch.Generator | OwnNoise | None
    eta: Tensor | None

    def run(self, witness: Tensor, found_at: Tensor, active: Tensor, max_steps: int) -> None:
        """Walk until every example is settled or the limit is reached; writes its arguments."""
        rows = _Rows.unsettled(active)
        batch = self._batch(rows, witness)
        for iteration in range(1, max_steps + 1):
            walking = rows.gather(active)
            batch.move(self, walking, rows, iteration)
            flipped = walking & batch.flipped()
            if bool(flipped.any()):
                at = rows.gather(found_at)
                rows.scatter(found_at, torch.where(flipped, iteration, at))
                rows.scatter(active, walking & ~flipped)
            most = int(active.sum(1).max())
            if most <= SHRINK * rows.examples.shape[1] or iteration == max_steps:
                rows.scatter(witness, batch.x)
                if most == 0 or iteration == max_steps:
                    return
                rows = _Rows.unsettled(active)
                batch = self._batch(rows, witness)

    def noise_at(self, iteration: int, rows: _Rows, like: Tensor) -> Tensor:
        """Return the noise of an iteration, counted from 1, for the examples that a batch holds."""
        if self.eta is not None:
            return rows.gather(self.eta[:, :, iteration - 1])
        if isinstance(self.generator, OwnNoise):
            return self.generator(rows.examples).to(like.device)
        shape = (self.predicted.shape[1], *like.shape[2:])
        drawn = torch.randn(shape, generator=self.generator, dtype=like.dtype)
        return drawn.to(like.device)[rows.examples]

    def _batch(self, rows: _Rows, witness: Tensor) -> _Batch:
        classifier = self.classifier
        if len(rows.replicas) < len(witness):
            classifier = classifier.select(rows.replicas)
        return _Batch(
            classifier, self.box.gather(rows), rows.gather(self.predicted), rows.gather(witness)
        )


class _Batch:
    """Unsettled examples on their walk. One forward pass serves both verdict and next gradient."""

    def __init__(self, classifier: Classifier, box: Box, predicted: Tensor, x: Tensor) -> None:
        self.classifier = classifier
        self.box = box
        self.predicted = predicted
        self.x = x
        self._scored: tuple[Tensor, Tensor] | None = None

    def flipped(self) -> Tensor:
        """Return where the predicted class is another than at the start."""
        _, logits = self._score()
        return logits.detach().argmax(-1) != self.predicted

    def move(self, walk: _Walk, walking: Tensor, rows: _Rows, iteration: int) -> None:
        """Take one step with the examples that still walk."""
        moved = self.x.clone()
        if walk.step:
            point, logits = self._score()
            with torch.enable_grad():
                score = margin(logits, self.predicted).sum()
            (gradient,) = torch.autograd.grad(score, point)
            moved.add_(gradient.sign_(), alpha=-walk.step)
        if walk.noise:
            moved.add_(walk.noise_at(iteration, rows, self.x), alpha=walk.noise)
        torch.minimum(torch.maximum(moved, self.box.low, out=moved), self.box.high, out=moved)
        # Most batches hold none that has settled: the padding of a pack, and the flipped.
        everyone = bool(walking.all())
        self.x = moved if everyone else torch.where(_like(walking, moved), moved, self.x)
        self._scored = None

    def _score(self) -> tuple[Tensor, Tensor]:
        if self._scored is None:
            with torch.enable_grad():
                point = self.x.detach().requires_grad_()
                self._scored = point, self.classifier(point)
        return self._scored


def _like(mask: Tensor, x: Tensor) -> Tensor:
    return mask.reshape(*mask.shape, *[1] * (x.dim() - mask.dim()))
