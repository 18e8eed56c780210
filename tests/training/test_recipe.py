"""How a recipe is written, what it refuses, and what trains by it."""

from __future__ import annotations

import inspect
import re

import pytest
from tests.auditing.networks import small

import byheart
import byheart.errors


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
    recipe = byheart.Recipe(epochs=7)
    assert (recipe.learning_rate, recipe.momentum) == (0.05, 0.9)
    other = recipe.with_values(optimizer="adamw", batch_size=None)
    assert (other.learning_rate, other.momentum, other.epochs) == (0.001, 0.0, 7)
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


def test_a_recipe_of_another_type_is_one_line(noisy: byheart.Dataset) -> None:
    with pytest.raises(
        byheart.errors.InputError, match=r"recipe is a dict: give a byheart\.Recipe"
    ):
        byheart.audit(small, noisy, recipe={"epochs": 3})
