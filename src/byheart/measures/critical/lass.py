"""LASS, the Langevin adversarial sample search, for many examples and many replicas at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

from byheart.seeds import seed as seed_of

STEP_PER_RADIUS = 0.25 / 0.3
"""The papers' alpha in units of the radius."""
NOISE_PER_RADIUS = 0.2 / 0.3
"""The papers' beta in units of the radius."""
SHRINK = 0.8
"""Settled examples leave the batch once it can shrink to this share."""
ITERATIONS_AT_ONCE = 8
"""Iterations for which :class:`ExampleNoise` draws at a time, as far as NUMBERS_AT_ONCE allows."""
NUMBERS_AT_ONCE = 2**18
"""Numbers that it draws at a time for one example."""

Noise = Callable[[Tensor], Tensor]
"""Returns eta of the next iteration for some examples, given by index: [*index, *shape]."""


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

    def take(self, index: Tensor | tuple[Tensor, ...]) -> Box:
        """Return some of the boxes, by index into the leading dimensions."""
        return Box(self.low[index], self.high[index])


class SharedNoise:
    """Noise from one generator, the same for all replicas: they can be compared pairwise."""

    def __init__(
        self, generator: torch.Generator, x: Tensor, numbers: Tensor | None = None
    ) -> None:
        """Prepare for the inputs x [N, *shape], or for those of them that ``numbers`` gives."""
        self.generator, self.numbers = generator, numbers
        self.shape, self.dtype, self.device = x.shape, x.dtype, x.device

    def __call__(self, examples: Tensor) -> Tensor:
        """Return the noise of the next iteration, [*examples, *shape]."""
        drawn = torch.randn(self.shape, generator=self.generator, dtype=self.dtype)
        drawn = drawn.to(self.device)
        return drawn[examples if self.numbers is None else self.numbers[examples]]


class ExampleNoise:
    """Noise from a generator for each example, drawn only while the example is asked for.

    The noise of one example depends neither on the others nor on how they are batched, and few
    searched examples cost few random numbers.
    """

    def __init__(self, seed: int, x: Tensor, numbers: Tensor) -> None:
        """Prepare for the inputs x [N, *shape], each with its own number, [N]."""
        self.seed, self.numbers = seed, numbers.tolist()
        self.shape, self.dtype, self.device = x.shape[1:], x.dtype, x.device
        self.at_once = max(1, min(ITERATIONS_AT_ONCE, NUMBERS_AT_ONCE // self.shape.numel()))
        self.generators: dict[int, torch.Generator] = {}
        self.rows = torch.zeros(len(self.numbers), dtype=torch.int64)
        self.drawn = torch.empty(0)
        self.iteration = 0

    def __call__(self, examples: Tensor) -> Tensor:
        """Return the noise of the next iteration, [*examples, *shape].

        Args:
            examples: indices; once left out, an example does not come back.
        """
        wanted, at = examples.flatten().cpu(), self.iteration % self.at_once
        if at == 0:
            self._draw(torch.unique(wanted))
        self.iteration += 1
        noise = self.drawn[self.rows[wanted], at].reshape(*examples.shape, *self.shape)
        return noise.to(self.device)

    def _draw(self, wanted: Tensor) -> None:
        self.drawn = torch.empty(len(wanted), self.at_once, *self.shape, dtype=self.dtype)
        self.rows[wanted] = torch.arange(len(wanted))
        for row, example in zip(self.drawn, wanted.tolist(), strict=True):
            torch.randn(row.shape, generator=self._generator(example), dtype=self.dtype, out=row)

    def _generator(self, example: int) -> torch.Generator:
        if example not in self.generators:
            number = seed_of("lass", self.seed, self.numbers[example]) % 2**63
            self.generators[example] = torch.Generator().manual_seed(number)
        return self.generators[example]


@dataclass(frozen=True)
class LassSearch:
    """What a search ended with.

    Attributes:
        witness: [R, N, *shape] the last point of each search, inside the box.
        found_at: [R, N] int64, the iteration at which the predicted class changed; -1 if never.
        predicted: [R, N] int64, the predicted class at x.
    """

    witness: Tensor
    found_at: Tensor
    predicted: Tensor


def margin(logits: Tensor, predicted: Tensor) -> Tensor:
    """Return z_k - log sum_{j != k} exp z_j for the predicted class k, [..., classes] -> [...].

    Its gradient is that of log softmax(z)_k divided by 1 - softmax(z)_k > 0: the same direction
    and sign, but it does not underflow where the network is sure of its class.
    """
    index = predicted.unsqueeze(-1)
    predicted_score = logits.gather(-1, index).squeeze(-1)
    other_scores = logits.scatter(-1, index, float("-inf"))
    return predicted_score - torch.logsumexp(other_scores, dim=-1)


def lass(
    classifier: Classifier,
    x: Tensor,
    radius: float,
    *,
    step: float,
    noise: float,
    max_steps: int,
    draw: Noise | None = None,
    eta: Tensor | None = None,
    settled: Tensor | None = None,
) -> LassSearch:
    r"""Search the box of each example for a point of another predicted class.

    Formula: x~ <- P(x~ - step * sign(grad_x~ log f_k(x~)) + noise * eta), eta ~ N(0, I) drawn per
    coordinate, example and iteration, P the projection on ||x~ - x||_inf <= r, and k the class
    predicted at x. An example settles at the first x~ whose predicted class is not k. ``step=0``
    is the noise-only control.

    Args:
        classifier: R classifiers in eval mode.
        x: [R, N, *shape] inputs.
        radius: r, in the unit of x.
        step: alpha, in the unit of x.
        noise: beta, in the unit of x.
        max_steps: iteration limit.
        draw: returns eta, the same for every replica; see :class:`SharedNoise`.
        eta: [R, N, max_steps, *shape] drawn beforehand instead, for every replica on its own.
        settled: [R, N] bool, examples not to search (already known critical).

    Returns:
        The search; its witnesses still have to be re-scored.

    Raises:
        ValueError: not exactly one of ``draw`` and ``eta``.

    Source: A17 section 4.1, Algorithm 1, with the gradient at the current point x~ and downhill on
    the predicted class's score (the printed algorithm takes it at x and gives no sign).
    """
    if (draw is None) == (eta is None):
        raise ValueError("the noise comes from either draw or eta: give one of them")
    box, witness = Box.around(x, radius), x.clone()
    with torch.no_grad():
        predicted = classifier(x).argmax(-1)
    found_at = torch.full_like(predicted, -1)
    active = torch.ones_like(predicted, dtype=torch.bool) if settled is None else ~settled
    active, batch = active.clone(), None
    for iteration in range(1, max_steps + 1):
        most = int(active.sum(1).max())
        if batch is not None and most <= SHRINK * batch.examples.shape[1]:
            witness[batch.index], batch = batch.x, None
        if most == 0:
            break
        if batch is None:
            batch = _Batch(classifier, box, predicted, witness, active)
        walking = active[batch.index]
        drawn = None
        if noise and draw is not None:
            drawn = draw(batch.examples)
        elif noise and eta is not None:
            drawn = eta[:, :, iteration - 1][batch.index]
        batch.move(walking, step, noise, drawn)
        flipped = walking & batch.flipped()
        found_at[batch.index] = torch.where(flipped, iteration, found_at[batch.index])
        active[batch.index] = walking & ~flipped
    if batch is not None:
        witness[batch.index] = batch.x
    return LassSearch(witness, found_at, predicted)


@torch.no_grad()
def verified(classifier: Classifier, x: Tensor, radius: float, witness: Tensor) -> Tensor:
    """Return which witnesses make their samples critical for certain, bool [R, N].

    Every witness is projected on the box again and scored again, all of them in one batch, against
    the class predicted at x in a batch of the same size: what a report counts has been re-verified.
    """
    inside = Box.around(x, radius).project(witness)
    return classifier(inside).argmax(-1) != classifier(x).argmax(-1)


class _Batch:
    """Unsettled examples: for each replica that has any, the indices of as many examples."""

    def __init__(
        self, classifier: Classifier, box: Box, predicted: Tensor, witness: Tensor, active: Tensor
    ) -> None:
        counts = active.sum(1)
        replicas = counts.nonzero().squeeze(1)
        # A stable sort puts a replica's active examples first; the rest of the row is padding.
        order = torch.sort((~active[replicas]).to(torch.uint8), dim=1, stable=True).indices
        self.examples = order[:, : int(counts.max())]
        self.index = (replicas.unsqueeze(1), self.examples)
        everyone = len(replicas) == len(active)
        self.classifier = classifier if everyone else classifier.select(replicas)
        self.box, self.predicted = box.take(self.index), predicted[self.index]
        self.x = witness[self.index]
        self._scored: tuple[Tensor, Tensor] | None = None

    def flipped(self) -> Tensor:
        """Return where the predicted class is another than at the start."""
        _, logits = self._score()
        return logits.detach().argmax(-1) != self.predicted

    def move(self, walking: Tensor, step: float, noise: float, eta: Tensor | None) -> None:
        """Take one step with the examples that still walk."""
        moved = self.x.clone()
        if step:
            point, logits = self._score()
            with torch.enable_grad():
                score = margin(logits, self.predicted).sum()
            (gradient,) = torch.autograd.grad(score, point)
            moved.add_(gradient.sign_(), alpha=-step)
        if eta is not None:
            moved.add_(eta, alpha=noise)
        torch.minimum(torch.maximum(moved, self.box.low, out=moved), self.box.high, out=moved)
        mask = walking.reshape(*walking.shape, *[1] * (moved.dim() - walking.dim()))
        # Most batches hold none that has settled: the padding of a pack, and the flipped.
        self.x = moved if bool(walking.all()) else torch.where(mask, moved, self.x)
        self._scored = None

    def _score(self) -> tuple[Tensor, Tensor]:
        """Return the point and its logits: one pass serves the verdict and the next gradient."""
        if self._scored is None:
            with torch.enable_grad():
                point = self.x.detach().requires_grad_()
                self._scored = point, self.classifier(point)
        return self._scored
