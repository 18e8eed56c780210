"""The code to paste is run as it stands, and trains as the pack that was judged."""

from __future__ import annotations

import pytest
import torch
from tests.advising import regularized
from tests.advising.dealt import deal
from tests.advising.regularized import assert_equal, small, task, trained
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import byheart
from byheart.advising.answer import training_code
from byheart.advising.arms import Arm
from byheart.networks.foreign import initialised
from byheart.training.recipe import Recipe
from byheart.training.regularizers.registry import BY_NAME, REGULARIZERS

RECIPE = Recipe(
    epochs=1, learning_rate=regularized.LR, momentum=0.9, batch_size=regularized.BATCH, device="cpu"
)


def paste(name: str, strength: float, model: nn.Module, loader: object) -> None:
    kind = BY_NAME[name]
    code = training_code(kind.snippet(strength), Arm(kind, strength).name, RECIPE, task().layers)
    exec(compile(code, name, "exec"), {"model": model, "loader": loader})


@pytest.mark.parametrize("kind", REGULARIZERS, ids=lambda kind: kind.name)
def test_pasted_code_trains_a_network(kind) -> None:
    torch.manual_seed(0)
    x, y = torch.rand(64, 6, 6), torch.randint(4, (64,))
    data = TensorDataset(x, y)
    if kind.snippet(1.0).ids:
        data = byheart.IndexedDataset(data)
    model = small()
    before = [p.detach().clone() for p in model.parameters()]
    paste(kind.name, kind.grid(task())[0], model, DataLoader(data, batch_size=16))
    for p, old in zip(model.parameters(), before, strict=True):
        assert torch.isfinite(p).all()
        assert not torch.equal(p, old)


@pytest.mark.parametrize(
    "kind", [kind for kind in REGULARIZERS if kind.name != "early stopping"], ids=lambda k: k.name
)
def test_pasted_code_takes_the_steps_that_were_judged(kind, monkeypatch) -> None:
    strength, seed = kind.grid(task())[1], 5
    judged = trained(kind, (strength,), (seed,))
    ids, x, y = regularized.data()
    x = x.view(-1, *regularized.SHAPE)
    loader = [(x[own], y[own], own) if kind.snippet(1.0).ids else (x[own], y[own]) for own in ids]
    model = initialised(small, seed, dtype=torch.float64)
    deal(monkeypatch, kind, seed)
    paste(kind.name, strength, model, loader)
    assert_equal(judged, [model])


def test_early_stopping_trains_for_so_many_epochs() -> None:
    kind = BY_NAME["early stopping"]
    assert "for epoch in range(7):" in training_code(
        kind.snippet(7.0), "early stopping", RECIPE, ()
    )


@pytest.mark.parametrize("name", ["dropout", "hidden noise"])
def test_pasted_noise_ends_with_training(name: str) -> None:
    model = small()
    paste(name, 0.5, model, [])
    x = torch.rand(8, 6, 6)
    model.eval()
    assert torch.equal(model(x), model(x))
    model.train()
    assert not torch.equal(model(x), model(x))
