"""``byheart.advise``: which regularizer stops memorization *here*, at no cost?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from byheart.advising.answer import answer
from byheart.advising.arms import Menu, learning_task, menu
from byheart.advising.budget import Budget, time_steps
from byheart.advising.examples import require_enough
from byheart.advising.plans import BudgetPlan, Decisions, FixedPlan, Plan, Sizes
from byheart.advising.result import Advice
from byheart.advising.rounds import AdviceRounds, OnPack
from byheart.advising.trainer import Trainer
from byheart.advising.trainings import Trainings
from byheart.data.sources import as_dataset
from byheart.errors import InputError
from byheart.networks.default import default_network, named
from byheart.networks.examine import examine
from byheart.networks.foreign import Source, called
from byheart.store import Store
from byheart.store.checkpoints import Checkpoints
from byheart.training.recipe import Recipe, chosen_recipe
from byheart.training.regularizers.registry import chosen

__all__ = ["Advice", "advise"]

KEPT = "kept"
"""Folder of checkpoints beside the store, while packs train."""


def advise(
    model_factory: Source | None,
    dataset: Any,
    *,
    label: str | None = None,
    text: str | None = None,
    minutes: float = 10.0,
    margin: float = 0.01,
    recipe: Recipe | None = None,
    epochs: int | None = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    batch_size: int | None = None,
    regularizers: Sequence[str] | None = None,
    trusted: Sequence[bool] | None = None,
    rounds: tuple[int, int, int] | None = None,
    seed: int = 0,
    device: str | None = None,
    keep: str | Path | None = None,
    command: Sequence[str] = (),
    on_pack: OnPack | None = None,
) -> Advice:
    """Train a network under regularizers, and return which of them to take, at which strength.

    Every regularizer at every strength trains on the user's labels and on random ones, with the
    same seeds as training without. Memorization is the training accuracy on random labels; the cost
    is accuracy on held-out examples: a fifth of the data, another for each seed, the same for all
    regularizers. Some seeds choose each regularizer's strength, fresh ones compare regularizers,
    and others again confirm the best: the recommended estimate comes from these alone.

    Args:
        model_factory: a callable that returns a fresh ``torch.nn.Module``, which maps [N, *shape]
            to [N, classes]; or "package.module:callable". None: a default network for these data,
            see :mod:`byheart.networks.default`.
        dataset: the examples, with the labels they have: as for :func:`byheart.audit`.
        label: the column of a table that has the labels.
        text: the column of a table that has texts.
        minutes: that it may take, within a fifth.
        margin: accuracy on held-out examples that may be lost, as a share.
        recipe: how every training trains without a regularizer: a :class:`byheart.Recipe`. Default:
            that of :func:`byheart.audit`.
        epochs: replaces that of the recipe.
        learning_rate: likewise; without a recipe it is that of SGD.
        momentum: likewise.
        weight_decay: likewise.
        batch_size: likewise.
        regularizers: names of those to try; all if not given.
        trusted: [N] whether each label is believed to be right, as by an audit
            (``~audit.table["flagged"]``): adds the accuracy on those held-out examples.
        rounds: seeds to explore, to compare and to confirm with, in place of ``minutes``: with it,
            the same seed gives the same advice on any machine.
        seed: base seed; all other seeds derive from it.
        device: replaces that of the recipe: "auto", "cpu", "cuda" or "mps".
        keep: folder for finished trainings (``results.sqlite``), and for packs in training, written
            about every ten seconds. The same call goes on from there, decides the same again, and
            counts the time of earlier training as spent.
        command: the command line, word by word, kept with them.
        on_pack: called with the name of a round, and the packs done and in all within it.

    Raises:
        InputError: an argument out of range, a network that cannot be trained on these data, a
            class with too few examples, or too little time for one round.
        StoreError: the folder cannot be written or read; what was kept before stays.

    Source: A17 section 5, Figures 10 and 11.
    """
    start = time.monotonic()
    _require(minutes, margin, rounds)
    recipe = chosen_recipe(
        recipe,
        epochs=epochs,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        batch_size=batch_size,
        device=device,
    )
    kinds = chosen(regularizers)
    dataset = as_dataset(dataset, label, text)
    require_enough(dataset)
    source = default_network(dataset) if model_factory is None else model_factory
    examined = examine(source, dataset.shape, dataset.n_classes)
    task = learning_task(source, examined, dataset, recipe)
    choices = menu(kinds, task, recipe)
    if not choices.arms:
        name, why = next(iter(choices.obstacles.items()))
        raise InputError(f"none of these regularizers can be applied: {name}: {why}")
    trainer = Trainer(source, examined, dataset, recipe, task, _mask(trusted, len(dataset)))
    with contextlib.ExitStack() as stack:
        store = None if keep is None else stack.enter_context(Store.open(keep))
        question = _question(trainer, choices, {"margin": margin, "seed": seed, "minutes": minutes})
        decisions = Decisions(store, question, command)
        budget: Budget | None = None
        plan: Plan
        if rounds is None:
            pace = time_steps(trainer, choices.arms)
            budget = Budget(60 * minutes, pace, trainer, spent=time.monotonic() - start)
            plan = BudgetPlan(budget, choices, decisions)
            plan.refuse_at_once()
        else:
            plan = FixedPlan(Sizes(*rounds))
        checkpoints = None if keep is None else Checkpoints(Path(keep) / KEPT)
        trainings = Trainings(
            trainer,
            store,
            checkpoints=checkpoints,
            budget=budget,
            resumed=decisions.resumed,
        )
        runner = AdviceRounds(
            trainer, trainings, choices, plan, margin=margin, seed=seed, on_pack=on_pack
        )
        left = runner.run()
    seconds = time.monotonic() - start
    return answer(
        left,
        runner.outcomes,
        dataset,
        choices.obstacles,
        task,
        recipe,
        margin,
        seconds,
        {"Network": named(source), "Training": str(recipe)},
    )


def _question(trainer: Trainer, choices: Menu, asked: dict[str, Any]) -> dict[str, Any]:
    """Return all that the decisions of a run depend on."""
    return asked | {
        "data": trainer.dataset.fingerprint,
        "network": [called(trainer.source), trainer.examined.fingerprint],
        "recipe": asdict(trainer.recipe),
        "regularizers": [kind.name for kind in choices.arms],
        "trusted": trainer.trusted_hash,
    }


def _mask(trusted: Sequence[bool] | None, examples: int) -> np.ndarray | None:
    if trusted is None:
        return None
    mask = np.asarray(trusted)
    if mask.shape != (examples,) or mask.dtype != bool:
        raise InputError(
            f"trusted must be one True or False for each of {examples} examples, got "
            f"{mask.dtype} {list(mask.shape)}"
        )
    return mask


def _require(
    minutes: float,
    margin: float,
    rounds: tuple[int, int, int] | None,
) -> None:
    if not 0 < minutes < float("inf"):
        raise InputError(f"minutes must be a number above 0, got {minutes!r}")
    if not 0 < margin < 1:
        raise InputError(
            f"margin must be a proportion above 0 and below 1, got {margin!r}: 0.01 allows one "
            "point of accuracy to be lost"
        )
    if rounds is not None and (len(rounds) != 3 or min(rounds[1:]) < 2 or rounds[0] < 1):
        raise InputError(
            f"rounds must be three whole numbers, the first 1 or more, the others 2 or more, got "
            f"{rounds!r}"
        )
