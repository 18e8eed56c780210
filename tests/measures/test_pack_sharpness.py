"""Sharpness of a pack against dense Hessians, against one network at a time, and its limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.reference.hessian import dense_hessian, largest, online_estimate, relative_hessian
from torch import Tensor, nn

import byheart
from byheart.measures import mlp_loss, sharpness
from byheart.measures.online_sharpness import pack_online_sharpness
from byheart.measures.sharpness import pack_loss, pack_sharpness
from byheart.measures.training_loss import AutogradLoss, PackData
from byheart.networks.base import PackNetwork
from byheart.networks.build import build_pack
from byheart.networks.mlp import ReplicatedMLP
from byheart.trial import CNN

R, N, CLASSES = 4, 30, 3
SHAPE = (1, 4, 4)


def examples(width: int = 16) -> PackData:
    draw = torch.Generator().manual_seed(5)
    pool = torch.rand(N + 10, width, generator=draw, dtype=torch.float64)
    rows = torch.stack([torch.randperm(len(pool), generator=draw)[:N] for _ in range(R)])
    return PackData(pool, rows, torch.randint(CLASSES, (R, N), generator=draw))


def moved(network: PackNetwork, by: float = 0.3) -> PackNetwork:
    """Move every parameter, biases too: a trained network has none at zero."""
    draw = torch.Generator().manual_seed(6)
    for parameter in parameters(network):
        parameter += by * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return network


def parameters(network: PackNetwork) -> list[Tensor]:
    if isinstance(network, ReplicatedMLP):
        pairs = zip(network.weights, network.biases, strict=True)
        return [parameter for pair in pairs for parameter in pair]
    return list(network.parameters())


def mlps() -> ReplicatedMLP:
    return moved(ReplicatedMLP.initialised((16, 5, 4, CLASSES), range(R), dtype=torch.float64))


def cnns() -> PackNetwork:
    facts = CNN(channels=(2,), dense=(4,), kernel=3, pool=2, stride=2)
    return moved(build_pack(facts, SHAPE, CLASSES, range(R), dtype=torch.float64))


class AnyPack:
    """A pack of MLPs of which nothing is known but that it can be differentiated."""

    def __init__(self, inside: ReplicatedMLP) -> None:
        self.inside = inside
        self.replicas = inside.replicas

    def __call__(self, x: Tensor) -> Tensor:
        return self.inside(x)

    def select(self, replicas: Tensor) -> AnyPack:
        return AnyPack(self.inside.select(replicas))

    def parameters(self) -> list[Tensor]:
        return parameters(self.inside)

    def module(self, replica: int) -> nn.Module:
        return self.inside.module(replica)


PACKS = {"MLP": mlps, "CNN in eval mode": cnns, "any": lambda: AnyPack(mlps())}


def alone(network: PackNetwork, data: PackData, replica: int) -> tuple[nn.Module, Tensor, Tensor]:
    return network.module(replica), data.pool[data.rows[replica]].view(N, *SHAPE), data.y[replica]


@pytest.mark.parametrize("name", PACKS)
@pytest.mark.parametrize("relative", [False, True])
def test_every_eigenvalue_is_that_of_the_dense_hessian(name: str, relative: bool) -> None:
    network, data = PACKS[name](), examples()
    found = pack_sharpness(network, data, tolerance=1e-8, scale_invariant=relative, chunk=11)
    twin = relative_hessian if relative else dense_hessian
    exact = [largest(twin(*alone(network, data, replica))) for replica in range(R)]
    assert found.converged.all()
    assert found.eigenvalue == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize("name", PACKS)
def test_a_pack_equals_its_networks_one_at_a_time(name: str) -> None:
    network, data = PACKS[name](), examples()
    found = pack_sharpness(network, data)
    single = [byheart.sharpness(*alone(network, data, replica)) for replica in range(R)]
    assert found.eigenvalue == pytest.approx([one.eigenvalue for one in single], rel=1e-4)
    assert (found.residual <= 1e-3).all()


@pytest.mark.parametrize("kept", [0, mlp_loss.MAX_STORED_BYTES])
def test_the_written_out_product_is_that_of_autograd(
    kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mlp_loss, "MAX_STORED_BYTES", kept)
    network, data = mlps(), examples()
    written = pack_loss(network, data, chunk=7)
    twin = AutogradLoss(AnyPack(network), data, chunk=N)
    draw = torch.Generator().manual_seed(1)
    vectors = torch.randn(written.theta.shape, generator=draw, dtype=torch.float64)
    columns = torch.tensor([3, 3, 17, 4])
    assert torch.equal(written.theta, twin.theta)
    for _ in range(2):
        torch.testing.assert_close(written.product(vectors), twin.product(vectors))
    some = torch.tensor([2, 0])
    torch.testing.assert_close(
        written.select(some).product(vectors[some]), twin.select(some).product(vectors[some])
    )
    for chosen in (None, columns):
        torch.testing.assert_close(written.change(vectors, chosen), twin.change(vectors, chosen))


def test_a_pack_too_large_for_memory_is_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = mlps(), examples()
    whole = pack_sharpness(network, data, tolerance=1e-8)
    monkeypatch.setattr(sharpness, "MAX_BASIS_BYTES", 1)
    parts = pack_sharpness(network, data, tolerance=1e-8)
    assert parts.eigenvalue == pytest.approx(whole.eigenvalue, rel=1e-12)


@pytest.mark.parametrize("name", PACKS)
def test_nothing_of_the_pack_is_touched(name: str) -> None:
    network, data = PACKS[name](), examples()
    before = [parameter.clone() for parameter in parameters(network)]
    with torch.no_grad():
        pack_sharpness(network, data, tolerance=0.1)
        pack_online_sharpness(network, data, iterations=3)
    for now, then in zip(parameters(network), before, strict=True):
        assert torch.equal(now, then)
        assert not now.requires_grad


def test_a_replica_that_is_not_finite_leaves_the_others_alone() -> None:
    network, data = mlps(), examples()
    sound = pack_sharpness(network, data)
    network.weights[1][2, 0, 0] = torch.inf
    found = pack_sharpness(network, data)
    assert np.isnan(found.eigenvalue[2])
    assert not found.converged[2]
    rest = [0, 1, 3]
    assert found.eigenvalue[rest] == pytest.approx(sound.eigenvalue[rest], rel=1e-12)


def test_a_saturated_replica_has_sharpness_zero() -> None:
    network = ReplicatedMLP.initialised((1, 2), range(2), dtype=torch.float64)
    network.weights[0][0] = torch.tensor([[1e4, -1e4]])
    data = PackData(
        torch.ones(1, 1, dtype=torch.float64),
        torch.zeros(2, 3, dtype=torch.int64),
        torch.zeros(2, 3, dtype=torch.int64),
    )
    found = pack_sharpness(network, data)
    assert (found.eigenvalue[0], found.residual[0]) == (0.0, 0.0)
    assert found.eigenvalue[1] > 0
    assert found.converged.all()


@pytest.mark.parametrize("name", PACKS)
def test_the_online_estimate_is_that_of_its_slow_twin(name: str) -> None:
    network, data = PACKS[name](), examples()
    found = pack_online_sharpness(network, data, iterations=12, batch_size=8, alpha=1e-3, seed=4)
    assert found[-1] == pytest.approx(
        online_estimate(
            network, parameters(network), data, iterations=12, batch_size=8, alpha=1e-3, seed=4
        ),
        rel=1e-6,
    )
