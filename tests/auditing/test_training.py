"""Input gradients, against a loss and a network written out for one example."""

import numpy as np
import pytest
import torch
from tests.auditing.networks import small

from byheart.auditing import training
from byheart.auditing.planting import Layout, hold_out
from byheart.auditing.training import (
    epochs_to_measure,
    input_gradients,
    sensitivity_up_to,
    train_runs,
)
from byheart.data.dataset import Dataset
from byheart.data.sources import as_dataset
from byheart.networks.vmapped import VmappedNetwork
from byheart.training.recipe import Recipe


@pytest.mark.parametrize("chunk", [3, 256])
def test_the_gradient_of_a_pack_is_that_of_each_example_in_each_network(
    monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(training, "CHUNK", chunk)
    modules = [small().double() for _ in range(2)]
    pack = VmappedNetwork.stacked(modules, takes=(8, 8), shape=(8, 8), seeds=range(2))
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(7, 64, generator=draw, dtype=torch.float64)
    y = torch.arange(7)
    found = input_gradients(pack, x, y)
    for r, module in enumerate(modules):
        for i in range(7):
            one = x[i].reshape(1, 8, 8).clone().requires_grad_(True)
            torch.nn.functional.cross_entropy(module(one), y[i : i + 1]).backward()
            assert found[r, i] == pytest.approx(one.grad.abs().sum().item(), rel=1e-9)


def test_epochs_are_about_equally_far_apart_in_ratio() -> None:
    assert epochs_to_measure(1) == (1,)
    assert epochs_to_measure(20) == (1, 2, 3, 5, 8, 13)


def test_the_mean_is_over_runs_and_over_epochs_up_to_the_window() -> None:
    taken = [
        (epoch, np.full(3, epoch + seed, np.float32)) for seed in (0, 1) for epoch in (1, 2, 5)
    ]
    np.testing.assert_allclose(sensitivity_up_to(taken, 4), 2.0)


@pytest.mark.parametrize("together", [1, 3, 4])
def test_every_other_run_measures_whichever_runs_train_together(
    monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    monkeypatch.setattr(training, "most_replicas", lambda *args, **kwargs: together)
    dataset = as_dataset("digits")
    layout = hold_out(dataset.y.numpy(), seeds=4, share=0.1, seed=0)
    recipe = Recipe(epochs=2, batch_size=256, device="cpu")
    taken = train_runs(
        small, dataset, layout, recipe, range(4), gradients_at=(1, 2), with_histories=False
    ).gradients
    assert sorted(epoch for epoch, _ in taken) == [1, 1, 2, 2]
    total = sum(float(values.mean()) for epoch, values in taken if epoch == 1)
    assert total == pytest.approx(first_and_third(dataset, layout, recipe), rel=1e-4)


def first_and_third(dataset: Dataset, layout: Layout, recipe: Recipe) -> float:
    """Return the sum of the mean input gradients of runs 0 and 2 after one epoch."""
    total = 0.0
    for run in (0, 2):
        alone = layout.seeds(run, run + 1)
        (taken,) = train_runs(
            small, dataset, alone, recipe, [run], gradients_at=(1,), with_histories=False
        ).gradients
        total += float(taken[1].mean())
    return total
