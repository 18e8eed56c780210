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
from byheart.auditing.planting import Layout
from byheart.auditing.watching import Watch
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.networks.examine import Examined, examine
from byheart.networks.foreign import Source, initialised
from byheart.networks.vmapped import ForeignPack
from byheart.training.examples import Examples
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.packs import most_replicas
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import Batch
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
        training = _Training(
            source, found, dataset, layout, recipe, seeds, pack.tolist(), watched=watched,
            gradients_at=gradients_at, keeping=keeping, on_epoch=on_epoch,
        )  # fmt: skip
        training.loop.train(recipe.epochs)
        parts.append(training.followed())
    return Followed(
        [one for part in parts for one in part.histories],
        [one for part in parts for one in part.planted],
        [one for part in parts for one in part.networks],
        [one for part in parts for one in part.gradients],
    )


class _Training(Hook):
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
        gradients_at: Sequence[int],
        keeping: Keeping | None,
        on_epoch: Callable[[int], None] | None,
    ) -> None:
        chosen, labels = [seeds[r] for r in pack], dataset.y.numpy()
        modules = [initialised(source, seed).to(recipe.device) for seed in chosen]
        network: ForeignPack = found.pack.stacked(
            modules, takes=found.takes, shape=dataset.shape, seeds=chosen
        )
        self._recipe = recipe
        self._network = network
        self._gradients_at = gradients_at
        self._keeping = keeping
        self._tell = on_epoch or (lambda trainings: None)
        self._labels = torch.from_numpy(np.stack([layout.labels(r, labels) for r in pack]))
        self._trained = torch.from_numpy(np.stack([layout.trained(r, len(dataset)) for r in pack]))
        self._held_out = torch.from_numpy(layout.held_out[list(pack)])
        self._y = dataset.y.to(recipe.device)
        self._planted = layout.planted[list(pack)]
        self._gradients: list[tuple[int, NDArray[np.float32]]] = []
        self._watch = Watch(labels, layout, pack) if watched else None
        self._facts: dict[str, Any] = {
            "byheart": __version__,
            "torch": torch.__version__,
            "data": dataset.fingerprint,
            "recipe": asdict(recipe),
            "seeds": chosen,
            "network": [found.way, found.fingerprint],
            "watched": watched,
            "gradients": list(gradients_at),
        }
        examples = Examples.of(
            dataset.x.to(recipe.device), self._labels, self._trained, self._held_out
        )
        algorithms = [recipe.algorithm(source, found)] * len(chosen)
        self.loop = recipe.loop(network, algorithms, examples, chosen, hooks=[self])

    def start(self, loop: TrainingLoop) -> None:
        """Go on from where the pack was kept."""
        if self._keeping is None:
            return
        self._facts |= self._digests(loop.examples.pool)
        held = self._keeping.found(self._facts)
        if held is not None:
            self._restore(loop, held)
            self._tell(self._network.replicas * loop.epoch)

    def on_batch(self, loop: TrainingLoop, batch: Batch, logits: Tensor) -> None:
        """Take in what the networks said of a batch just before the step that uses it."""
        self._saw(loop, batch.rows, logits)

    def end_epoch(self, loop: TrainingLoop) -> None:
        """Look at the held-out examples, take input gradients, and keep the pack."""
        if self._watch is not None:
            if self._held_out.shape[1]:
                rows = loop.examples.validation_rows
                self._saw(loop, rows, loop.examples.logits(loop.network, rows))
            self._watch.end_epoch()
        if loop.epoch in self._gradients_at:
            taken = input_gradients(self._network, loop.examples.pool, self._y)
            self._gradients += [(loop.epoch, one) for one in taken]
        last = loop.epoch == self._recipe.epochs
        if self._keeping is not None and (last or self._keeping.due()):
            self._keeping.keep(self._facts, self._state(loop))
        self._tell(self._network.replicas)

    def followed(self) -> Followed:
        """Return what the trainings left."""
        networks = [self._network.module(r) for r in range(self._network.replicas)]
        if self._watch is None:
            return Followed([], [], networks, self._gradients)
        return Followed(self._watch.histories(), self._watch.planted(), networks, self._gradients)

    def _digests(self, x: Tensor) -> dict[str, str]:
        """Return hashes of all that decides what becomes of the pack, before it trains.

        In it are the initial weights and what the networks make of some examples in train and in
        eval mode: code that ``forward`` calls may have changed.
        """
        network, some = self._network, x[:TRIED]
        copy = network.select(torch.arange(network.replicas))
        outputs = [copy(some), copy.training_logits(some.expand(network.replicas, -1, -1))]
        return {
            "layout": digest_of(self._trained, self._labels, self._held_out, self._planted),
            "weights": digest_of(*network.parameters(), *network.kept()),
            "outputs": digest_of(*outputs),
        }

    def _state(self, loop: TrainingLoop) -> dict[str, Any]:
        """Return all that a pack needs to go on after an epoch: tensors and plain values."""
        return {
            "loop": loop.state(),
            "gradients": [(epoch, torch.from_numpy(one)) for epoch, one in self._gradients],
            "watch": [] if self._watch is None else self._watch.state(),
        }

    def _restore(self, loop: TrainingLoop, state: Mapping[str, Any]) -> None:
        """Go on from what :meth:`_state` gave."""
        loop.restore(state["loop"])
        self._gradients = [(epoch, one.numpy()) for epoch, one in state["gradients"]]
        if self._watch is not None:
            self._watch.restore(state["watch"])

    def _saw(self, loop: TrainingLoop, rows: Tensor, logits: Tensor) -> None:
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"training diverged in epoch {loop.epoch}: the network's outputs are not finite at "
                f"learning_rate={self._recipe.learning_rate:g}: lower it"
            )
        if self._watch is not None:
            self._watch.saw(rows.cpu(), logits)
