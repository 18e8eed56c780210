"""One training step of a pack: the loss, its gradients by autograd, and the update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from byheart.errors import InputError
from byheart.networks.base import PackNetwork, TrainableNetwork
from byheart.networks.cnn import ReplicatedCNN
from byheart.networks.mlp import ReplicatedMLP
from byheart.networks.vmapped import ModulePack
from byheart.training.optimizers import make_optimizer
from byheart.training.regularizers.adversarial import Adversarial
from byheart.training.regularizers.base import Batch, LearningTask, Regularizer
from byheart.training.regularizers.noise import Dropout, HiddenNoise, InputDropout, InputNoise
from byheart.trial import Algorithm

STUDIED: Mapping[str, type[Regularizer]] = {
    "adversarial_weight": Adversarial,
    "input_noise": InputNoise,
    "input_dropout": InputDropout,
    "hidden_noise": HiddenNoise,
    "dropout": Dropout,
}
"""Regularizers of studies by their field in :class:`Algorithm`, in the order of their changes."""


class TrainingStep(Protocol):
    """Takes training steps on a pack; every hyperparameter is a number per replica."""

    @property
    def network(self) -> PackNetwork:
        """The pack it trains, in place."""
        ...

    def start_epoch(self, epoch: int) -> None:
        """Set learning rates by each replica's schedule, and begin the random numbers of an epoch.

        Args:
            epoch: counted from 0.
        """
        ...

    def step(self, batch: Batch, watch: Callable[[Tensor], None] | None = None) -> Tensor:
        """Take one step on the mean loss of a batch, in place.

        Args:
            batch: the examples.
            watch: called with the logits [R, B, classes] before the update, up to a constant per
                example; what it keeps it must copy.

        Returns:
            [R, B] the probability of each label before the step.
        """
        ...

    def select(self, replicas: Tensor, *, epoch: int) -> Self:
        """Return the step of copies of some replicas, with the optimizer's state for them.

        Args:
            replicas: by index.
            epoch: the next epoch, counted from 0.
        """
        ...

    def state(self) -> dict[str, Any]:
        """Return all that training has changed: tensors and plain values."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned, in place."""
        ...


class AutogradStep:
    """The step of any pack that autograd can differentiate.

    One backward pass serves all replicas. No replica's loss depends on another's parameters, so the
    gradient of the sum of their losses holds the gradient of each.

    Args:
        network: the pack; trained in place.
        algorithms: one per replica.
        seeds: one per replica.
        changes: regularizers that change the batch only, before all others.
        regularizer: changes the batch, the loss or the gradients, after the regularizers that the
            algorithms name.
        epoch: the next epoch, counted from 0.

    Raises:
        InputError: an algorithm names a regularizer, and the network is a user's.
    """

    def __init__(
        self,
        network: TrainableNetwork,
        algorithms: Sequence[Algorithm],
        seeds: Sequence[int],
        *,
        changes: Sequence[Regularizer] = (),
        regularizer: Regularizer | None = None,
        epoch: int = 0,
    ) -> None:
        self._changes = list(changes)
        self._studied = _studied(network, algorithms, seeds)
        self.network = network
        self._algorithms = list(algorithms)
        self._seeds = list(seeds)
        self._regularizer = regularizer or _plain(network)
        self._parameters = list(network.parameters())
        self._optimizer = make_optimizer(self._parameters, algorithms, epoch=epoch)

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0; see :class:`TrainingStep`."""
        self._optimizer.start_epoch(epoch)
        for regularizer in (*self._changes, *self._studied, self._regularizer):
            regularizer.start_epoch(epoch)

    def step(self, batch: Batch, watch: Callable[[Tensor], None] | None = None) -> Tensor:
        """Take one step; see :class:`TrainingStep`."""
        network, regularizer, count = self.network, self._regularizer, batch.x.shape[1]
        changed = batch
        for change in (*self._changes, *self._studied, regularizer):
            changed = change.change(changed, network)
        if changed.shift is not None or changed.scale is not None:
            network.perturb_hidden(changed.shift, changed.scale)
        passes: list[Tensor] = []

        def loss() -> Tensor:
            scores = torch.log_softmax(network.training_logits(changed.x), dim=2)
            passes.append(scores.detach())
            losses = regularizer.loss(scores, changed)
            if changed.weights is not None:
                return (changed.weights * losses).sum()
            return losses.mean(1).sum()

        with torch.no_grad():
            gradients = regularizer.gradients(
                network, self._parameters, lambda: gradients_of(self._parameters, loss)
            )
        before = passes[0][:, :count]
        if watch is not None:
            watch(before)
        self._optimizer.update(gradients)
        return before.gather(2, batch.y.unsqueeze(2)).squeeze(2).exp()

    def select(self, replicas: Tensor, *, epoch: int) -> AutogradStep:
        """Return the step of copies of some replicas; see :class:`TrainingStep`."""
        if self._changes or type(self._regularizer) is not Regularizer:
            raise NotImplementedError("replicas of a regularized pack cannot leave it")
        chosen = AutogradStep(
            self.network.select(replicas),
            [self._algorithms[i] for i in replicas.tolist()],
            [self._seeds[i] for i in replicas.tolist()],
            epoch=epoch,
        )
        chosen._optimizer.continue_from(self._optimizer, replicas)
        return chosen

    def state(self) -> dict[str, Any]:
        """Return all that training has changed; see :class:`TrainingStep`."""
        return {"network": self._own_network().state(), **self._optimizer.state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned, in place."""
        self._own_network().restore(state["network"])
        self._optimizer.restore(state)

    def _own_network(self) -> ModulePack:
        if not isinstance(self.network, ModulePack):
            raise NotImplementedError("only a pack of a user's network can do this")
        return self.network


def regularizers_of(
    network: ReplicatedMLP | ReplicatedCNN, algorithms: Sequence[Algorithm], seeds: Sequence[int]
) -> list[Regularizer]:
    """Return the regularizers that any replica has, in the order in which they change a batch.

    Args:
        network: the pack.
        algorithms: one per replica; all of one adversarial radius.
        seeds: one per replica.
    """
    like = network.weights[-1]
    task = LearningTask((network.inputs,), like.shape[2], sum(network.hidden))
    used: list[Regularizer] = []
    for name, kind in STUDIED.items():
        strengths = [getattr(algorithm, name) for algorithm in algorithms]
        if not any(strengths) or (kind.changes_hidden and not network.hidden):
            continue
        if kind is Adversarial:
            radius = algorithms[0].adversarial_radius
            used.append(Adversarial(strengths, seeds, task, like, radius))
        else:
            used.append(kind(strengths, seeds, task, like))
    return used


def _studied(
    network: TrainableNetwork, algorithms: Sequence[Algorithm], seeds: Sequence[int]
) -> list[Regularizer]:
    if isinstance(network, ReplicatedCNN):
        return regularizers_of(network, algorithms, seeds)
    for name in STUDIED:
        if any(getattr(algorithm, name) > 0 for algorithm in algorithms):
            raise InputError(
                f"{name} is there for byheart's own networks only: train a "
                f"{algorithms[0].network.kind} network without"
            )
    return []


def _plain(network: TrainableNetwork) -> Regularizer:
    """Return what changes nothing."""
    return Regularizer((), (), LearningTask((), 0, 0), network.parameters()[0])


def gradients_of(parameters: Sequence[Tensor], loss: Callable[[], Tensor]) -> list[Tensor]:
    """Return the gradient of each parameter.

    Args:
        parameters: each [R, ...].
        loss: computes the sum of the replicas' losses.
    """
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            gradients = torch.autograd.grad(
                loss(), list(parameters), allow_unused=True, materialize_grads=True
            )
    finally:
        # Whoever evaluates the network next wants no graph of it.
        for parameter in parameters:
            parameter.requires_grad_(False)
    return list(gradients)
