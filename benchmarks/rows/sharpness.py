"""The largest Hessian eigenvalue of trained networks, against PyHessian and curvlinops with eigsh.

All reach the same residual, ||H v - lambda v|| <= 1e-3 |lambda|. ARPACK (eigsh) is asked for it.
PyHessian's power iteration stops when the eigenvalue settles, which says less: it is given, before
any timing, the loosest of the tolerances 1e-3, 3e-4, 1e-4, ... at which every vector that it
returns has the residual. Residuals are taken in float64 and in the same way for all.

A pack of networks is measured by ours as a pack, by the peers one after the other: they know no
other way. Twenty networks on MNIST are left to PyHessian, the faster of the two peers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from curvlinops import HessianLinearOperator
from pyhessian import hessian
from scipy.sparse.linalg import eigsh
from threadpoolctl import ThreadpoolController
from torch import Tensor, nn

import byheart
from benchmarks.duel import Agreement, Duel
from byheart.measures.sharpness import pack_sharpness
from byheart.measures.training_loss import PackData
from byheart.networks.mlp import ReplicatedMLP
from byheart.seeds import generator
from byheart.training.mlp_step import MLPStep
from byheart.training.regularizers.base import Batch
from byheart.trial import MLP, Algorithm

TOLERANCE = 1e-3
THREADS = 2
Found = list[tuple[float, Tensor | None]]
"""For each network an eigenvalue, and the vector [P] that goes with it."""


@dataclass(frozen=True)
class Trained:
    """Networks that were trained on the same examples, each from its own initialisation."""

    name: str
    network: ReplicatedMLP
    x: Tensor
    y: Tensor

    def modules(self) -> list[nn.Module]:
        """Return the networks as plain modules."""
        return [self.network.module(i) for i in range(self.network.replicas)]

    def first(self, count: int) -> Trained:
        """Return some of them."""
        return Trained(self.name, self.network.select(torch.arange(count)), self.x, self.y)


def trained(
    data: str, size: int, hidden: tuple[int, ...], *, replicas: int, epochs: int, batch: int
) -> Trained:
    """Train a pack."""
    dataset = byheart.load_dataset(data, size=size)
    x, y = dataset.x.flatten(1), dataset.y
    sizes = (x.shape[1], *hidden, dataset.n_classes)
    algorithm = Algorithm(
        network=MLP(hidden=hidden), learning_rate=0.1, batch_size=batch, epochs=epochs
    )
    network = ReplicatedMLP.initialised(sizes, range(replicas))
    step = MLPStep(network, [algorithm] * replicas, range(replicas))
    draw = generator("benchmark-sharpness")
    with torch.no_grad():
        for _ in range(epochs):
            for rows in torch.from_numpy(draw.permutation(len(x))).split(batch):
                step.step(
                    Batch(
                        rows.expand(replicas, -1),
                        x[rows].expand(replicas, -1, -1),
                        y[rows].expand(replicas, -1),
                    )
                )
    words = "-".join(map(str, sizes))
    return Trained(f"MLP {words}, {len(x)} examples of {data}", step.network, x, y)


def ours(nets: Trained) -> Callable[[], Found]:
    """Return our way: `sharpness` for one network, `pack_sharpness` for more."""
    count = nets.network.replicas
    module = nets.network.module(0)
    rows = torch.arange(len(nets.x)).expand(count, -1).contiguous()
    data = PackData(nets.x, rows, nets.y.expand(count, -1).contiguous())

    def one() -> Found:
        found = byheart.sharpness(module, nets.x, nets.y, tolerance=TOLERANCE)
        assert found.converged
        return [(found.eigenvalue, None)]

    def pack() -> Found:
        with torch.no_grad():
            found = pack_sharpness(nets.network, data, tolerance=TOLERANCE)
        assert found.converged.all()
        return [(value, None) for value in found.eigenvalue.tolist()]

    return one if count == 1 else pack


def by_pyhessian(nets: Trained, tolerance: float) -> Callable[[], Found]:
    """Return PyHessian's way, one network after the other."""
    modules, loss = nets.modules(), nn.CrossEntropyLoss()

    def measure() -> Found:
        found: Found = []
        for module in modules:
            torch.manual_seed(0)
            module.zero_grad()
            whole = hessian(module, loss, data=(nets.x, nets.y), cuda=False)
            values, vectors = whole.eigenvalues(maxIter=10000, tol=tolerance)
            found.append((values[0], torch.cat([v.detach().reshape(-1) for v in vectors[0]])))
        return found

    return measure


def by_eigsh(nets: Trained) -> Callable[[], Found]:
    """Return curvlinops' product and ARPACK's Lanczos, one network after the other."""
    modules, loss = nets.modules(), nn.CrossEntropyLoss()
    data = [(nets.x, nets.y)]
    # SciPy's own BLAS threads gain it nothing on vectors, and go on spinning when it is done: they
    # slow whoever comes next.
    ThreadpoolController().select(internal_api="openblas").limit(limits=1)

    def measure() -> Found:
        found: Found = []
        for module in modules:
            operator = HessianLinearOperator(module, loss, list(module.parameters()), data)
            start = np.random.default_rng(0).standard_normal(operator.shape[0]).astype(np.float32)
            values, vectors = eigsh(operator.to_scipy(), k=1, which="LM", tol=TOLERANCE, v0=start)
            found.append((float(values[0]), torch.from_numpy(vectors[:, 0].copy())))
        return found

    return measure


def residuals(nets: Trained, found: Found) -> list[float]:
    """Return ||H v - lambda v|| / |lambda| of what was found, lambda the Rayleigh quotient."""
    left = []
    for module, (_, vector) in zip(nets.modules(), found, strict=True):
        assert vector is not None
        v = vector.double() / vector.double().norm()
        parameters = [p.detach().double().requires_grad_() for p in module.parameters()]
        names = [name for name, _ in module.named_parameters()]
        logits = torch.func.functional_call(
            module, dict(zip(names, parameters, strict=True)), (nets.x.double(),)
        )
        slopes = torch.autograd.grad(
            nn.functional.cross_entropy(logits, nets.y), parameters, create_graph=True
        )
        flat = torch.cat([slope.reshape(-1) for slope in slopes])
        image = torch.cat([h.reshape(-1) for h in torch.autograd.grad(flat @ v, parameters)])
        value = v @ image
        left.append(float((image - value * v).norm() / value.abs()))
    return left


def loosest(nets: Trained) -> float:
    """Return the loosest of PyHessian's tolerances that brings every residual down."""
    for tolerance in (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 3e-7, 1e-7):
        if max(residuals(nets, by_pyhessian(nets, tolerance)())) <= TOLERANCE:
            return tolerance
    raise SystemExit("error: PyHessian did not come to the residual")


def comparison(nets: Trained) -> Callable[[Found, Found], Agreement]:
    def compare(mine: Found, other: Found) -> Agreement:
        pairs = zip(mine, other, strict=True)
        apart = max(abs(a / b - 1) for (a, _), (b, _) in pairs)
        worst = max(residuals(nets, other))
        # Each lies within its residual of an eigenvalue.
        return Agreement(
            apart <= 2 * TOLERANCE and worst <= 1.05 * TOLERANCE,
            f"eigenvalues the same to {apart:.1e}, the peer's residual {worst:.1e}, ours proved "
            f"to be {TOLERANCE:g} at most",
        )

    return compare


def duels() -> Iterator[Duel]:
    cases = [
        trained("digits", 500, (64, 64), replicas=20, epochs=40, batch=25),
        trained("mnist", 1000, (128, 128), replicas=20, epochs=20, batch=25),
    ]
    for case in cases:
        for count in (1, 20):
            nets = case.first(count)
            work = f"to {TOLERANCE:g}, {case.name}"
            tolerance = loosest(nets)
            peers = {f"PyHessian, tol={tolerance:g}": by_pyhessian(nets, tolerance)}
            if count == 1 or case is cases[0]:
                peers["curvlinops with eigsh"] = by_eigsh(nets)
            for peer, theirs in peers.items():
                yield Duel(
                    row=f"sharpness, {count} network{'s' * (count > 1)}",
                    work=work,
                    peer=peer,
                    ours=ours(nets),
                    theirs=theirs,
                    compare=comparison(nets),
                    wanted=3 if count == 1 else 10,
                    threads=THREADS,
                )
