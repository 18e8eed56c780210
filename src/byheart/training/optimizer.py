"""Which optimizer trains a pack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from torch import Tensor

from byheart.networks.base import PackNetwork
from byheart.networks.cnn import ReplicatedCNN
from byheart.networks.mlp import ReplicatedMLP
from byheart.networks.vmapped import ForeignPack
from byheart.training.autograd_sgd import AutogradSGD
from byheart.training.sgd import SGD
from byheart.trial import Algorithm


class Optimizer(Protocol):
    """Takes training steps; every hyperparameter is a number per replica."""

    @property
    def network(self) -> PackNetwork:
        """The pack it trains, in place."""
        ...

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rates of an epoch (counted from 0) by each replica's schedule."""
        ...

    def step(self, x: Tensor, y: Tensor, watch: Callable[[Tensor], None] | None = None) -> Tensor:
        """Take one step on the mean cross-entropy of a batch, in place.

        Args:
            x: [R, B, inputs].
            y: [R, B] labels.
            watch: is shown the logits [R, B, classes] before the step, up to a constant per
                example; what it keeps it must copy.

        Returns:
            [R, B] the probability given to each label before the step.
        """
        ...

    def select(self, replicas: Tensor, *, epoch: int) -> Self:
        """Return the optimizer of copies of some replicas, with its state for them.

        Args:
            replicas: by index.
            epoch: that begins next, counted from 0.
        """
        ...


def make_optimizer(
    network: PackNetwork, algorithms: Sequence[Algorithm], seeds: Sequence[int]
) -> Optimizer:
    """Return what trains a pack.

    Args:
        network: the replicas.
        algorithms: one per replica.
        seeds: one per replica: draw the noise of regularizers.
    """
    if isinstance(network, ReplicatedMLP):
        return SGD(network, algorithms, seeds)
    if isinstance(network, ReplicatedCNN | ForeignPack):
        return AutogradSGD(network, algorithms, seeds)
    raise NotImplementedError(type(network).__name__)
