"""Branch and bound settles small networks completely, and never wrongly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.measures.critical.test_bounds import dense, mlp
from tests.reference.bounds import exact_minimum
from torch import nn
from torch.nn import functional

import byheart
from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bounds import box_around, tightened_bounds
from byheart.measures.critical.branching import Certificate, Domains, Problem
from byheart.measures.critical.certificate import certificate
from byheart.measures.critical.tracing import trace_nodes


def settled(model: nn.Module, x: torch.Tensor, radius: float, splits: int) -> Certificate:
    return certificate(model, x, model(x).argmax(1), radius, splits=splits)


@pytest.mark.parametrize("seed", range(2))
def test_small_networks_are_settled_exactly(seed: int) -> None:
    model = mlp([2, 3, 3, 2], seed)
    x, radius = torch.rand(8, 2, dtype=torch.float64), 0.3
    predicted = model(x).argmax(1)
    found = settled(model, x, radius, 200)
    bracket = byheart.critical_samples(model, x, radius=radius, splits=200)
    for i, own in enumerate(predicted.tolist()):
        row = np.array([-1.0, 1.0]) * (2 * own - 1)
        low, high = x[i].numpy() - radius, x[i].numpy() + radius
        least = exact_minimum(dense(model), low, high, row)
        assert abs(least) > 1e-6, "no sample was meant to lie on an edge"
        assert bool(found.certified[i]) == (least > 0)
        assert bool(found.refuted[i]) == (least < 0)
        assert bool(bracket.certified[i]) == (least > 0)
        assert bool(bracket.critical[i]) == (least < 0)


def digits_network(labels: torch.Tensor, x: torch.Tensor) -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 10)
    ).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
    return model.requires_grad_(False)


@pytest.mark.parametrize("radius", [0.05, 0.1])
@pytest.mark.parametrize("labels", ["real", "random"])
def test_the_ratio_of_a_small_network_on_digits_is_exact(labels: str, radius: float) -> None:
    digits = byheart.load_dataset("digits", size=150, seed=0)
    x = digits.x.double()
    y = digits.y if labels == "real" else torch.randint(10, (150,))
    model = digits_network(y, x)
    found = byheart.critical_samples(
        model, x, radius=radius, step=radius, noise=0.0, max_steps=10, splits=400, control=False
    )
    assert found.lower == found.upper > 0.0
    assert torch.equal(found.critical, ~found.certified)
    others = model(found.witness[found.critical]).argmax(1)
    assert bool((others != model(x[found.critical]).argmax(1)).all())
    assert bool(((found.witness - x).abs() <= radius).all())
    without = settled(model, x, radius, 0)
    assert int(without.certified.sum()) <= int(found.certified.sum())
    assert not bool((without.certified & found.critical).any())


def problem(radius: float) -> tuple[nn.Sequential, torch.Tensor, Problem]:
    model, x = mlp([6, 12, 12, 4], 3), torch.rand(10, 6, dtype=torch.float64)
    nodes, fast = (
        trace_nodes(model, x, Arithmetic.of(model, x), kind)
        for kind in (torch.float64, torch.float32)
    )
    reaches = tightened_bounds(nodes, box_around(x, radius), 10_000)
    return model, x, Problem(nodes, fast, reaches, model(x).argmax(1))


def through_all(samples: Problem, domains: Domains) -> torch.Tensor:
    return samples.bounds(domains, samples.within(domains)).bound.squeeze(1)


def margins(
    model: nn.Module, points: torch.Tensor, whole: Domains, own: torch.Tensor
) -> torch.Tensor:
    logits = model(points)
    return (
        logits.gather(1, own[whole.sample, None])[:, 0]
        - logits.gather(1, whole.target[:, None])[:, 0]
    )


def test_optimised_slopes_only_gain_and_stay_below_what_the_network_does() -> None:
    model, x, samples = problem(0.4)
    pairs = [(i, j) for i in range(10) for j in range(4) if j != int(samples.predicted[i])]
    sample, target = torch.tensor(pairs).T
    whole = samples.whole(sample, target)
    plain = through_all(samples, whole)
    better = samples.improved(whole, samples.within(whole), 20)
    found = through_all(samples, better)
    assert float((found - plain).mean()) > 0.01
    for _ in range(300):
        points = x[sample] + 0.4 * (2 * torch.rand(len(sample), 6).double() - 1).sign()
        assert bool((margins(model, points, whole, samples.predicted) >= found).all())


def test_bounds_on_a_part_hold_on_that_part_and_are_better_than_on_the_whole() -> None:
    model, x, samples = problem(0.2)
    sample = torch.arange(10)
    whole = samples.whole(sample, (samples.predicted + 1) % 4)
    first = samples.nodes[samples.relus[0]].inputs[0]
    mixed = (samples.reaches[first].low < 0) & (samples.reaches[first].high > 0)
    assert bool(mixed.any(1).all())
    cut = Domains(**{**vars(whole), "unit": mixed.double().argmax(1)})
    before = through_all(samples, samples.improved(whole, samples.within(whole), 20))
    for sign in (1.0, -1.0):
        part = cut.cut(sign)
        part = samples.improved(part, samples.within(part), 40)
        found = through_all(samples, part)
        assert float((found - before).mean()) > 0.0
        for _ in range(300):
            points = x + 0.2 * (2 * torch.rand_like(x) - 1)
            z = model[0](points).gather(1, cut.unit[:, None])[:, 0]
            inside = z * sign >= 0
            held = margins(model, points, whole, samples.predicted) >= found
            assert bool((held | ~inside).all())
