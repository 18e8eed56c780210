"""SGD on a pack, with a regularizer in every step."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from byheart.advising.regularizers.base import Batch, Regularizer
from byheart.networks.vmapped import ForeignPack
from byheart.training.autograd_sgd import AutogradSGD, gradients_of
from byheart.trial import Algorithm


class RegularizedSGD:
    """SGD as :class:`AutogradSGD`, on the batch, the loss and the gradients of a regularizer.

    Args:
        network: the pack; trained in place.
        algorithms: one per replica.
        seeds: one per replica.
        regularizer: with a strength per replica.
        classes: number of outputs.
    """

    def __init__(
        self,
        network: ForeignPack,
        algorithms: Sequence[Algorithm],
        seeds: Sequence[int],
        regularizer: Regularizer,
        classes: int,
    ) -> None:
        self._network = network
        self._sgd = AutogradSGD(network, algorithms, seeds)
        self._parameters = list(network.parameters())
        self._regularizer = regularizer
        self._classes = classes

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0."""
        self._sgd.start_epoch(epoch)
        self._regularizer.start_epoch(epoch)

    def step_on(
        self, ids: Tensor, x: Tensor, y: Tensor, watch: Callable[[Tensor], None] | None
    ) -> None:
        """Take one step; see :class:`byheart.training.own_run.ExampleOptimizer`."""
        targets = functional.one_hot(y, self._classes).to(x.dtype)
        batch = self._regularizer.change(Batch(ids, x, targets), self._network)
        seen: list[Tensor] = []

        def loss() -> Tensor:
            logits = self._network.training_logits(batch.x)
            seen.append(logits.detach())
            return self._regularizer.loss(logits, batch).mean(1).sum()

        with torch.no_grad():
            gradients = self._regularizer.gradients(
                self._network, self._parameters, lambda: gradients_of(self._parameters, loss)
            )
        if watch is not None:
            watch(seen[0])
        self._sgd.update(gradients)
