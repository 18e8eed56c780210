"""What a plan costs, against counts made by hand and by PyTorch itself."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from byheart.networks.mlp import ReplicatedMLP
from byheart.training.cost import flops, pack_bytes, training_speed
from byheart.training.packs import Pack
from byheart.training.sgd import SGD
from byheart.trial import MLP, AccuracyProbe, Algorithm, CriticalProbe, DataFacts, Probe, Trial

INPUTS, CLASSES = 12, 4


def trial(*probes: Probe, seed: int = 0, epochs: int = 5, inputs: float = 0.0) -> Trial:
    return Trial(
        data=DataFacts(fingerprint="f", train=40, validation=20, inputs=inputs),
        algorithm=Algorithm(
            network=MLP(hidden=(8, 6)), learning_rate=0.1, batch_size=10, epochs=epochs
        ),
        seed=seed,
        probes=probes,
    )


def test_training_counts_what_pytorch_counts() -> None:
    network = ReplicatedMLP.initialised(
        (INPUTS, 8, 6, CLASSES), [0], dtype=torch.float32, device="cpu"
    )
    sgd = SGD(network, [trial().algorithm], [0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        sgd.step(torch.rand(1, 10, INPUTS), torch.zeros(1, 10, dtype=torch.int64))
    steps = 5 * 40 // 10
    # The counter does not see products added in place: those that update the weights.
    updates = 2 * 10 * (INPUTS * 8 + 8 * 6 + 6 * CLASSES)
    assert flops(trial(), (INPUTS,), CLASSES) == steps * (counter.get_total_flops() + updates)


def test_a_probe_costs_its_forward_passes() -> None:
    probe = AccuracyProbe(epochs=(1, 5))
    weights = INPUTS * 8 + 8 * 6 + 6 * CLASSES
    more = flops(trial(probe), (INPUTS,), CLASSES) - flops(trial(), (INPUTS,), CLASSES)
    assert more == 2 * (40 + 20) * 2 * weights


def test_checkpoints_beyond_the_budget_cost_nothing() -> None:
    probe = AccuracyProbe(epochs=(6, 7))
    assert flops(trial(probe), (INPUTS,), CLASSES) == flops(trial(), (INPUTS,), CLASSES)


def test_a_longer_search_costs_more() -> None:
    short = CriticalProbe(epochs=(5,), radii=(0.1,), examples=10, max_steps=5)
    long = short.model_copy(update={"max_steps": 50})
    assert flops(trial(long), (INPUTS,), CLASSES) > flops(trial(short), (INPUTS,), CLASSES)


def test_memory_grows_with_replicas_and_with_noise_inputs() -> None:
    one = pack_bytes(Pack((trial(),)), (INPUTS,), CLASSES)
    two = pack_bytes(Pack((trial(), trial(seed=1))), (INPUTS,), CLASSES)
    noisy = pack_bytes(Pack((trial(inputs=0.5),)), (INPUTS,), CLASSES)
    assert one < two < 2 * one, "replicas share their inputs"
    assert noisy == one + 4 * INPUTS * 20


def test_the_weights_alone_are_less_than_the_whole() -> None:
    parameters = (INPUTS + 1) * 8 + 9 * 6 + 7 * CLASSES
    assert pack_bytes(Pack((trial(),)), (INPUTS,), CLASSES) > 4 * parameters


@pytest.mark.parametrize("replicas", [1, 3])
def test_the_speed_of_this_machine_is_a_positive_number(replicas: int) -> None:
    pack = Pack(tuple(trial(seed=i) for i in range(replicas)))
    assert training_speed(pack, (INPUTS,), CLASSES, seconds=0.01) > 0
