"""Loss-sensitivity through all of training, against one autograd graph per evaluation time.

The network of A17's Figure 3, for T updates and E evenly spaced evaluation times. The peer is what
one writes without the idea of a shared sweep: for each time, train with the whole graph kept and
ask autograd for dL_t/dx. It is run in full, in every round.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

import byheart
from benchmarks.duel import Agreement, Duel
from byheart.measures.sensitivity import shuffled_batches
from byheart.networks.mlp import ReplicatedMLP
from byheart.seeds import generator

SIZES = (196, 16, 16, 10)
EXAMPLES, BATCH, RATE = 1000, 50, 0.1
UPDATES, EVALUATIONS = 2000, 50
APART = 1e-3
"""How far float32 may take the two apart after all updates, relative to the largest."""


@dataclass(frozen=True)
class Training:
    """A network, and what it is trained on."""

    model: nn.Module
    x: Tensor
    y: Tensor
    batches: Sequence[Tensor]
    times: Sequence[int]

    def ours(self) -> Tensor:
        """Return g_x^t [E, N] by one sweep."""
        return byheart.loss_sensitivity(
            self.model,
            self.x,
            self.y,
            batches=self.batches,
            learning_rate=RATE,
            evaluate_at=self.times,
        )

    def theirs(self) -> Tensor:
        """Return g_x^t [E, N], one graph for each time."""
        return torch.stack([self.unrolled(t).abs().sum(1) for t in self.times])

    def unrolled(self, t: int) -> Tensor:
        """Return dL_t/dx [N, D] from one graph of t updates."""
        x = self.x.clone().requires_grad_()
        theta = {
            name: p.detach().clone().requires_grad_() for name, p in self.model.named_parameters()
        }
        for batch in self.batches[:t]:
            loss = cross_entropy(functional_call(self.model, theta, (x[batch],)), self.y[batch])
            slopes = torch.autograd.grad(loss, tuple(theta.values()), create_graph=True)
            theta = {
                name: p - RATE * slope
                for (name, p), slope in zip(theta.items(), slopes, strict=True)
            }
        loss = cross_entropy(functional_call(self.model, theta, (x,)), self.y)
        return torch.autograd.grad(loss, x)[0]


def training(updates: int = UPDATES, evaluations: int = EVALUATIONS) -> Training:
    """Return a training run on examples that the network can learn."""
    rng = generator("benchmark")
    y = rng.integers(0, SIZES[-1], EXAMPLES)
    centres = rng.random((SIZES[-1], SIZES[0]))
    x = torch.from_numpy(0.5 * centres[y] + 0.5 * rng.random((EXAMPLES, SIZES[0]))).float()
    return Training(
        ReplicatedMLP.initialised(SIZES, [0]).module(0),
        x,
        torch.from_numpy(y),
        shuffled_batches(EXAMPLES, BATCH, updates),
        [updates * (i + 1) // evaluations for i in range(evaluations)],
    )


def compare(ours: Tensor, theirs: Tensor) -> Agreement:
    """Compare at each time with the largest of that time."""
    apart = float(((ours - theirs).abs().amax(1) / theirs.amax(1)).max())
    return Agreement(apart <= APART, f"the same to {apart:.1e}")


def peak() -> str:
    """Say how much memory ours takes, in a process that does nothing else."""
    code = "from benchmarks.rows import loss_sensitivity; loss_sensitivity.print_peak()"
    told = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    return told.strip()


def print_peak() -> None:
    """Print the memory of this process before and after a sweep."""
    one = training()
    before = high_water()
    one.ours()
    print(f"peak of our process {high_water():.0f} MiB, {before:.0f} of it before the call")


def high_water() -> float:
    """Return the most memory that this process has had, in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says includes the process that started this one
        line = next(one for one in status.read_text().splitlines() if one.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def duels() -> Iterator[Duel]:
    one = training()
    yield Duel(
        row="loss-sensitivity",
        work=f"g_x^t at {EVALUATIONS} of {UPDATES} updates, MLP 196-16-16-10, {EXAMPLES} examples",
        peer="one autograd graph of all updates per time",
        ours=one.ours,
        theirs=one.theirs,
        compare=compare,
        wanted=40,
        threads=2,
        note=peak,
    )
