"""Work is counted, not timed: a step that starts more operators is slower on every machine."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from byheart.networks.build import build_pack
from byheart.training.engine import make_step
from byheart.training.regularizers.base import Batch
from byheart.trial import CNN, MLP, Algorithm


class Operators(TorchDispatchMode):
    """Counts the operators that are started, views aside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def operators(network: MLP | CNN, shape: tuple[int, ...], replicas: int, momentum: float) -> int:
    seeds = list(range(replicas))
    algorithm = Algorithm(
        network=network, learning_rate=0.1, momentum=momentum, batch_size=4, epochs=1
    )
    pack = build_pack(network, shape, 10, seeds)
    step = make_step(pack, [algorithm] * replicas, seeds)
    inputs = int(torch.tensor(shape).prod())
    x, y = torch.rand(replicas, 4, inputs), torch.zeros(replicas, 4, dtype=torch.int64)
    with torch.no_grad(), Operators() as counted:
        step.step(Batch(y, x, y))
    return counted.count


CASES = [
    (MLP(hidden=(16, 16)), (20,), 0.0, 30),
    (CNN(channels=(2, 3), dense=()), (14, 14), 0.9, 110),
]


@pytest.mark.parametrize(("network", "shape", "momentum", "most"), CASES)
def test_a_step_starts_no_more_operators_than_it_did(
    network: MLP | CNN, shape: tuple[int, ...], momentum: float, most: int
) -> None:
    assert operators(network, shape, 3, momentum) <= most


@pytest.mark.parametrize(("network", "shape", "momentum", "most"), CASES)
def test_more_replicas_start_no_more_operators(
    network: MLP | CNN, shape: tuple[int, ...], momentum: float, most: int
) -> None:
    few, many = (operators(network, shape, replicas, momentum) for replicas in (2, 20))
    assert few == many
