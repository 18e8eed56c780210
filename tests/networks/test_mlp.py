from __future__ import annotations

import math

import torch
from tests.reference.plain_training import plain_module

from byheart.networks.mlp import ReplicatedMLP, glorot_uniform

SIZES = (7, 5, 4, 3)


def test_each_replica_scores_like_its_own_module() -> None:
    network = ReplicatedMLP.initialised(SIZES, [3, 4, 5], dtype=torch.float64)
    x = torch.rand(3, 11, 7, dtype=torch.float64)
    logits = network(x)
    for replica, seed in enumerate((3, 4, 5)):
        plain = plain_module(SIZES, seed, torch.float64)
        torch.testing.assert_close(logits[replica], plain(x[replica]))
        torch.testing.assert_close(network.module(replica)(x[replica]), plain(x[replica]))


def test_inputs_shared_by_all_replicas_need_no_replica_dimension() -> None:
    network = ReplicatedMLP.initialised(SIZES, [0, 1], dtype=torch.float64)
    x = torch.rand(6, 7, dtype=torch.float64)
    torch.testing.assert_close(network(x), network(torch.stack([x, x])))


def test_selected_replicas_are_copies() -> None:
    network = ReplicatedMLP.initialised(SIZES, [0, 1, 2])
    chosen = network.select(torch.tensor([2, 0]))
    x = torch.rand(4, 7)
    torch.testing.assert_close(chosen(x), network(x)[[2, 0]])
    chosen.weights[0].zero_()
    assert bool(network.weights[0][2].any())


def test_the_initialisation_is_glorot_uniform_and_depends_on_the_seed_alone() -> None:
    (weight, bias), *_ = glorot_uniform((300, 200, 10), 1)
    bound = math.sqrt(6 / 500)
    assert float(weight.abs().max()) <= bound
    assert abs(float(weight.std()) - bound / math.sqrt(3)) < 0.02 * bound
    assert not bool(bias.any())
    again = glorot_uniform((300, 200, 10), 1)[0][0]
    other = glorot_uniform((300, 200, 10), 2)[0][0]
    assert torch.equal(weight, again)
    assert not torch.equal(weight, other)


def test_a_replica_with_an_infinite_or_missing_weight_is_not_finite() -> None:
    network = ReplicatedMLP.initialised(SIZES, [0, 1, 2])
    network.weights[1][1, 0, 0] = float("inf")
    network.biases[0][2, 0, 0] = float("nan")
    assert network.finite().tolist() == [True, False, False]
