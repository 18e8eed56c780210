"""Trains packs of arms and seeds, on the user's labels and on random ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.advising.arms import Arm
from byheart.advising.effects import Curves
from byheart.advising.examples import held_out, random_labels, trained
from byheart.data.dataset import Dataset
from byheart.networks.examine import Examined
from byheart.networks.foreign import Source, initialised
from byheart.networks.vmapped import ModulePack, PerturbedModule
from byheart.training.examples import Examples
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.packs import most_replicas
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import LearningTask


@dataclass(frozen=True)
class Replica:
    """One training: an arm, a seed, and whose labels."""

    arm: Arm
    seed: int
    random: bool


@dataclass(frozen=True, eq=False)
class Trainer:
    """Trains a user's network under regularizers.

    Attributes:
        source: creates the network.
        examined: facts found by examining it.
        dataset: the user's data set.
        recipe: how to train.
        task: the learning task.
        trusted: bool [N], examples that an audit did not flag; None without an audit.
    """

    source: Source
    examined: Examined
    dataset: Dataset
    recipe: Recipe
    task: LearningTask
    trusted: NDArray[np.bool_] | None = None

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The epochs after which accuracy is taken."""
        return self.task.checkpoints

    @property
    def counts(self) -> tuple[int, int]:
        """Numbers of training and of held-out examples, the same for all seeds."""
        out = len(held_out(self.dataset.y.numpy(), 0))
        return len(self.dataset) - out, out

    @property
    def trusted_hash(self) -> str:
        """Hash of which examples are trusted; empty if none were named."""
        return "" if self.trusted is None else hashlib.sha256(self.trusted.tobytes()).hexdigest()

    def packs(self, arms: Sequence[Arm], seeds: Sequence[int]) -> Iterator[list[Replica]]:
        """Yield the packs of some arms on some seeds: one regularizer each, as large as fits.

        An arm that only stops early needs no training of its own.
        """
        most = self.most
        needed = [arm for arm in dict.fromkeys(arms) if arm.stops_at is None]
        for kind in dict.fromkeys(arm.kind for arm in needed):
            replicas = [
                Replica(arm, seed, random)
                for seed in seeds
                for arm in needed
                if arm.kind is kind
                for random in (True, False)
            ]
            count = -(-len(replicas) // most)
            for part in np.array_split(np.arange(len(replicas)), count):
                yield [replicas[i] for i in part]

    @property
    def most(self) -> int:
        """How many replicas train together."""
        return most_replicas(
            self.examined.size, self.recipe.batch_size, momentum=True, device=self.recipe.device
        )

    def accuracies(self) -> Accuracies:
        """Return the hook that takes accuracies at the checkpoints."""
        return Accuracies(self.trusted, self.checkpoints)

    def train(
        self, pack: Sequence[Replica], accuracies: Accuracies, resume: Hook | None = None
    ) -> dict[Replica, Curves]:
        """Train a pack to the end, and return the curves of each replica.

        Args:
            pack: replicas of one regularizer.
            accuracies: takes the curves.
            resume: writes checkpoints and restores them; None to write none.
        """
        hooks = [accuracies] if resume is None else [accuracies, resume]
        self.loop(pack, hooks=hooks).train(self.recipe.epochs)
        curves = np.stack(accuracies.taken, 2)
        empty = np.full(len(accuracies.taken), np.nan)
        return {
            replica: Curves(
                random=within if replica.random else empty,
                user=empty if replica.random else within,
                validation=empty if replica.random else beyond,
                trusted=empty if replica.random else trusted,
            )
            for replica, (within, beyond, trusted) in zip(
                pack, curves.transpose(1, 0, 2), strict=True
            )
        }

    def loop(self, pack: Sequence[Replica], hooks: Sequence[Hook] = ()) -> TrainingLoop:
        """Return the loop that trains a pack."""
        kind = pack[0].arm.kind
        seeds = [replica.seed for replica in pack]
        network = self._network(seeds, perturbed=kind.changes_hidden)
        algorithm = self.recipe.algorithm(self.source, self.examined)
        examples = self._examples(pack)
        strengths = [replica.arm.strength for replica in pack]
        return self.recipe.loop(
            network,
            [algorithm] * len(pack),
            examples,
            seeds,
            classes=self.task.classes,
            regularizer=kind(strengths, seeds, self.task, examples.pool),
            hooks=hooks,
        )

    def _examples(self, pack: Sequence[Replica]) -> Examples:
        y, seeds = self.dataset.y.numpy(), [replica.seed for replica in pack]
        labels = [
            random_labels(len(y), self.task.classes, replica.seed) if replica.random else y
            for replica in pack
        ]
        return Examples.of(
            self.dataset.x.to(self.recipe.device),
            torch.from_numpy(np.stack(labels)),
            torch.from_numpy(np.stack([trained(y, seed) for seed in seeds])),
            torch.from_numpy(np.stack([held_out(y, seed) for seed in seeds])),
        )

    def _network(self, seeds: Sequence[int], *, perturbed: bool) -> ModulePack:
        modules = [initialised(self.source, seed).to(self.recipe.device) for seed in seeds]
        if perturbed:
            modules = [PerturbedModule(module).to(self.recipe.device) for module in modules]
        return self.examined.pack.stacked(
            modules, takes=self.examined.takes, shape=self.dataset.shape, seeds=seeds
        )


class Accuracies(Hook):
    """Takes accuracies at some epochs.

    Args:
        trusted: bool [N], examples that an audit did not flag; None without an audit.
        epochs: when to take them.

    Attributes:
        taken: for each of the epochs [3, R]: accuracy on the training examples, on held-out
            examples, and on the trusted ones of those; NaN for a replica that diverged.
    """

    def __init__(self, trusted: NDArray[np.bool_] | None, epochs: Sequence[int]) -> None:
        self._trusted = trusted
        self._epochs = epochs
        self.taken: list[NDArray[np.float64]] = []

    def end_epoch(self, loop: TrainingLoop) -> None:
        """Take the accuracies."""
        if loop.epoch in self._epochs:
            self.take(loop)

    def state(self) -> list[Tensor]:
        """Return the accuracies so far."""
        return [torch.from_numpy(accuracies) for accuracies in self.taken]

    def restore(self, state: Sequence[Tensor]) -> None:
        """Load a state that :meth:`state` returned."""
        self.taken = [accuracies.numpy() for accuracies in state]

    def take(self, loop: TrainingLoop) -> None:
        """Take the accuracies now."""
        examples = loop.examples
        within = _right(loop, examples.train_rows, examples.train_y)
        beyond = _right(loop, examples.validation_rows, examples.validation_y)
        trusted = np.full(len(within), np.nan)
        if self._trusted is not None:
            # Held-out examples of a seed that are all flagged have no accuracy: NaN, not 0.
            mask = self._trusted[examples.validation_rows.cpu().numpy()]
            with np.errstate(invalid="ignore"):
                trusted = (beyond * mask).sum(1) / mask.sum(1)
        self.taken.append(np.stack([within.mean(1), beyond.mean(1), trusted]))


def _right(loop: TrainingLoop, rows: Tensor, labels: Tensor) -> NDArray[np.float64]:
    """Return which examples [R, N] are classified as labelled; NaN for a replica that diverged."""
    logits = loop.examples.logits(loop.network, rows)
    right = (logits.argmax(2) == labels).cpu().numpy().astype(np.float64)
    right[~torch.isfinite(logits).all(2).all(1).cpu().numpy()] = np.nan
    return right


def paired(trained: dict[Replica, Curves]) -> dict[tuple[Arm, int], Curves]:
    """Return one set of curves per arm and seed, from trainings on both kinds of labels."""
    both: dict[tuple[Arm, int], dict[bool, Curves]] = {}
    for replica, curves in trained.items():
        both.setdefault((replica.arm, replica.seed), {})[replica.random] = curves
    return {
        key: Curves(on[True].random, on[False].user, on[False].validation, on[False].trusted)
        for key, on in both.items()
    }
