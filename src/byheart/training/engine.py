"""Training of a pack of trials: what a runner runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from byheart.data.dataset import Dataset
from byheart.networks.build import build_pack
from byheart.networks.cnn import ReplicatedCNN
from byheart.networks.mlp import ReplicatedMLP
from byheart.networks.vmapped import ModulePack
from byheart.record import Outcome, Record
from byheart.seeds import generator
from byheart.training.examples import gather_examples
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.mlp_step import MLPStep
from byheart.training.packs import Pack
from byheart.training.probes import ONCE, Measured, take_probes
from byheart.training.sensitivity import sensitivity_probe, train_and_differentiate
from byheart.training.step import AutogradStep, TrainingStep
from byheart.trial import Algorithm, Trial

SUSPECTS = 32
"""Examples that must all be right before a whole training set is checked for 100% accuracy."""


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
        pack: the trials to train.
        dataset: the clean source that ``trial.data.fingerprint`` names.
        device: "cpu", "cuda" or "mps".
        dtype: dtype of weights and inputs.
        on_epoch: called with (epochs done, epoch budget) after every epoch.
    """
    probe = sensitivity_probe(pack.trials[0])
    if probe is not None:
        with torch.no_grad():
            return train_and_differentiate(
                pack, probe, dataset, device=device, dtype=dtype, on_epoch=on_epoch
            )
    started = time.perf_counter()
    results = TrialResults(pack.trials, on_epoch)
    make_loop(pack, dataset, device=device, dtype=dtype, hooks=[results]).train(
        pack.trials[0].algorithm.epochs
    )
    seconds = (time.perf_counter() - started) / len(pack.trials)
    return [
        Record(
            trial=trial,
            outcome=outcome,
            epochs=epochs,
            arrays=arrays,
            seconds=seconds,
            threads=torch.get_num_threads(),
            device=device,
        )
        for trial, (outcome, epochs), arrays in zip(
            pack.trials, results.ends, results.arrays(), strict=True
        )
    ]


@torch.no_grad()
def make_loop(
    pack: Pack,
    dataset: Dataset,
    *,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    hooks: Sequence[Hook] = (),
) -> TrainingLoop:
    """Return the loop that trains a pack, with its examples gathered and its networks drawn."""
    trials = pack.trials
    examples = gather_examples([t.data for t in trials], dataset, dtype=dtype, device=device)
    first, seeds = trials[0], [t.seed for t in trials]
    network = build_pack(
        first.algorithm.network,
        first.data.seen_shape(dataset.shape),
        first.data.outputs(dataset.n_classes),
        seeds,
        dtype=dtype,
        device=device,
    )
    return TrainingLoop(
        make_step(network, [t.algorithm for t in trials], seeds),
        examples,
        [generator("shuffle", t.seed, t.data.train) for t in trials],
        batch_size=first.algorithm.batch_size,
        hooks=hooks,
    )


def make_step(
    network: ReplicatedMLP | ReplicatedCNN | ModulePack,
    algorithms: Sequence[Algorithm],
    seeds: Sequence[int],
) -> TrainingStep:
    """Return the step that trains a pack.

    Args:
        network: the replicas.
        algorithms: one per replica.
        seeds: one per replica: draw the noise of regularizers.
    """
    if isinstance(network, ReplicatedMLP):
        return MLPStep(network, algorithms, seeds)
    return AutogradStep(network, algorithms, seeds)


class TrialResults(Hook):
    """Takes the probes of trials, lets replicas leave where they end, and notes how they did.

    Args:
        trials: trials of the pack.
        on_epoch: see :func:`train`.

    Attributes:
        measured: for each trial, what its probes took.
        ends: for each trial, how it ended and after how many epochs.
    """

    def __init__(
        self, trials: Sequence[Trial], on_epoch: Callable[[int, int], None] | None = None
    ) -> None:
        self._trials = trials
        self._on_epoch = on_epoch
        self.measured: list[list[Measured]] = [[] for _ in trials]
        self.ends: list[tuple[Outcome, int]] = [("budget", t.algorithm.epochs) for t in trials]

    def arrays(self) -> list[dict[str, np.ndarray]]:
        """Return the arrays of each trial's record."""
        return [
            _stacked(trial, measured)
            for trial, measured in zip(self._trials, self.measured, strict=True)
        ]

    def start(self, loop: TrainingLoop) -> None:
        """Take the probes of epoch 0."""
        self._probe(loop)

    def end_epoch(self, loop: TrainingLoop) -> None:
        """Take the probes of an epoch; replicas that diverged or converged leave."""
        algorithm = self._trials[0].algorithm
        finite = loop.network.finite() & torch.isfinite(loop.given).all(1)
        self._end(loop, ~finite, "diverged")
        if loop.live:
            self._probe(loop)
            self._end(loop, at_goal(loop, algorithm), "converged")
        if self._on_epoch is not None:
            self._on_epoch(loop.epoch, algorithm.epochs)

    def end(self, loop: TrainingLoop) -> None:
        """Note which replicas spent their whole budget."""
        self._end(loop, torch.ones(len(loop.live), dtype=torch.bool), "budget")

    def _probe(self, loop: TrainingLoop) -> None:
        probes = self._trials[0].probes
        self._keep(loop.live, take_probes(probes, loop.epoch, loop.network, loop.examples))

    def _keep(self, replicas: Sequence[int], taken: Measured) -> None:
        if taken:
            for row, replica in enumerate(replicas):
                self.measured[replica].append({name: v[row] for name, v in taken.items()})

    def _end(self, loop: TrainingLoop, ended: Tensor, outcome: Outcome) -> None:
        """Note how some of the live replicas, bool [R], ended; they leave."""
        ended = ended.cpu()
        if not bool(ended.any()):
            return
        rows = ended.nonzero().squeeze(1)
        replicas = [loop.live[row] for row in rows.tolist()]
        for replica in replicas:
            self.ends[replica] = (outcome, loop.epoch)
        probes = self._trials[0].probes
        if outcome != "diverged" and any(probe.at_end for probe in probes):
            network, examples = loop.network.select(rows), loop.examples.select(rows)
            taken = take_probes(probes, loop.epoch, network, examples, ended=True)
            self._keep(replicas, taken)
        loop.leave(ended)


def at_goal(loop: TrainingLoop, algorithm: Algorithm) -> Tensor:
    """Return which live replicas reached what the algorithm trains for, bool [R]."""
    match algorithm.stop:
        case "converged":
            return _converged(loop)
        case "loss":
            return _low_loss(loop, algorithm.stop_loss or 0.0)
        case "budget":
            return torch.zeros(len(loop.live), dtype=torch.bool)


def _low_loss(loop: TrainingLoop, most: float) -> Tensor:
    """Return which replicas have at most this mean loss on their training set, bool [R]."""
    examples = loop.examples
    scores = examples.logits(loop.network, examples.train_rows).cpu()
    labels = examples.train_y.cpu()[..., None]
    loss = torch.logsumexp(scores, -1) - scores.gather(-1, labels)[..., 0]
    return loss.double().mean(1) <= most


def _converged(loop: TrainingLoop) -> Tensor:
    """Return which replicas classify every training example as labelled, bool [R].

    One wrong example settles it, so the likeliest are tried first: those whose labels had the
    smallest probability during the epoch. Only who gets them right is checked in full.
    """
    examples, network = loop.examples, loop.network
    count = min(SUSPECTS, loop.given.shape[1])
    suspects = loop.order.gather(1, loop.given.topk(count, dim=1, largest=False).indices)
    rows = examples.train_rows.gather(1, suspects)
    labels = examples.train_y.gather(1, suspects)
    right = (network(examples.inputs(rows)).argmax(-1) == labels).all(1)
    candidates = right.nonzero().squeeze(1)
    if len(candidates):
        examples = examples.select(candidates)
        guess = examples.logits(network.select(candidates), examples.train_rows)
        right[candidates] = (guess.argmax(-1) == examples.train_y).all(1)
    return right


def _stacked(trial: Trial, measured: Sequence[Measured]) -> dict[str, np.ndarray]:
    """Stack what was measured at each checkpoint; what was measured once has no such axis."""
    arrays: dict[str, np.ndarray] = {}
    names = dict.fromkeys(name for taken in measured for name in taken)
    at_end = {probe.name for probe in trial.probes if probe.at_end}
    once = ONCE | {name for name in names if name.partition(".")[0] in at_end}
    for name in names:
        values = [taken[name] for taken in measured if name in taken]
        arrays[name] = np.asarray(values[-1]) if name in once else np.stack(values)
    return arrays
