"""The training loop: every network that byheart trains goes through it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from byheart.networks.base import PackNetwork
from byheart.training.examples import Examples
from byheart.training.regularizers.base import Batch
from byheart.training.step import TrainingStep


class Hook:
    """Code that the loop calls while it trains; every method does nothing unless overridden."""

    def start(self, loop: TrainingLoop) -> None:
        """Called before the first epoch."""

    def start_epoch(self, loop: TrainingLoop) -> None:
        """Called before the steps of epoch ``loop.epoch``, which counts from 1."""

    def on_batch(self, loop: TrainingLoop, batch: Batch, logits: Tensor) -> None:
        """Called in every step, before it changes the parameters.

        Args:
            loop: the training loop.
            batch: the batch of the step, as drawn.
            logits: [R, B, classes] in train mode, up to a constant per example. They may be
                overwritten after the call: copy what is kept.
        """

    def end_epoch(self, loop: TrainingLoop) -> None:
        """Called after the steps of epoch ``loop.epoch``; may let replicas leave."""

    def end(self, loop: TrainingLoop) -> None:
        """Called once training ended."""


class TrainingLoop:
    """Trains R replicas, epoch by epoch.

    The order of a replica's examples depends on its generator alone. The optimizer, its schedule
    and the regularizers are in ``step``; measurements are hooks.

    Args:
        step: takes the training steps.
        examples: the examples of the replicas.
        orders: one generator per replica: draws the order of its examples.
        batch_size: examples per step.
        even: cut an epoch into batches of about equal size, so that none has a single example
            (which batch norm cannot train on); else the last batch may be smaller.
        hooks: called in this order.

    Attributes:
        step: see above; ``step.network`` is the pack.
        examples: see above; those of the replicas that still train.
        hooks: see above.
        live: the replicas that still train, by their number at the start.
        epoch: number of epochs begun.
        order: [R, n] places of the last epoch's examples in ``examples.train_rows``.
        given: [R, n] the probability that each label had in its step, in that order.
    """

    order: Tensor
    given: Tensor

    def __init__(
        self,
        step: TrainingStep,
        examples: Examples,
        orders: Sequence[np.random.Generator],
        *,
        batch_size: int,
        even: bool = False,
        hooks: Sequence[Hook] = (),
    ) -> None:
        self.step = step
        self.examples = examples
        self.hooks = list(hooks)
        self.live = list(range(len(orders)))
        self.epoch = 0
        self._orders = list(orders)
        self._batch_size = batch_size
        self._even = even

    @property
    def network(self) -> PackNetwork:
        """The replicas that still train."""
        return self.step.network

    @torch.no_grad()
    def train(self, epochs: int) -> None:
        """Train until ``epochs`` epochs are done in total, or no replica is left."""
        for hook in self.hooks:
            hook.start(self)
        while self.live and self.epoch < epochs:
            self.train_epoch()
        for hook in self.hooks:
            hook.end(self)

    @torch.no_grad()
    def train_epoch(self) -> None:
        """Train every live replica for one epoch."""
        self.epoch += 1
        self.step.start_epoch(self.epoch - 1)
        for hook in self.hooks:
            hook.start_epoch(self)
        self.order = self.draw_order()
        self.given = torch.cat([self.take_step(batch) for batch in self.batches(self.order)], 1)
        for hook in self.hooks:
            hook.end_epoch(self)

    def draw_order(self) -> Tensor:
        """Return the next order [R, n] of each replica's training examples."""
        n = self.examples.train_rows.shape[1]
        order = np.stack([rng.permutation(n) for rng in self._orders])
        return torch.from_numpy(order).to(self.examples.pool.device)

    def batches(self, order: Tensor) -> Iterator[Batch]:
        """Yield the batches of an order [R, n]."""
        rows = self.examples.train_rows.gather(1, order)
        labels = self.examples.train_y.gather(1, order)
        for some, y in zip(self._cut(rows), self._cut(labels), strict=True):
            yield Batch(some, self.examples.inputs(some), y)

    def _cut(self, values: Tensor) -> Sequence[Tensor]:
        """Return values [R, n] in batches."""
        if self._even:
            return torch.tensor_split(values, -(-values.shape[1] // self._batch_size), 1)
        return torch.split(values, self._batch_size, 1)

    def take_step(self, batch: Batch) -> Tensor:
        """Train on one batch, and return the probability [R, B] of each label before the step."""

        def watch(logits: Tensor) -> None:
            for hook in self.hooks:
                hook.on_batch(self, batch, logits)

        return self.step.step(batch, watch)

    def leave(self, leaving: Tensor) -> None:
        """Train on without some of the live replicas, bool [R]."""
        stay = (~leaving).nonzero().squeeze(1)
        self.live = [self.live[row] for row in stay.tolist()]
        self._orders = [self._orders[row] for row in stay.tolist()]
        if not self.live:
            return
        rows = stay.to(self.examples.pool.device)
        self.examples = self.examples.select(rows)
        self.step = self.step.select(rows, epoch=self.epoch)
        if self.epoch:
            self.order, self.given = self.order[rows], self.given[rows]

    def state(self) -> dict[str, Any]:
        """Return all that training has changed: tensors and plain values."""
        return {
            "epoch": self.epoch,
            "step": self.step.state(),
            "orders": [json.dumps(rng.bit_generator.state) for rng in self._orders],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned for the same replicas."""
        self.epoch = state["epoch"]
        self.step.restore(state["step"])
        for rng, held in zip(self._orders, state["orders"], strict=True):
            rng.bit_generator.state = json.loads(held)
