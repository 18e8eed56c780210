"""Regularizers that change the targets or the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from byheart.networks.base import PackNetwork
from byheart.seeds import generator
from byheart.training.regularizers.base import Batch, LearningTask, Regularizer, Snippet

MOMENTUM = 0.7
"""Momentum of the running means of early-learning regularization: the authors' beta on CIFAR-10."""
EDGE = 1e-4
"""Probabilities there are kept within [EDGE, 1 - EDGE], as in the authors' code."""


class LabelSmoothing(Regularizer):
    r"""Targets that give every class a little.

    Formula: t <- (1 - epsilon) t + epsilon / K.

    Source: Szegedy et al. (2016), "Rethinking the Inception architecture", section 7.
    """

    name = "label smoothing"
    symbol = "epsilon"
    strengths_to_try = (0.05, 0.1, 0.2, 0.4)
    """The authors take 0.1."""

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        loss = f"functional.cross_entropy(model(x), y, label_smoothing={strength:g})"
        return Snippet(loss=loss)

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with smoothed targets."""
        share = self.per_replica(3)
        targets = batch.probabilities(self.task.classes)
        return replace(batch, targets=(1 - share) * targets + share / self.task.classes)


class ClassWeights(Regularizer):
    r"""Weights that make all classes count the same.

    Formula: w_i = (1 / n_{y_i}) / sum_j (1 / n_{y_j}), over the examples j of the batch, with n_k
    the number of training examples with label k.

    Args:
        counts: [R, classes] training examples of each class and replica.
    """

    name = "class weights"

    def __init__(self, counts: Tensor, task: LearningTask, like: Tensor) -> None:
        super().__init__((), (), task, like)
        self._inverse = 1 / counts.to(device=like.device, dtype=like.dtype).clamp_min(1)

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the batch with weights."""
        weights = self._inverse.gather(1, batch.y)
        return replace(batch, weights=weights / weights.sum(1, keepdim=True))


class Mixup(Regularizer):
    r"""Each example is mixed with another of its batch, and so are their targets.

    Formula: x <- l x + (1 - l) x', t <- l t + (1 - l) t', with (x', t') the batch in another order
    and l ~ Beta(alpha, alpha), one number for the batch as in the authors' code.

    Source: Zhang, Cisse, Dauphin & Lopez-Paz (2018), section 2 and their ``train.py``.
    """

    name = "mixup"
    symbol = "alpha"
    strengths_to_try = (0.2, 1.0, 4.0, 16.0)
    """The authors take 0.1 to 0.4, and up to 32 for wrong labels."""

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], task: LearningTask, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, task, like)
        self._alphas = list(strengths)
        self.start_epoch(0)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        batch = f"""
        share = torch.distributions.Beta({strength:g}, {strength:g}).sample()
        order = torch.randperm(len(x))
        mixed = model(share * x + (1 - share) * x[order])
        """
        of = "functional.cross_entropy"
        loss = f"share * {of}(mixed, y) + (1 - share) * {of}(mixed, y[order])"
        return Snippet(batch=batch, loss=loss)

    def start_epoch(self, epoch: int) -> None:
        """Begin the random numbers of an epoch, counted from 0."""
        self._generators = [generator(self.name, seed, epoch) for seed in self.seeds]

    def change(self, batch: Batch, network: PackNetwork) -> Batch:
        """Return the mixed batch."""
        size = batch.x.shape[1]
        orders = torch.from_numpy(np.stack([rng.permutation(size) for rng in self._generators]))
        drawn = [
            float(rng.beta(alpha, alpha))
            for rng, alpha in zip(self._generators, self._alphas, strict=True)
        ]
        share = batch.x.new_tensor(drawn).view(-1, 1, 1)
        rows = torch.arange(len(orders)).unsqueeze(1)
        x = share * batch.x + (1 - share) * batch.x[rows, orders]
        targets = batch.probabilities(self.task.classes)
        mixed = share * targets + (1 - share) * targets[rows, orders]
        return replace(batch, x=x, targets=mixed)


class EarlyLearning(Regularizer):
    r"""Keeps the network near what it said of an example before.

    Formula: L = CE + lambda log(1 - <p, t>), where t <- beta t + (1 - beta) p is a running mean of
    the example's own probabilities p, one per example and replica, with beta = 0.7. The gradient
    does not pass through t. As in the authors' code p is kept within [1e-4, 1 - 1e-4], and divided
    by its sum in t.

    Source: Liu, Niles-Weed, Razavian & Fernandez-Granda (2020), equation 6 and ``loss.py``.
    """

    name = "early-learning regularization"
    symbol = "lambda"
    strengths_to_try = (0.3, 1.0, 3.0, 7.0)
    """The authors take 3 and 7."""

    def __init__(
        self, strengths: Sequence[float], seeds: Sequence[int], task: LearningTask, like: Tensor
    ) -> None:
        super().__init__(strengths, seeds, task, like)
        self.means = like.new_zeros(len(strengths), task.examples, task.classes)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            setup="means = {}  # what the model said of each example before",
            batch=f"""
            logits = model(x)
            p = logits.softmax(1).clamp(1e-4, 1 - 1e-4)
            before = torch.stack(
                [means.get(i, torch.zeros_like(p[0])) for i in ids.tolist()]
            ).detach()
            said = (p / p.sum(1, keepdim=True)).detach()
            t = {MOMENTUM:g} * before + {1 - MOMENTUM:g} * said
            means.update(zip(ids.tolist(), t))
            pull = {strength:g} * (1 - (p * t).sum(1)).log().mean()
            """,
            loss="functional.cross_entropy(logits, y) + pull",
            ids=True,
        )

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, B] of each example."""
        p = torch.exp(scores).clamp(EDGE, 1 - EDGE)
        rows = torch.arange(len(p), device=p.device).unsqueeze(1)
        ids = batch.rows
        with torch.no_grad():
            said = p / p.sum(2, keepdim=True)
            means = MOMENTUM * self.means[rows, ids] + (1 - MOMENTUM) * said
            self.means[rows, ids] = means
        pull = torch.log(1 - (p * means).sum(2))
        return super().loss(scores, batch) + self.per_replica(2) * pull


class GeneralizedCrossEntropy(Regularizer):
    r"""A loss between cross-entropy (q -> 0) and the mean absolute error (q = 1).

    Formula: L = sum_k t_k (1 - p_k^q) / q.

    Source: Zhang & Sabuncu (2018), equation 6; the authors take q = 0.7.
    """

    name = "generalized cross-entropy"
    symbol = "q"
    strengths_to_try = (0.2, 0.5, 0.7, 0.9)

    @classmethod
    def snippet(cls, strength: float) -> Snippet:
        """Return how to train with it."""
        return Snippet(
            batch="given = model(x).log_softmax(1).gather(1, y[:, None])",
            loss=f"((1 - torch.exp({strength:g} * given)) / {strength:g}).mean()",
        )

    def loss(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the loss [R, B] of each example."""
        q = self.per_replica(3)
        # p^q by its logarithm: the slope of p^q at p = 0 is infinite, that of exp(q log p) is not.
        powers = torch.exp(q * scores)
        return (batch.probabilities(self.task.classes) * (1 - powers) / q).sum(2)
