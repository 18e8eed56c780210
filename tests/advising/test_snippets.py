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
from byheart.advising.arms import Arm, menu
from byheart.advising.training_code import training_code
from byheart.networks.examine import examine
from byheart.networks.foreign import initialised
from byheart.networks.vmapped import VmappedNetwork
from byheart.training.examples import Examples
from byheart.training.loop import Hook
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import Regularizer
from byheart.training.regularizers.registry import BY_NAME, REGULARIZERS

RECIPE = Recipe(
    epochs=1,
    learning_rate=regularized.LR,
    momentum=0.9,
    batch_size=regularized.BATCH,
    schedule="constant",
    device="cpu",
)


def paste(name: str, strength: float, model: nn.Module, loader: object) -> None:
    kind = BY_NAME[name]
    code = training_code(kind.snippet(strength), Arm(kind, strength).name, RECIPE, task())
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
        kind.snippet(7.0), "early stopping", RECIPE, task()
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


RECIPES = [
    Recipe("sgd", 0.1, "cosine", 4, 8, warm_up=1, weight_decay=0.01, device="cpu"),
    Recipe("sgd", 0.1, "step", 4, 8, decay=0.5, momentum=0.0, device="cpu"),
    Recipe("adamw", 0.01, "constant", 3, 8, class_weights="balanced", device="cpu"),
    Recipe("sgd", 0.1, "constant", 3, 8, label_smoothing=0.2, warm_up=2, device="cpu"),
    Recipe(
        "adamw", 0.01, epochs=2, batch_size=8, class_weights="balanced", label_smoothing=0.1,
        device="cpu",
    ),
]  # fmt: skip


class Recorded(Hook):
    """Keeps the batches of every epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[tuple[torch.Tensor, torch.Tensor]]] = []

    def start_epoch(self, loop) -> None:
        self.epochs.append([])

    def on_batch(self, loop, batch, logits) -> None:
        x, y = batch.x[0].view(-1, *regularized.SHAPE), batch.y[0]
        self.epochs[-1].append((x.clone(), y.clone()))


class Loader:
    """Hands out recorded epochs, one after another."""

    def __init__(self, epochs) -> None:
        self._epochs = iter(epochs)

    def __iter__(self):
        return iter(next(self._epochs))


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("kind", [Regularizer, BY_NAME["weight decay"]], ids=lambda k: k.name)
def test_pasted_code_follows_the_recipe(recipe: Recipe, kind) -> None:
    seed = 5
    _, x, y = regularized.data()
    pack = regularized.network([seed], kind, VmappedNetwork)
    facts = examine(small, regularized.SHAPE, regularized.CLASSES)
    ids = torch.arange(len(y))[None]
    examples = Examples.of(x.view(-1, *regularized.SHAPE), y[None], ids, ids[:, :0])
    recorded = Recorded()
    loop = recipe.loop(
        pack,
        [recipe.algorithm(small, facts)],
        examples,
        [seed],
        classes=regularized.CLASSES,
        regularizer=kind([0.1], [seed], task(), x),
        hooks=[recorded],
    )
    loop.train(recipe.epochs)
    epochs = recorded.epochs
    if recipe.class_weights == "balanced":  # The code counts the labels first.
        epochs = [epochs[0], *epochs]
    model = initialised(small, seed, dtype=torch.float64)
    code = training_code(kind.snippet(0.1), kind.name, recipe, task())
    exec(compile(code, str(recipe), "exec"), {"model": model, "loader": Loader(epochs)})
    # PyTorch stores the weights of classes in float32.
    for values, own in zip(pack.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(values[0], own.detach(), rtol=1e-5, atol=1e-6)


def test_pasted_code_augments_as_the_recipe_does() -> None:
    recipe = Recipe(epochs=1, augment=("flip", "crop", "colour", "erasing"))
    code = training_code(Regularizer.snippet(0.0), "none", recipe, task())
    torch.manual_seed(0)
    model = small()
    loader = [(torch.rand(8, 6, 6), torch.arange(8) % 4)]
    exec(compile(code, "augmented", "exec"), {"model": model, "loader": loader})
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_what_the_recipe_has_already_is_no_regularizer_to_try() -> None:
    recipe = Recipe(augment="flip", label_smoothing=0.1)
    obstacles = menu(REGULARIZERS, task(), recipe).obstacles
    assert obstacles["flip"] == "the recipe has it already"
    assert "change the loss" in obstacles["generalized cross-entropy"]
    assert "weight decay" not in obstacles
