"""Train the user's network; record each example's margin, loss and input gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from byheart.auditing.history import History
from byheart.auditing.planting import Ids, Layout
from byheart.auditing.tracker import Tracker
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.networks.base import PackNetwork
from byheart.networks.examine import Examined, examine
from byheart.networks.foreign import Source, initialised
from byheart.networks.vmapped import ModulePack
from byheart.runners.base import threads_pinned
from byheart.store.checkpoints import Checkpoints
from byheart.training.examples import Examples
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.packs import most_replicas
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import Batch
from byheart.training.resume import Resume, digest_of

TRIED = 32
"""A checkpoint is loaded only if the network's outputs on this many examples match."""
ONE_THREAD = 1_000_000
"""Multiply-adds per example below which a network that trains alone gets one thread.

On digits a second thread gains a tenth on an idle machine, and costs ten times on a busy one, where
threads wait for each other after every small operation.
"""
CHUNK = 256
"""Examples per backward pass and replica, for input gradients."""


@dataclass(frozen=True, eq=False)
class Runs:
    """Results of S training runs.

    Attributes:
        histories: one per run, of the user's labels. A run has no entries for an example whose
            label it replaced.
        planted: one per run, of the P labels that it made wrong on purpose, in the layout's order.
        networks: one trained network per run, in eval mode.
        gradients: for each epoch of ``gradients_at`` and each run that computed them, the epoch and
            the input gradients [N]; see :func:`input_gradients`.
    """

    histories: list[History]
    planted: list[History]
    networks: list[nn.Module]
    gradients: list[tuple[int, NDArray[np.float32]]]


def train_runs(
    source: Source,
    dataset: Dataset,
    layout: Layout,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    gradients_at: Sequence[int] = (),
    with_histories: bool = True,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> Runs:
    """Train one network per seed, and record margin and loss of every example.

    Training examples are recorded in their batch, just before its step: that costs no forward pass.
    Held-out examples are recorded at the end of each epoch, in eval mode.

    Args:
        source: creates the networks.
        dataset: the user's examples and labels.
        layout: the examples that each run holds out, and those that get a wrong label.
        recipe: how to train.
        seeds: one per run, for initial weights and order.
        gradients_at: epochs, from 1, after which to compute input gradients: by every other run,
            the even and the odd ones in turn.
        with_histories: record histories; if False, both lists of histories are empty.
        checkpoints: stores packs in training, which resume from there.
        on_epoch: called with the number of epochs since the last call, summed over runs.
    """
    examined = examine(source, dataset.shape, dataset.n_classes)
    most = most_replicas(
        examined.size, recipe.batch_size, momentum=recipe.momentum > 0, device=recipe.device
    )
    small = examined.size.products < ONE_THREAD
    parts: list[Runs] = []
    for pack in np.array_split(np.arange(len(seeds)), -(-len(seeds) // most)):
        training = _Training(
            source,
            examined,
            dataset,
            layout.seeds(pack[0], pack[-1] + 1),
            recipe,
            [seeds[r] for r in pack],
            with_histories=with_histories,
            gradients_at={
                epoch: [r for r, run in enumerate(pack) if (run + place) % 2 == 0]
                for place, epoch in enumerate(gradients_at)
            },
            checkpoints=checkpoints,
            on_epoch=on_epoch,
        )
        with threads_pinned(1 if examined.way != "vmap" and small else None):
            training.loop.train(recipe.epochs)
        parts.append(training.runs())
    return Runs(
        [history for part in parts for history in part.histories],
        [history for part in parts for history in part.planted],
        [network for part in parts for network in part.networks],
        [gradients for part in parts for gradients in part.gradients],
    )


class _Training(Hook):
    """A pack in training: one run per row of the layout."""

    def __init__(
        self,
        source: Source,
        examined: Examined,
        dataset: Dataset,
        layout: Layout,
        recipe: Recipe,
        seeds: Sequence[int],
        *,
        with_histories: bool,
        gradients_at: Mapping[int, Sequence[int]],
        checkpoints: Checkpoints | None,
        on_epoch: Callable[[int], None] | None,
    ) -> None:
        labels, runs = dataset.y.numpy(), range(len(seeds))
        modules = [initialised(source, seed).to(recipe.device) for seed in seeds]
        network: ModulePack = examined.pack.stacked(
            modules, takes=examined.takes, shape=dataset.shape, seeds=seeds
        )
        self._recipe = recipe
        self._network = network
        self._gradients_at = gradients_at
        self._labels = torch.from_numpy(np.stack([layout.labels(r, labels) for r in runs]))
        self._trained = torch.from_numpy(np.stack([layout.trained(r, len(dataset)) for r in runs]))
        self._held_out = torch.from_numpy(layout.held_out)
        self._y = dataset.y.to(recipe.device)
        self._planted = layout.planted
        self._gradients: list[tuple[int, NDArray[np.float32]]] = []
        self._trackers = _Trackers(labels, layout) if with_histories else None
        self._facts: dict[str, Any] = {
            "data": dataset.fingerprint,
            "recipe": asdict(recipe),
            "seeds": list(seeds),
            "network": [examined.way, examined.fingerprint],
            "with_histories": with_histories,
            "gradients": [[epoch, *runs] for epoch, runs in gradients_at.items()],
        }
        examples = Examples.of(
            dataset.x.to(recipe.device), self._labels, self._trained, self._held_out
        )
        algorithms = [recipe.algorithm(source, examined)] * len(seeds)
        hooks: list[Hook] = [self]
        if checkpoints is not None:
            hooks.append(Resume(checkpoints, self._identity, [self], at_end=recipe.epochs))
        hooks.append(_Progress(on_epoch or (lambda epochs: None)))
        self.loop = recipe.loop(
            network, algorithms, examples, seeds, classes=dataset.n_classes, hooks=hooks
        )

    def on_batch(self, loop: TrainingLoop, batch: Batch, logits: Tensor) -> None:
        """Record a batch just before its step."""
        self._record(loop, batch.rows, logits)

    def end_epoch(self, loop: TrainingLoop) -> None:
        """Record held-out examples, and compute input gradients."""
        if self._trackers is not None:
            if self._held_out.shape[1]:
                rows = loop.examples.validation_rows
                self._record(loop, rows, loop.examples.logits(loop.network, rows))
            self._trackers.end_epoch()
        if runs := self._gradients_at.get(loop.epoch):
            some = self._network.select(torch.tensor(runs))
            taken = input_gradients(some, loop.examples.pool, self._y)
            self._gradients += [(loop.epoch, gradients) for gradients in taken]

    def runs(self) -> Runs:
        """Return histories, networks and gradients of the runs."""
        networks = [self._network.module(r) for r in range(self._network.replicas)]
        if self._trackers is None:
            return Runs([], [], networks, self._gradients)
        return Runs(self._trackers.histories(), self._trackers.planted(), networks, self._gradients)

    def state(self) -> dict[str, Any]:
        """Return the state of trackers, and the input gradients so far."""
        return {
            "gradients": [(epoch, torch.from_numpy(taken)) for epoch, taken in self._gradients],
            "trackers": [] if self._trackers is None else self._trackers.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned."""
        self._gradients = [(epoch, taken.numpy()) for epoch, taken in state["gradients"]]
        if self._trackers is not None:
            self._trackers.restore(state["trackers"])

    def _identity(self, loop: TrainingLoop) -> dict[str, Any]:
        """Return everything that the results depend on, to compare with a checkpoint.

        This includes initial weights and some outputs: the user may have edited code that
        ``forward`` calls.
        """
        network, some = self._network, loop.examples.pool[:TRIED]
        copy = network.select(torch.arange(network.replicas))
        outputs = [copy(some), copy.training_logits(some.expand(network.replicas, -1, -1))]
        return self._facts | {
            "layout": digest_of(self._trained, self._labels, self._held_out, self._planted),
            "weights": digest_of(*network.parameters(), *network.untrained_tensors()),
            "outputs": digest_of(*outputs),
        }

    def _record(self, loop: TrainingLoop, rows: Tensor, logits: Tensor) -> None:
        if not bool(torch.isfinite(logits).all()):
            raise InputError(
                f"training diverged in epoch {loop.epoch}: the network's outputs are not finite at "
                f"learning_rate={self._recipe.learning_rate:g}: lower it"
            )
        if self._trackers is not None:
            self._trackers.record(rows.cpu(), logits)


class _Progress(Hook):
    """Reports finished epochs, including those restored from a checkpoint."""

    def __init__(self, report: Callable[[int], None]) -> None:
        self._report = report

    def start(self, loop: TrainingLoop) -> None:
        """Report the epochs that are not trained again."""
        if loop.epoch:
            self._report(loop.network.replicas * loop.epoch)

    def end_epoch(self, loop: TrainingLoop) -> None:
        """Report one epoch of every run in the pack."""
        self._report(loop.network.replicas)


class _Trackers:
    """Trackers of the user's labels [N] and of planted labels, one of each per run in a pack."""

    def __init__(self, labels: Ids, layout: Layout) -> None:
        self._labels = labels
        self._planted_labels = layout.planted_labels
        runs, flips = layout.planted.shape
        # Index of an example among the run's planted ones; -1 if it is not planted.
        self._place = np.full((runs, len(labels)), -1)
        self._place[np.arange(runs)[:, None], layout.planted] = np.arange(flips)
        self._user = [Tracker(len(labels)) for _ in range(runs)]
        self._planted = [Tracker(flips) for _ in range(runs)] if flips else []

    def record(self, ids: Tensor, logits: Tensor) -> None:
        """Record the finite logits [R, B, classes] of a batch of ids [R, B]."""
        for run, (i, z) in enumerate(zip(ids.numpy(), logits.numpy(force=True), strict=True)):
            place = self._place[run, i]
            user, planted = np.flatnonzero(place < 0), np.flatnonzero(place >= 0)
            self._user[run].update(i[user], z[user], self._labels[i[user]])
            if len(planted):
                flip = place[planted]
                self._planted[run].update(flip, z[planted], self._planted_labels[run, flip])

    def end_epoch(self) -> None:
        """Add the epoch to every history."""
        for tracker in (*self._user, *self._planted):
            tracker.end_epoch()

    def state(self) -> list[dict[str, Any]]:
        """Return the state of every tracker."""
        return [tracker.state_dict() for tracker in (*self._user, *self._planted)]

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Load a state that :meth:`state` returned."""
        for tracker, state in zip((*self._user, *self._planted), states, strict=True):
            tracker.load_state_dict(state)

    def histories(self) -> list[History]:
        """Return the histories of the user's labels, one per run."""
        return [tracker.history() for tracker in self._user]

    def planted(self) -> list[History]:
        """Return the histories of planted labels, one per run; none if none were planted."""
        return [tracker.history() for tracker in self._planted]


def epochs_to_measure(epochs: int) -> tuple[int, ...]:
    """Return the Fibonacci numbers 1, 2, 3, 5, 8, ... up to the last epoch."""
    chosen, upcoming = [1], 2
    while upcoming <= epochs:
        chosen.append(upcoming)
        upcoming = sum(chosen[-2:])
    return tuple(chosen)


def input_gradients(network: PackNetwork, x: Tensor, y: Tensor) -> NDArray[np.float32]:
    """Return the norm of the input gradient of each example, [R, N].

    Formula: ||d l(f(x), y) / dx||_1, with l the cross-entropy, in eval mode.

    Source: the norm of Arpit et al. (2017), section 3.2. There it is the gradient of
    the average loss with respect to an example, through the training; here it is the gradient of
    the example's own loss at one epoch.
    """
    parts = []
    for inputs, labels in zip(torch.split(x, CHUNK), torch.split(y, CHUNK), strict=True):
        copies = inputs.expand(network.replicas, *inputs.shape).clone().requires_grad_(True)
        with torch.enable_grad():
            logits = network(copies)
            wanted = labels.expand(network.replicas, -1).flatten()
            loss = functional.cross_entropy(logits.flatten(0, 1), wanted, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, copies)
        parts.append(gradient.abs().sum(2).cpu())
    return torch.cat(parts, 1).numpy()


def sensitivity_up_to(
    taken: Sequence[tuple[int, NDArray[np.float32]]], window: int
) -> NDArray[np.float64]:
    """Return the mean [N] over all that was measured in epochs up to ``window``."""
    within = [values for epoch, values in taken if epoch <= window]
    total: NDArray[np.float64] = np.mean(np.stack(within), axis=0, dtype=np.float64)
    return total
