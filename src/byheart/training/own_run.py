"""A pack of a user's network in training, each replica on examples and labels of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.networks.vmapped import ForeignPack
from byheart.seeds import generator

CHUNK = 256
"""Examples per forward pass and replica where nothing is trained."""

Ids = NDArray[np.int64]
Saw = Callable[[Tensor, Tensor], None]
"""Is shown ids [R, B] and logits [R, B, classes]."""


class ExampleOptimizer(Protocol):
    """Takes training steps on a pack, and may ask which examples a step is about."""

    def start_epoch(self, epoch: int) -> None:
        """Begin an epoch, counted from 0."""
        ...

    def step_on(
        self, ids: Tensor, x: Tensor, y: Tensor, watch: Callable[[Tensor], None] | None
    ) -> None:
        """Take one step, in place.

        Args:
            ids: [R, B] of the examples.
            x: [R, B, inputs].
            y: [R, B] labels.
            watch: is shown logits [R, B, classes] of the step, up to a constant per example.
        """
        ...


class OwnRun:
    """Trains R replicas, epoch by epoch, in an order that depends on each replica's seed alone.

    Args:
        network: the pack; trained in place.
        optimizer: of it.
        x: [N, inputs], on the device of the network.
        trained: int64 [R, n] ids that each replica trains on.
        labels: int64 [R, N] what each replica takes the labels to be.
        seeds: of the replicas.
        batch_size: examples per step, about.

    Attributes:
        trained: [R, n] as given.
        labels: [R, N] as given.
    """

    def __init__(
        self,
        network: ForeignPack,
        optimizer: ExampleOptimizer,
        x: Tensor,
        trained: Ids,
        labels: Ids,
        seeds: Sequence[int],
        *,
        batch_size: int,
    ) -> None:
        self.network = network
        self._optimizer = optimizer
        self._x = x
        self.trained = torch.from_numpy(trained)
        self.labels = torch.from_numpy(labels)
        self._orders = [generator("shuffle", seed) for seed in seeds]
        self._batch_size = batch_size

    def orders(self) -> list[str]:
        """Return where each replica's random order has got to, as JSON."""
        return [json.dumps(rng.bit_generator.state) for rng in self._orders]

    def restore_orders(self, states: Sequence[str]) -> None:
        """Take over what :meth:`orders` gave."""
        for rng, state in zip(self._orders, states, strict=True):
            rng.bit_generator.state = json.loads(state)

    def batches(self) -> Iterator[Tensor]:
        """Yield the ids [R, B] of an epoch's batches, in a new order."""
        n = self.trained.shape[1]
        order = np.stack([rng.permutation(n) for rng in self._orders])
        shuffled = self.trained.gather(1, torch.from_numpy(order))
        # Batches of about equal size: one of a single example has no batch statistics.
        return iter(torch.tensor_split(shuffled, -(-n // self._batch_size), 1))

    def step(self, ids: Tensor, saw: Saw | None = None) -> None:
        """Train on one batch of ids [R, B]; logits are shown as they were before the step."""
        y = self.labels.gather(1, ids).to(self._x.device)
        watch = None if saw is None else lambda logits: saw(ids, logits)
        self._optimizer.step_on(ids, self.inputs(ids), y, watch)

    def train_epoch(self, epoch: int, saw: Saw | None = None) -> None:
        """Train every replica for one epoch, counted from 0."""
        self._optimizer.start_epoch(epoch)
        for ids in self.batches():
            self.step(ids, saw)

    def evaluate(self, ids: Tensor, saw: Saw) -> None:
        """Show the logits of examples [R, M] in eval mode, some at a time."""
        for some in torch.split(ids, CHUNK, 1):
            if some.shape[1]:
                saw(some, self.network(self.inputs(some)))

    def inputs(self, ids: Tensor) -> Tensor:
        """Return the inputs [R, B, inputs] of examples [R, B]."""
        rows = ids.to(self._x.device)
        return self._x.index_select(0, rows.reshape(-1)).view(*rows.shape, -1)
