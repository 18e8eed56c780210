"""What a plan costs, against counts made by hand and by PyTorch itself."""

import math
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from byheart.data.sources import load_dataset
from byheart.networks.build import build_pack
from byheart.networks.examine import examine
from byheart.networks.mlp import ReplicatedMLP
from byheart.training.cost import (
    certificate_flops,
    expected_flops,
    flops,
    flops_by_kind,
    pack_bytes,
)
from byheart.training.engine import make_step, train
from byheart.training.examples import Examples
from byheart.training.mlp_step import MLPStep
from byheart.training.packs import Pack, trial_size
from byheart.training.probes import take_probes
from byheart.training.regularizers.base import Batch
from byheart.trial import (
    CNN,
    MLP,
    AccuracyProbe,
    Algorithm,
    CorrectProbe,
    CriticalProbe,
    DataFacts,
    Foreign,
    Probe,
    SharpnessProbe,
    Trial,
)

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


def batch() -> Batch:
    y = torch.zeros(1, 10, dtype=torch.int64)
    return Batch(y, torch.rand(1, 10, INPUTS), y)


def test_training_counts_what_pytorch_counts() -> None:
    network = ReplicatedMLP.initialised(
        (INPUTS, 8, 6, CLASSES), [0], dtype=torch.float32, device="cpu"
    )
    step = MLPStep(network, [trial().algorithm], [0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        step.step(batch())
    steps = 5 * 40 // 10
    # The counter does not see products added in place: those that update the weights.
    updates = 2 * 10 * (INPUTS * 8 + 8 * 6 + 6 * CLASSES)
    assert flops(trial(), (INPUTS,), CLASSES) == steps * (counter.get_total_flops() + updates)


def test_training_on_critical_samples_counts_what_pytorch_counts() -> None:
    plain = trial()
    numbers = {"adversarial_weight": 0.5, "adversarial_radius": 1e-9, "dropout": 0.5}
    algorithm = plain.algorithm.model_copy(update=numbers)
    own = plain.model_copy(update={"algorithm": algorithm})
    network = ReplicatedMLP.initialised((INPUTS, 8, 6, CLASSES), [0])
    step = MLPStep(network, [algorithm], [0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        step.step(batch())
    steps = 5 * 40 // 10
    updates = 2 * 20 * (INPUTS * 8 + 8 * 6 + 6 * CLASSES)
    assert flops(own, (INPUTS,), CLASSES) == steps * (counter.get_total_flops() + updates)


@pytest.mark.parametrize(
    "network",
    [
        CNN(channels=(3, 4), dense=(7,), kernel=3, pool=2),
        CNN(channels=(5,), dense=(), kernel=5),
        CNN(channels=(2, 3), dense=(4, 3), crop=1),
    ],
    ids=lambda network: network.name,
)
def test_training_a_cnn_counts_what_pytorch_counts(network: CNN) -> None:
    shape, plain = (3, 16, 16), trial()
    algorithm = plain.algorithm.model_copy(update={"network": network})
    own = plain.model_copy(update={"algorithm": algorithm})
    step = make_step(build_pack(network, shape, CLASSES, [0]), [algorithm], [0])
    with FlopCounterMode(display=False) as counter:
        y = torch.zeros(1, 10, dtype=torch.int64)
        step.step(Batch(y, torch.rand(1, 10, 768), y))
    assert flops(own, shape, CLASSES) == 5 * 4 * counter.get_total_flops()


def test_the_cost_of_a_users_network_is_that_of_its_size() -> None:
    factory, probe = "tests.networks.user_networks:convnet", AccuracyProbe(epochs=(1, 5))
    examined = examine(factory, (8, 8), 10)
    plain = trial(probe)
    network = Foreign(factory=factory, fingerprint=examined.fingerprint)
    algorithm = plain.algorithm.model_copy(update={"network": network})
    own = plain.model_copy(update={"algorithm": algorithm})
    size = examined.size
    trained = 5 * 40 * (6 * size.products - 2 * size.first_products)
    assert flops(own, (8, 8), 10) == trained + 2 * 60 * 2 * size.products
    assert pack_bytes(Pack((own,)), (8, 8), 10) > 4 * size.parameters


class Operators(TorchDispatchMode):
    """Counts the operators that are started, views aside."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("network", "shape", "momentum", "most"),
    [
        (MLP(hidden=(16, 16)), (20,), 0.0, 30),
        (CNN(channels=(2, 3), dense=()), (14, 14), 0.9, 110),
    ],
)
def test_a_step_starts_no_more_operators_than_it_did_however_many_replicas(
    network: MLP | CNN, shape: tuple[int, ...], momentum: float, most: int
) -> None:
    counts = set()
    for replicas in (2, 20):
        seeds = list(range(replicas))
        algorithm = Algorithm(
            network=network, learning_rate=0.1, momentum=momentum, batch_size=4, epochs=1
        )
        step = make_step(build_pack(network, shape, 10, seeds), [algorithm] * replicas, seeds)
        x, y = torch.rand(replicas, 4, math.prod(shape)), torch.zeros(replicas, 4).long()
        with torch.no_grad(), Operators() as operators:
            step.step(Batch(y, x, y))
        counts.add(operators.count)
    assert len(counts) == 1
    assert max(counts) <= most


@pytest.mark.parametrize(
    "network",
    [MLP(hidden=(32, 16)), CNN(channels=(3, 4), dense=(7,), kernel=3, pool=2)],
    ids=lambda network: network.kind,
)
def test_a_whole_run_takes_the_operations_to_expect(network: MLP | CNN) -> None:
    digits = load_dataset("digits")
    probes = (
        AccuracyProbe(epochs=(1, 3)),
        CriticalProbe(
            epochs=(1, 3), radii=(0.1 / 255, 1 / 255), train_radii=(1 / 255,), examples=20,
            max_steps=5,
        ),
    )  # fmt: skip
    own = Trial(
        data=DataFacts(fingerprint=digits.fingerprint, train=100, validation=40),
        algorithm=Algorithm(network=network, learning_rate=0.1, batch_size=20, epochs=3),
        seed=0,
        probes=probes,
    )
    with FlopCounterMode(display=False) as counter:
        train(Pack((own,)), digits)
    seen = counter.get_total_flops()
    if isinstance(network, MLP):
        # The counter does not see products added in place: those that update the weights.
        seen += 3 * 100 * 2 * trial_size(own, digits.shape, digits.n_classes).products
    assert expected_flops(own, digits.shape, digits.n_classes) == pytest.approx(seen, rel=0.1)


def counted(probe: Probe, epoch: int = 5) -> float:
    """Return what PyTorch counts while a probe is taken on one replica."""
    pool = torch.rand(60, INPUTS, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(60).unsqueeze(0)
    train, validation = rows[:, :40], rows[:, 40:]
    labels = torch.zeros(1, 60, dtype=torch.int64)
    examples = Examples(
        pool, (INPUTS,), train, labels[:, :40], train < 0, validation, labels[:, 40:]
    )
    network = ReplicatedMLP.initialised((INPUTS, 8, 6, CLASSES), [0])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        take_probes([probe], epoch, network, examples)
    return counter.get_total_flops()


def planned(probe: Probe) -> float:
    return flops(trial(probe), (INPUTS,), CLASSES) - flops(trial(), (INPUTS,), CLASSES)


def test_accuracy_counts_what_pytorch_counts() -> None:
    probe = AccuracyProbe(epochs=(5,))
    assert planned(probe) == counted(probe)


def test_correct_examples_count_what_pytorch_counts() -> None:
    probe = CorrectProbe(epochs=(5,))
    assert planned(probe) == counted(probe)


# In boxes that small no search settles, so all go to their limit.
UNSETTLED = CriticalProbe(
    epochs=(5,), radii=(1e-9, 2e-9), train_radii=(1e-9,), examples=20, max_steps=7
)


def test_a_search_that_never_settles_counts_what_pytorch_counts() -> None:
    assert planned(UNSETTLED) == counted(UNSETTLED)


def test_a_certificate_counts_at_most_what_is_planned() -> None:
    certified = UNSETTLED.model_copy(
        update={"certify_epochs": (5,), "certify_radii": (1e-9,), "certify_examples": 20}
    )
    wide = certified.model_copy(update={"radii": (0.2, 0.3), "train_radii": (0.2,)})
    bound = planned(certified) - planned(UNSETTLED)
    assert bound == planned(wide) - planned(UNSETTLED)
    for probe in (certified, wide):
        without = probe.model_copy(update={"certify_epochs": ()})
        assert 0 < counted(probe) - counted(without) <= bound


def test_certificates_are_counted_once_per_checkpoint_and_radius() -> None:
    probe = CriticalProbe(
        epochs=(1, 3, 5), radii=(0.1, 0.2), train_radii=(0.1,), examples=20, max_steps=7,
        certify_epochs=(3, 5), certify_radii=(0.1,), certify_examples=4,
    )  # fmt: skip
    without = probe.model_copy(update={"certify_epochs": ()})
    one = certificate_flops(trial(), (INPUTS,), CLASSES)
    # Validation and training examples, and at the end the other radius too.
    assert planned(probe) - planned(without) == pytest.approx(4 * (2 + 3) * one)


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


def test_kinds_of_work_add_up_to_the_whole() -> None:
    probes = (
        AccuracyProbe(epochs=(1, 5)),
        UNSETTLED,
        SharpnessProbe(max_iterations=3, online_iterations=2),
    )
    kinds = flops_by_kind(trial(*probes), (INPUTS,), CLASSES)
    assert set(kinds) == {"training", "forward", "search", "curvature", "online"}
    assert sum(kinds.values()) == flops(trial(*probes), (INPUTS,), CLASSES)
    assert flops_by_kind(trial(), (INPUTS,), CLASSES) == {
        "training": flops(trial(), (INPUTS,), CLASSES)
    }
