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
from byheart.advising.optimizer import RegularizedSGD
from byheart.advising.outcomes import Curves
from byheart.advising.regularizers.base import Facts
from byheart.advising.regularizers.early_stopping import checkpoints
from byheart.advising.splits import held_out, random_labels, trained
from byheart.data.dataset import Dataset
from byheart.networks.examine import Examined
from byheart.networks.foreign import Source, initialised
from byheart.networks.hidden import Disturbed
from byheart.networks.vmapped import ForeignPack
from byheart.training.own_run import OwnRun
from byheart.training.packs import most_replicas
from byheart.training.recipe import Recipe


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
        source: of the network.
        found: by examining it.
        dataset: the user's.
        recipe: how to train.
        facts: that regularizers want to know.
        trusted: bool [N], examples that an audit did not flag; None without an audit.
    """

    source: Source
    found: Examined
    dataset: Dataset
    recipe: Recipe
    facts: Facts
    trusted: NDArray[np.bool_] | None = None

    @property
    def checkpoints(self) -> tuple[int, ...]:
        """The epochs after which accuracy is taken."""
        return checkpoints(self.recipe.epochs)

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
            self.found.size, self.recipe.batch_size, momentum=True, device=self.recipe.device
        )

    @torch.no_grad()
    def train(self, pack: Sequence[Replica]) -> dict[Replica, Curves]:
        """Train a pack to the end, and return the curves of each replica."""
        run = self.run(pack)
        taken: list[NDArray[np.float64]] = []
        for epoch in range(self.recipe.epochs):
            run.train_epoch(epoch)
            if epoch + 1 in self.checkpoints:
                taken.append(self.measure(run, pack))
        curves = np.stack(taken, 2)
        empty = np.full(len(taken), np.nan)
        return {
            replica: Curves(
                random=own[0] if replica.random else empty,
                user=empty if replica.random else own[0],
                validation=empty if replica.random else own[1],
                trusted=empty if replica.random else own[2],
            )
            for replica, own in zip(pack, curves.transpose(1, 0, 2), strict=True)
        }

    def run(self, pack: Sequence[Replica]) -> OwnRun:
        """Return a pack ready to train."""
        kind = pack[0].arm.kind
        seeds = [replica.seed for replica in pack]
        network = self._network(seeds, reaches_in=kind.reaches_in)
        plain = self.recipe.algorithm(self.source, self.found)
        algorithms = [
            plain.model_copy(
                update={"weight_decay": plain.weight_decay + kind.decay(replica.arm.strength)}
            )
            for replica in pack
        ]
        x = self.dataset.x.flatten(1).to(self.recipe.device)
        regularizer = kind([replica.arm.strength for replica in pack], seeds, self.facts, x)
        y = self.dataset.y.numpy()
        labels = [
            random_labels(len(y), self.facts.classes, replica.seed) if replica.random else y
            for replica in pack
        ]
        return OwnRun(
            network,
            RegularizedSGD(network, algorithms, seeds, regularizer, self.facts.classes),
            x,
            np.stack([trained(y, seed) for seed in seeds]),
            np.stack(labels),
            seeds,
            batch_size=self.recipe.batch_size,
        )

    def _network(self, seeds: Sequence[int], *, reaches_in: bool) -> ForeignPack:
        modules = [initialised(self.source, seed).to(self.recipe.device) for seed in seeds]
        if reaches_in:
            modules = [Disturbed(module).to(self.recipe.device) for module in modules]
        return self.found.pack.stacked(
            modules, takes=self.found.takes, shape=self.dataset.shape, seeds=seeds
        )

    def measure(self, run: OwnRun, pack: Sequence[Replica]) -> NDArray[np.float64]:
        """Return accuracies [3, R]: in training, on held-out examples, on trusted ones of those."""
        y = self.dataset.y.numpy()
        out = torch.from_numpy(np.stack([held_out(y, replica.seed) for replica in pack]))
        within = _Right(run.labels)
        run.evaluate(run.trained, within)
        beyond = _Right(run.labels)
        run.evaluate(out, beyond)
        trusted = np.full(len(pack), np.nan)
        if self.trusted is not None:
            # Held-out examples of a seed that are all flagged have no accuracy: NaN, not 0.
            mask = self.trusted[out.numpy()]
            with np.errstate(invalid="ignore"):
                trusted = (beyond.right() * mask).sum(1) / mask.sum(1)
        return np.stack([within.right().mean(1), beyond.right().mean(1), trusted])


class _Right:
    """Keeps which examples were classified as labelled; NaN for a replica that diverged."""

    def __init__(self, labels: Tensor) -> None:
        self._labels = labels
        self._parts: list[Tensor] = []

    def __call__(self, ids: Tensor, logits: Tensor) -> None:
        right = (logits.argmax(2).cpu() == self._labels.gather(1, ids)).double()
        finite = torch.isfinite(logits).all(2).all(1).cpu()
        right[~finite] = float("nan")
        self._parts.append(right)

    def right(self) -> NDArray[np.float64]:
        found: NDArray[np.float64] = torch.cat(self._parts, 1).numpy()
        return found


def paired(found: dict[Replica, Curves]) -> dict[tuple[Arm, int], Curves]:
    """Return one set of curves per arm and seed, from trainings on both kinds of labels."""
    both: dict[tuple[Arm, int], dict[bool, Curves]] = {}
    for replica, curves in found.items():
        both.setdefault((replica.arm, replica.seed), {})[replica.random] = curves
    return {
        key: Curves(own[True].random, own[False].user, own[False].validation, own[False].trusted)
        for key, own in both.items()
    }
