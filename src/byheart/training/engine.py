"""The training loop of a pack."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from byheart.data.dataset import Dataset
from byheart.networks.base import PackNetwork
from byheart.networks.build import build_pack
from byheart.record import Outcome, Record
from byheart.seeds import generator
from byheart.training.examples import Examples, gather_examples
from byheart.training.optimizer import Optimizer, make_optimizer
from byheart.training.packs import Pack
from byheart.training.probes import ONCE, Measured, logits, take_probes
from byheart.training.trajectory_run import sensitivity_probe, train_and_differentiate
from byheart.trial import Probe, Trial

SUSPECTS = 32
"""Examples that must all be right before a whole training set is checked for 100% accuracy."""


@torch.no_grad()
def train(
    pack: Pack,
    dataset: Dataset,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    on_epoch: Callable[[int, int], None] | None = None,
) -> list[Record]:
    """Train a pack and return one record per trial, in order.

    Each replica trains exactly as it would alone. One that converges (where the trial asks to stop
    there) or diverges leaves the pack at the end of that epoch, and the others go on without it.

    Args:
        pack: what to train.
        dataset: the clean source that ``trial.data.fingerprint`` names.
        device: "cpu", "cuda" or "mps".
        dtype: of weights and inputs.
        on_epoch: called with (epochs done, epoch budget) after every epoch.
    """
    probe = sensitivity_probe(pack.trials[0])
    if probe is not None:
        return train_and_differentiate(
            pack, probe, dataset, device=device, dtype=dtype, on_epoch=on_epoch
        )
    started = time.perf_counter()
    run = Run.start(pack, dataset, device=device, dtype=dtype)
    budget = pack.trials[0].algorithm.epochs
    run.probe(0)
    for epoch in range(1, budget + 1):
        run.train_epoch(epoch)
        if on_epoch is not None:
            on_epoch(epoch, budget)
        if not run.live:
            break
    run.finish(torch.ones(len(run.live), dtype=torch.bool), "budget", budget)
    seconds = (time.perf_counter() - started) / len(pack.trials)
    return [
        Record(
            trial=trial,
            outcome=outcome,
            epochs=epochs,
            arrays=_arrays(trial, run.measured[i]),
            seconds=seconds,
            threads=torch.get_num_threads(),
            device=device,
        )
        for i, (trial, (outcome, epochs)) in enumerate(zip(pack.trials, run.ends, strict=True))
    ]


@dataclass
class Run:
    """A pack in training: the replicas still live, and what all of them have left so far."""

    trials: Sequence[Trial]
    examples: Examples
    optimizer: Optimizer
    orders: list[np.random.Generator]
    live: list[int]
    measured: list[list[Measured]]
    ends: list[tuple[Outcome, int]]

    @classmethod
    def start(cls, pack: Pack, dataset: Dataset, *, device: str, dtype: torch.dtype) -> Run:
        """Gather the examples of a pack and draw its networks."""
        trials = pack.trials
        examples = gather_examples([t.data for t in trials], dataset, dtype=dtype, device=device)
        one, seeds = trials[0], [t.seed for t in trials]
        network = build_pack(
            one.algorithm.network,
            one.data.seen_shape(dataset.shape),
            one.data.outputs(dataset.n_classes),
            seeds,
            dtype=dtype,
            device=device,
        )
        return cls(
            trials=trials,
            examples=examples,
            optimizer=make_optimizer(network, [t.algorithm for t in trials], seeds),
            orders=[generator("shuffle", t.seed, t.data.train) for t in trials],
            live=list(range(len(trials))),
            measured=[[] for _ in trials],
            ends=[("budget", t.algorithm.epochs) for t in trials],
        )

    @property
    def network(self) -> PackNetwork:
        """The live replicas."""
        return self.optimizer.network

    def train_epoch(self, epoch: int) -> None:
        """Train every live replica for one epoch (counted from 1), probe it, and let it leave."""
        self.optimizer.start_epoch(epoch - 1)
        order = self.shuffled()
        given = self.steps(order)
        diverged = ~(self.network.finite() & torch.isfinite(given).all(1))
        if bool(diverged.any()):
            self.finish(diverged.cpu(), "diverged", epoch)
            order, given = order[~diverged], given[~diverged]
        if not self.live:
            return
        self.probe(epoch)
        self.finish(self.at_goal(order, given).cpu(), "converged", epoch)

    def at_goal(self, order: Tensor, given: Tensor) -> Tensor:
        """Return which live replicas have come to where they were to stop, bool [R].

        Args:
            order: [R, n] examples, in the order of the last epoch.
            given: [R, n] the probability given to each label, in that order.
        """
        match self.trials[0].algorithm.stop:
            case "converged":
                return self._converged(order, given)
            case "loss":
                return self._low_loss()
            case "budget":
                return torch.zeros(len(self.live), dtype=torch.bool)

    def probe(self, epoch: int) -> None:
        """Take the probes due at this epoch."""
        self._keep(self.live, take_probes(self._probes, epoch, self.network, self.examples))

    @property
    def _probes(self) -> Sequence[Probe]:
        return self.trials[0].probes

    def _keep(self, replicas: Sequence[int], taken: Measured) -> None:
        if taken:
            for row, replica in enumerate(replicas):
                self.measured[replica].append({name: v[row] for name, v in taken.items()})

    def finish(self, ended: Tensor, outcome: Outcome, epoch: int) -> None:
        """Note how some of the live replicas ended, and train on without them."""
        if not bool(ended.any()):
            return
        gone = ended.nonzero().squeeze(1)
        for row in gone.tolist():
            self.ends[self.live[row]] = (outcome, epoch)
        if outcome != "diverged" and any(probe.at_end for probe in self._probes):
            network, examples = self.network.select(gone), self.examples.select(gone)
            taken = take_probes(self._probes, epoch, network, examples, ended=True)
            self._keep([self.live[row] for row in gone.tolist()], taken)
        stay = (~ended).nonzero().squeeze(1)
        self.live = [self.live[row] for row in stay.tolist()]
        self.orders = [self.orders[row] for row in stay.tolist()]
        if self.live:
            rows = stay.to(self.examples.pool.device)
            self.examples = self.examples.select(rows)
            self.optimizer = self.optimizer.select(rows, epoch=epoch)

    def shuffled(self) -> Tensor:
        """Return the next order [R, n] of each replica's examples."""
        n = self.examples.train_rows.shape[1]
        order = np.stack([rng.permutation(n) for rng in self.orders])
        return torch.from_numpy(order).to(self.examples.pool.device)

    def steps(self, order: Tensor) -> Tensor:
        """Train one epoch and return the probability [R, n] given to each label, in its order."""
        size = self.trials[0].algorithm.batch_size
        rows = self.examples.train_rows.gather(1, order)
        labels = self.examples.train_y.gather(1, order)
        given = [
            self.optimizer.step(self.examples.inputs(batch), y)
            for batch, y in zip(
                torch.split(rows, size, 1), torch.split(labels, size, 1), strict=True
            )
        ]
        return torch.cat(given, 1)

    def _low_loss(self) -> Tensor:
        """Return which replicas have a training loss of at most ``stop_loss``, bool [R]."""
        scores = logits(self.network, self.examples, self.examples.train_rows).cpu()
        labels = self.examples.train_y.cpu()[..., None]
        loss = torch.logsumexp(scores, -1) - scores.gather(-1, labels)[..., 0]
        return torch.tensor(
            [
                value <= (self.trials[replica].algorithm.stop_loss or 0.0)
                for replica, value in zip(self.live, loss.double().mean(1).tolist(), strict=True)
            ]
        )

    def _converged(self, order: Tensor, given: Tensor) -> Tensor:
        """Return which replicas classify every training example as labelled, bool [R].

        A single wrong example settles it, so the likeliest are asked first: those that were given
        the smallest probability during the epoch. Only who gets them right is checked in full.
        """
        count = min(SUSPECTS, given.shape[1])
        suspects = order.gather(1, given.topk(count, dim=1, largest=False).indices)
        rows = self.examples.train_rows.gather(1, suspects)
        labels = self.examples.train_y.gather(1, suspects)
        right = (self.network(self.examples.inputs(rows)).argmax(-1) == labels).all(1)
        candidates = right.nonzero().squeeze(1)
        if len(candidates):
            examples = self.examples.select(candidates)
            guess = logits(self.network.select(candidates), examples, examples.train_rows)
            right[candidates] = (guess.argmax(-1) == examples.train_y).all(1)
        return right


def _arrays(trial: Trial, measured: Sequence[Measured]) -> dict[str, np.ndarray]:
    """Stack what was measured at each checkpoint; what was measured once has no such axis."""
    arrays: dict[str, np.ndarray] = {}
    names = dict.fromkeys(name for taken in measured for name in taken)
    once = ONCE | {name for name in names if name.partition(".")[0] in _at_end(trial)}
    for name in names:
        values = [taken[name] for taken in measured if name in taken]
        arrays[name] = np.asarray(values[-1]) if name in once else np.stack(values)
    return arrays


def _at_end(trial: Trial) -> set[str]:
    return {probe.name for probe in trial.probes if probe.at_end}
