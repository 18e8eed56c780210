"""Trainings of the user's network that are followed, example by example."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from byheart.auditing.gradients import input_gradients
from byheart.auditing.history import History
from byheart.auditing.keeping import Keeping, digest_of
from byheart.auditing.layout import Layout
from byheart.auditing.watching import Watch
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.networks.examine import Examined, examine
from byheart.networks.foreign import Source, initialised
from byheart.networks.vmapped import ForeignPack
from byheart.training.autograd_sgd import AutogradSGD
from byheart.training.own_run import OwnRun
from byheart.training.packs import most_replicas
from byheart.training.recipe import Recipe
from byheart.version import __version__

TRIED = 32
"""Examples whose outputs tell whether a network is the one that was kept."""


@dataclass(frozen=True, eq=False)
class Followed:
    """What S trainings left.

    Attributes:
        histories: one per seed, of the user's labels; an example that a seed trained on with
            another label is a gap in that seed's.
        planted: one per seed, of the P labels that were planted, in the order of the layout.
        networks: one per seed, as trained, in eval mode.
        gradients: for each seed and each epoch that was asked for, the epoch and the input
            gradients [N]; see :func:`byheart.auditing.gradients.input_gradients`.
    """

    histories: list[History]
    planted: list[History]
    networks: list[nn.Module]
    gradients: list[tuple[int, NDArray[np.float32]]]


def follow(
    source: Source,
    dataset: Dataset,
    layout: Layout,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    gradients_at: Sequence[int] = (),
    watched: bool = True,
    keeping: Keeping | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> Followed:
    """Train one network per seed, and follow every example.

    An example that is trained on is seen in its batch, just before the step that uses it: that
    costs no forward pass. One that is held out is seen at the end of the epoch, in eval mode.

    Args:
        source: of the networks.
        dataset: the user's.
        layout: what each seed holds out and plants.
        recipe: how to train.
        seeds: of initial weights and order, one per training.
        gradients_at: epochs, counted from 1, after which to take input gradients.
        watched: whether to keep histories; without, the networks alone are returned.
        keeping: where to keep what is trained, and to go on from.
        on_epoch: called with the number of trainings that finished an epoch together, and with that
            of all their epochs where they go on.

    Raises:
        InputError: the network cannot be trained as it is, or a training diverged.
    """
    found = examine(source, dataset.shape, dataset.n_classes)
    most = most_replicas(
        found.size, recipe.batch_size, momentum=recipe.momentum > 0, device=recipe.device
    )
    packs = np.array_split(np.arange(len(seeds)), -(-len(seeds) // most))
    parts: list[Followed] = []
    for pack in packs:
        run = _Run(source, found, dataset, layout, recipe, seeds, pack.tolist(), watched=watched)
        _train(run, recipe.epochs, gradients_at, keeping, on_epoch)
        parts.append(run.followed())
    return Followed(
        [one for part in parts for one in part.histories],
        [one for part in parts for one in part.planted],
        [one for part in parts for one in part.networks],
        [one for part in parts for one in part.gradients],
    )


def _train(
    run: _Run,
    epochs: int,
    gradients_at: Sequence[int],
    keeping: Keeping | None,
    on_epoch: Callable[[int], None] | None,
) -> None:
    """Train a pack to its end, from where it was kept."""
    tell = on_epoch or (lambda trainings: None)
    facts: dict[str, Any] = {}
    if keeping is not None:
        facts = run.facts() | {"gradients": list(gradients_at)}
        held = keeping.found(facts)
        if held is not None:
            run.restore(held)
            tell(run.replicas * run.epochs)
    for epoch in range(run.epochs, epochs):
        run.train_epoch(epoch)
        if epoch + 1 in gradients_at:
            run.take_gradients(epoch + 1)
        if keeping is not None and (epoch + 1 == epochs or keeping.due()):
            keeping.keep(facts, run.state())
        tell(run.replicas)


class _Run:
    """A pack in training: some rows of the layout, and their seeds."""

    def __init__(
        self,
        source: Source,
        found: Examined,
        dataset: Dataset,
        layout: Layout,
        recipe: Recipe,
        seeds: Sequence[int],
        pack: Sequence[int],
        *,
        watched: bool,
    ) -> None:
        own, labels = [seeds[r] for r in pack], dataset.y.numpy()
        modules = [initialised(source, seed).to(recipe.device) for seed in own]
        network: ForeignPack = found.pack.stacked(
            modules, takes=found.takes, shape=dataset.shape, seeds=own
        )
        self._recipe = recipe
        self._network = network
        self._facts = {
            "byheart": __version__,
            "torch": torch.__version__,
            "data": dataset.fingerprint,
            "recipe": asdict(recipe),
            "seeds": own,
            "network": [found.way, found.fingerprint],
            "watched": watched,
        }
        self._x = dataset.x.flatten(1).to(recipe.device)
        self._optimizer = AutogradSGD(network, [recipe.algorithm(source, found)] * len(own), own)
        self._run = OwnRun(
            network,
            self._optimizer,
            self._x,
            np.stack([layout.trained(r, len(dataset)) for r in pack]),
            np.stack([layout.labels(r, labels) for r in pack]),
            own,
            batch_size=recipe.batch_size,
        )
        self._held_out = torch.from_numpy(layout.held_out[list(pack)])
        self._labels = dataset.y.to(recipe.device)
        self._gradients: list[tuple[int, NDArray[np.float32]]] = []
        self._planted = layout.planted[list(pack)]
        self._watch = Watch(labels, layout, pack) if watched else None
        self.epochs = 0

    @property
    def replicas(self) -> int:
        """Number of trainings in the pack."""
        return self._network.replicas

    @torch.no_grad()
    def facts(self) -> dict[str, Any]:
        """Return all that decides what becomes of the pack; to be asked for before it trains.

        In it are the initial weights and what the networks make of some examples in train and in
        eval mode: code that ``forward`` calls may have changed.
        """
        run, some = self._run, self._x[:TRIED]
        copy = self._network.select(torch.arange(self.replicas))
        outputs = [copy(some), copy.training_logits(some.expand(self.replicas, -1, -1))]
        return self._facts | {
            "layout": digest_of(run.trained, run.labels, self._held_out, self._planted),
            "weights": digest_of(*self._network.parameters(), *self._network.kept()),
            "outputs": digest_of(*outputs),
        }

    def state(self) -> dict[str, Any]:
        """Return all that a pack needs to go on after an epoch: tensors and plain values."""
        return {
            "epochs": self.epochs,
            "network": self._network.state(),
            "velocity": self._optimizer.state(),
            "orders": self._run.orders(),
            "gradients": [(epoch, torch.from_numpy(one)) for epoch, one in self._gradients],
            "watch": [] if self._watch is None else self._watch.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`state` gave."""
        self.epochs = state["epochs"]
        self._network.restore(state["network"])
        self._optimizer.restore(state["velocity"])
        self._run.restore_orders(state["orders"])
        self._gradients = [(epoch, one.numpy()) for epoch, one in state["gradients"]]
        if self._watch is not None:
            self._watch.restore(state["watch"])

    @torch.no_grad()
    def train_epoch(self, epoch: int) -> None:
        """Train every replica for one epoch (counted from 0)."""

        def saw(ids: Tensor, logits: Tensor) -> None:
            self._saw(ids, logits, epoch)

        self._run.train_epoch(epoch, saw)
        if self._watch is not None:
            self._run.evaluate(self._held_out, saw)
            self._watch.end_epoch()
        self.epochs = epoch + 1

    def take_gradients(self, epoch: int) -> None:
        """Keep the input gradients of all examples, by the user's labels."""
        taken = input_gradients(self._network, self._x, self._labels)
        self._gradients += [(epoch, one) for one in taken]

    def followed(self) -> Followed:
        """Return what the trainings left."""
        networks = [self._network.module(r) for r in range(self._network.replicas)]
        if self._watch is None:
            return Followed([], [], networks, self._gradients)
        return Followed(self._watch.histories(), self._watch.planted(), networks, self._gradients)

    def _saw(self, ids: Tensor, logits: Tensor, epoch: int) -> None:
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"training diverged in epoch {epoch + 1}: the network's outputs are not finite at "
                f"learning_rate={self._recipe.learning_rate:g}: lower it"
            )
        if self._watch is not None:
            self._watch.saw(ids, logits)
