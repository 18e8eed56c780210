"""How a recipe is written, what it refuses, and what trains by it."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from tests.auditing.networks import small
from torch import nn

import byheart
import byheart.errors
from byheart.networks.examine import examine
from byheart.networks.foreign import initialised
from byheart.training.examples import Examples
from byheart.training.loop import Hook
from byheart.training.recipe import AUGMENT, default_recipe
from byheart.training.regularizers.augmentation import Colour
from byheart.training.regularizers.base import Batch, LearningTask
from byheart.training.regularizers.losses import ClassWeights


@pytest.fixture(scope="module")
def noisy() -> byheart.Dataset:
    return byheart.corrupt(byheart.load_dataset("digits", size=200), labels=0.1)


def test_the_names_of_a_recipe_are_a_contract() -> None:
    names = list(inspect.signature(byheart.Recipe).parameters)
    assert names[:6] == [
        "optimizer",
        "learning_rate",
        "schedule",
        "epochs",
        "batch_size",
        "augment",
    ]
    assert {"momentum", "weight_decay", "warm_up", "device"} <= set(names)
    for optimizer in ("sgd", "adamw"):
        for schedule in ("constant", "cosine", "step"):
            byheart.Recipe(optimizer, 0.01, schedule, 3, 16, augment=())


def test_what_depends_on_the_optimizer_follows_it() -> None:
    recipe = byheart.Recipe("sgd", epochs=7)
    assert (recipe.learning_rate, recipe.momentum) == (0.05, 0.9)
    other = recipe.with_values(optimizer="adamw", batch_size=None)
    assert (other.learning_rate, other.momentum, other.epochs) == (0.003, 0.0, 7)
    assert recipe.with_values(learning_rate=0.3).learning_rate == 0.3


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"optimizer": "adam"}, "unknown optimizer 'adam': did you mean 'adamw'?"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin': did you mean 'cosine'?"),
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be a number above 0, got nan"),
        ({"optimizer": "adamw", "momentum": 0.9}, "momentum belongs to SGD"),
        ({"epochs": 3, "warm_up": 3}, "warm_up must be below the number of epochs, 3, got 3"),
        ({"augment": ("flop",)}, "unknown augment 'flop': did you mean 'flip'?"),
        ({"class_weights": "balance"}, "did you mean 'balanced'?"),
        ({"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1, got 1.0"),
        ({"decay": 0.0}, "decay must be above 0 and at most 1"),
    ],
)
def test_a_value_that_cannot_be_is_one_line(values: dict[str, object], message: str) -> None:
    with pytest.raises(byheart.errors.InputError, match=re.escape(message)):
        byheart.Recipe(**values)


def test_an_audit_trains_by_its_recipe_and_says_so(noisy: byheart.Dataset, tmp_path) -> None:
    recipe = byheart.Recipe("adamw", 0.01, "cosine", epochs=4, warm_up=1)
    found = byheart.audit(small, noisy, recipe=recipe, seeds=2, sensitivity=False)
    plain = byheart.audit(small, noisy, epochs=4, seeds=2, sensitivity=False)
    assert found.epochs == 4
    assert not found.table["suspicion"].equals(plain.table["suspicion"])
    said = (
        "AdamW, learning rate 0.01, cosine schedule, warm-up of 1 epoch, weight decay 0.01, "
        "4 epochs in batches of 32"
    )
    assert found.facts["Training"] == said
    assert said in found.to_html(tmp_path / "audit.html").read_text(encoding="utf-8")


def test_a_learning_rate_without_a_recipe_is_that_of_sgd() -> None:
    assert default_recipe(epochs=3) == byheart.Recipe("adamw", 0.003, "cosine", 3)
    assert default_recipe(learning_rate=0.2).optimizer == "sgd"
    assert default_recipe(momentum=0.5, learning_rate=None).momentum == 0.5
    assert default_recipe(optimizer="adamw", learning_rate=0.01).learning_rate == 0.01


def test_a_recipe_of_another_type_is_one_line(noisy: byheart.Dataset) -> None:
    with pytest.raises(
        byheart.errors.InputError, match=r"recipe is a dict: give a byheart\.Recipe"
    ):
        byheart.audit(small, noisy, recipe={"epochs": 3})


IMAGES = (3, 8, 8)


def images(count: int = 6) -> Examples:
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(count, *IMAGES, generator=draw, dtype=torch.float64)
    ids = torch.arange(count).expand(2, -1)
    return Examples.of(x, torch.arange(count).expand(2, -1) % 3, ids, ids[:, :0])


@pytest.mark.parametrize("name", AUGMENT)
def test_a_tracker_sees_the_view_that_the_network_sees(name: str) -> None:
    recipe = byheart.Recipe(epochs=1, batch_size=3, augment=name, device="cpu")
    examples, seeds = images(), [0, 1]

    def factory() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(192, 3))

    facts = examine(factory, IMAGES, 3)
    modules = [initialised(factory, seed, dtype=torch.float64) for seed in seeds]
    pack = facts.pack.stacked(modules, takes=facts.takes, shape=IMAGES, seeds=seeds)
    (change,) = recipe.changes(examples, seeds, 3)
    change.start_epoch(0)
    seen = []

    class Watch(Hook):
        def on_batch(self, loop, batch, logits) -> None:
            view = change.change(batch, loop.network)
            assert not torch.equal(view.x, batch.x)
            wanted = torch.log_softmax(loop.network.training_logits(view.x), 2)
            torch.testing.assert_close(logits, wanted)
            seen.append(batch.rows)

    algorithms = [recipe.algorithm(factory, facts)] * 2
    loop = recipe.loop(pack, algorithms, examples, seeds, classes=3, hooks=[Watch()])
    loop.train(1)
    assert torch.cat(seen, 1).sort(1).values.tolist() == [[*range(6)]] * 2


def test_colours_change_by_brightness_contrast_and_saturation() -> None:
    task = LearningTask(IMAGES, 3, 0)
    images = torch.rand(1, 2, *IMAGES, dtype=torch.float64)
    colour = Colour([0.4], [0], task, images)
    u = torch.tensor([[[1.0, 0.5, 0.5], [0.5, 1.0, 0.0]]], dtype=torch.float64)
    brighter, other = colour.augment(images, u)[0]
    torch.testing.assert_close(brighter, 1.4 * images[0, 0])
    x = images[0, 1].mean() + 1.4 * (images[0, 1] - images[0, 1].mean())
    torch.testing.assert_close(other, x.mean(0) + 0.6 * (x - x.mean(0)))


def test_weights_of_classes_are_those_of_pytorch() -> None:
    x = torch.zeros(1, 6, 4, dtype=torch.float64)
    y = torch.tensor([[0, 0, 0, 0, 1, 2]])
    counts = torch.tensor([[4, 1, 1]])
    batch = ClassWeights(counts, LearningTask((4,), 3, 0), x).change(Batch(y, x, y), None)
    scores = torch.log_softmax(torch.randn(1, 6, 3, dtype=torch.float64), 2)
    ours = -(batch.weights * scores.gather(2, y.unsqueeze(2)).squeeze(2)).sum()
    weight = 1 / counts[0].double()
    torch.testing.assert_close(ours, torch.nn.functional.nll_loss(scores[0], y[0], weight))


def test_augmentation_of_what_is_no_image_is_one_line() -> None:
    table = byheart.Dataset.from_arrays("t", torch.rand(40, 5), torch.arange(40) % 2)
    with pytest.raises(byheart.errors.InputError, match="augment: 'flip' is for images"):
        byheart.audit(lambda: nn.Linear(5, 2), table, recipe=byheart.Recipe(augment=["flip"]))
