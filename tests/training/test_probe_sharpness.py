"""Sharpness as the engine measures it: of networks that end, once, and what it costs."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import byheart
from byheart.measures.sharpness import pack_loss
from byheart.measures.training_loss import PackData
from byheart.networks.mlp import ReplicatedMLP
from byheart.networks.size import size_of
from byheart.training.cost import curvature_flops, flops, pack_bytes
from byheart.training.engine import train
from byheart.training.examples import gather_examples
from byheart.training.packs import Pack
from byheart.training.probes import take_probes
from byheart.trial import MLP, Algorithm, DataFacts, SharpnessProbe, Trial

DIGITS = byheart.load_dataset("digits", size=200)
PROBE = SharpnessProbe(max_iterations=60, online_iterations=5)
SIZES = (64, 8, 6, 10)


def trial(probe: SharpnessProbe = PROBE, *, labels: float = 0.0, **algorithm: object) -> Trial:
    facts = {"learning_rate": 0.1, "batch_size": 10, "epochs": 3} | algorithm
    return Trial(
        data=DataFacts(fingerprint=DIGITS.fingerprint, train=40, validation=0, labels=labels),
        algorithm=Algorithm(network=MLP(hidden=SIZES[1:-1]), **facts),
        seed=0,
        probes=(probe,),
    )


def test_every_replica_is_measured_on_its_own_training_set() -> None:
    trials = [trial(), trial(labels=1.0)]
    examples = gather_examples([t.data for t in trials], DIGITS)
    network = ReplicatedMLP.initialised(SIZES, [1, 2])
    taken = take_probes((PROBE,), 7, network, examples, ended=True)
    for row in range(2):
        x, y = examples.pool[examples.train_rows[row]], examples.train_y[row]
        module = network.module(row)
        for name, relative in (("eigenvalue", False), ("scale_invariant", True)):
            alone = byheart.sharpness(module, x, y, scale_invariant=relative)
            assert taken[f"sharpness.{name}"][row] == pytest.approx(alone.eigenvalue, rel=1e-3)
        logits = module(x).detach()
        loss = torch.nn.functional.cross_entropy(logits, y)
        assert taken["sharpness.train_loss"][row] == pytest.approx(float(loss), rel=1e-5)
        assert taken["sharpness.train"][row] == float((logits.argmax(1) == y).double().mean())
    assert taken["sharpness.epoch"].tolist() == [7, 7]


def test_a_record_holds_one_number_of_each_kind() -> None:
    [record] = train(Pack((trial(),)), DIGITS)
    own = {name for name in record.arrays if name.startswith("sharpness.")}
    assert own == {
        f"sharpness.{name}"
        for name in (
            "epoch", "eigenvalue", "residual", "iterations", "scale_invariant",
            "scale_invariant_residual", "scale_invariant_iterations", "online", "train",
            "train_loss",
        )
    }  # fmt: skip
    assert all(record.arrays[name].shape == () for name in own)
    assert record.arrays["sharpness.residual"] <= PROBE.tolerance
    assert record.arrays["sharpness.epoch"] == 3


def test_a_loss_to_stop_at_is_reached_where_sharpness_is_measured() -> None:
    [record] = train(Pack((trial(epochs=200, stop="loss", stop_loss=0.5),)), DIGITS)
    assert record.outcome == "converged"
    assert record.arrays["sharpness.train_loss"] <= 0.5
    assert record.arrays["sharpness.epoch"] == record.epochs < 200


def test_an_eigenvalue_that_was_not_found_is_recorded_as_unknown() -> None:
    probe = SharpnessProbe(max_iterations=2, online_iterations=0)
    [record] = train(Pack((trial(probe),)), DIGITS)
    assert np.isnan(record.arrays["sharpness.eigenvalue"])
    assert record.arrays["sharpness.residual"] > probe.tolerance
    assert record.arrays["sharpness.iterations"] == 2
    assert "sharpness.online" not in record.arrays


def test_a_network_that_diverged_has_no_sharpness() -> None:
    [record] = train(Pack((trial(learning_rate=1e30, epochs=20),)), DIGITS)
    assert record.outcome == "diverged"
    assert "sharpness.eigenvalue" not in record.arrays


def test_a_product_with_the_hessian_costs_what_pytorch_counts() -> None:
    data = PackData(
        torch.rand(40, SIZES[0]), torch.arange(40)[None], torch.zeros(1, 40, dtype=torch.int64)
    )
    loss = pack_loss(ReplicatedMLP.initialised(SIZES, [0]), data, chunk=40)
    loss.product(loss.theta)
    with FlopCounterMode(display=False) as counter:
        loss.product(loss.theta)
    # The counter does not see products added in place: only the plain ones, forward and backward.
    products = [a * b for a, b in itertools.pairwise(SIZES)]
    unseen = 40 * (2 * sum(products) + 6 * sum(products[1:]))
    size = size_of(MLP(hidden=SIZES[1:-1]), (SIZES[0],), SIZES[-1])
    once, twice = (
        curvature_flops(SharpnessProbe(max_iterations=n, online_iterations=0), 40, size)
        for n in (1, 2)
    )
    assert counter.get_total_flops() + unseen == (twice - once) / 2


def test_a_plan_counts_what_is_measured_at_the_end() -> None:
    plain = trial().model_copy(update={"probes": ()})
    assert flops(trial(), (64,), 10) > flops(plain, (64,), 10)
    assert pack_bytes(Pack((trial(),)), (64,), 10) > pack_bytes(Pack((plain,)), (64,), 10)
