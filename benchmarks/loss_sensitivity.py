"""Loss-sensitivity through all of training: one sweep against one autograd graph per time.

The network of A17's Figure 3 (196-16-16-10, 1000 examples, batches of 50). The peer is what one
would write without the idea: for each evaluation time, train with the whole graph kept and call
autograd once. Its time grows with the update evaluated at, so it is taken at a few evenly spaced
times and added up over all of them by the straight line through these; both the measured points and
the sum are printed. Sweeps by formulas and by autograd are timed whole.

All must agree: checked first in float64 over the first updates (1e-9), then timed in float32.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from byheart.measures.batches import shuffled_batches
from byheart.measures.mlp_sgd import mlp_sgd
from byheart.measures.unrolled import PlainSgd, UnrolledSgd, input_gradients
from byheart.networks.mlp import ReplicatedMLP
from byheart.seeds import generator

SIZES = (196, 16, 16, 10)
EXAMPLES, BATCH, LEARNING_RATE = 1000, 50, 0.1


def run(updates: int, dtype: torch.dtype) -> tuple[nn.Module, PlainSgd]:
    """Return a network and its training run on examples that it can learn."""
    rng = generator("benchmark")
    y = rng.integers(0, SIZES[-1], EXAMPLES)
    centres = rng.random((SIZES[-1], SIZES[0]))
    x = torch.from_numpy(0.5 * centres[y] + 0.5 * rng.random((EXAMPLES, SIZES[0]))).to(dtype)
    model = ReplicatedMLP.initialised(SIZES, [0], dtype=dtype).module(0)
    batches = shuffled_batches(EXAMPLES, BATCH, updates)
    return model, PlainSgd(model, x, torch.from_numpy(y), batches, LEARNING_RATE)


def unrolled(model: nn.Module, sgd: PlainSgd, t: int) -> Tensor:
    """Return dL_t/dx [N, D] from one graph of t updates."""
    x = sgd.x.clone().requires_grad_()
    theta = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}
    for batch in sgd.batches[:t]:
        loss = cross_entropy(functional_call(model, theta, (x[batch],)), sgd.y[batch])
        slopes = torch.autograd.grad(loss, tuple(theta.values()), create_graph=True)
        theta = {
            name: p - LEARNING_RATE * slope
            for (name, p), slope in zip(theta.items(), slopes, strict=True)
        }
    loss = cross_entropy(functional_call(model, theta, (x,)), sgd.y)
    return torch.autograd.grad(loss, x)[0]


def by_formulas(model: nn.Module, sgd: PlainSgd) -> UnrolledSgd:
    """Return the run that byheart takes for this network."""
    fast = mlp_sgd(model, sgd)
    assert fast is not None
    return fast


def check() -> float:
    """Return the largest relative difference between the three, over the first 60 updates."""
    model, sgd = run(60, torch.float64)
    times = [1, 20, 60]
    peer = torch.stack([unrolled(model, sgd, t) for t in times])
    worst = 0.0
    for one in (sgd, by_formulas(model, sgd)):
        apart = (input_gradients(one, times) - peer).flatten(1).norm(dim=1)
        worst = max(worst, float((apart / peer.flatten(1).norm(dim=1)).max()))
    assert worst < 1e-9, worst
    return worst


def seconds(action: Callable[[], object]) -> float:
    """Return how long an action takes on one core, whatever else the machine is doing."""
    started = time.process_time()
    action()
    return time.process_time() - started


def main() -> None:
    """Print and, if asked, store what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=2000)
    parser.add_argument("--evaluations", type=int, default=50)
    parser.add_argument("--peer-times", type=int, default=4, help="times at which the peer is run")
    parser.add_argument("--rounds", type=int, default=3, help="of the sweep by formulas")
    parser.add_argument("--out", type=Path, help="write the figures here as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, object] = {"largest relative difference": check()}
    times = [args.updates * (i + 1) // args.evaluations for i in range(args.evaluations)]
    model, sgd = run(args.updates, torch.float32)
    fast = by_formulas(model, sgd)

    sweeps = [seconds(lambda: input_gradients(fast, times)) for _ in range(args.rounds)]
    ours = statistics.median(sweeps)
    result["peak MiB after the sweep"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result["sweep by formulas, s"] = sweeps
    result["sweep by autograd, s"] = seconds(lambda: input_gradients(sgd, times))
    peer, total = peer_seconds(model, sgd, times, args.peer_times)
    result["one graph per time, measured, s"] = peer
    result["one graph per time, all times by the line through these, s"] = total
    result["ratio, extrapolated"] = total / ours
    text = json.dumps(result, indent=2)
    print(text)
    if args.out is not None:
        args.out.write_text(text + "\n", encoding="utf-8")


def peer_seconds(
    model: nn.Module, sgd: PlainSgd, times: Sequence[int], count: int
) -> tuple[dict[int, float], float]:
    """Return the peer's time at a few updates, and the sum over all by a straight line."""
    chosen = [times[-1] * (i + 1) // count for i in range(count)]
    found = {t: seconds(partial(unrolled, model, sgd, t)) for t in chosen}
    slope, start = np.polyfit(chosen, list(found.values()), 1)
    return found, float(sum(start + slope * t for t in times))


if __name__ == "__main__":
    main()
