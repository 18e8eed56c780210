"""``byheart.advise``: which regularizer stops memorization *here*, at no cost?"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from byheart.advising.arms import PLAIN, Arm, facts_of, menu
from byheart.advising.budget import Budget, Sizes, sizes_within
from byheart.advising.judging import effect_of, front
from byheart.advising.outcomes import Effect, Outcomes
from byheart.advising.pace import rehearse
from byheart.advising.regularizers.base import Facts
from byheart.advising.regularizers.registry import chosen
from byheart.advising.result import Advice, Recommendation
from byheart.advising.rounds import Found, OnPack, Rounds
from byheart.advising.splits import require_enough
from byheart.advising.table import on_front, reason, rows
from byheart.advising.trainer import Trainer
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.networks.examine import examine
from byheart.networks.foreign import Source
from byheart.training.device import find_device
from byheart.training.recipe import Recipe

__all__ = ["Advice", "advise"]


def advise(
    model_factory: Source,
    dataset: Dataset,
    *,
    minutes: float = 10.0,
    margin: float = 0.01,
    epochs: int = 40,
    learning_rate: float = 0.05,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    batch_size: int = 32,
    regularizers: Sequence[str] | None = None,
    trusted: Sequence[bool] | None = None,
    rounds: tuple[int, int, int] | None = None,
    seed: int = 0,
    device: str = "cpu",
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
            to [N, classes]; or "package.module:callable".
        dataset: the examples, with the labels they have.
        minutes: that it may take, within a fifth.
        margin: accuracy on held-out examples that may be lost, as a share.
        epochs: passes over the data, of each training.
        learning_rate: of SGD.
        momentum: from 0 to below 1.
        weight_decay: L2 coefficient of every training.
        batch_size: examples per step.
        regularizers: names of those to try; all if not given.
        trusted: [N] whether each label is believed to be right, as by an audit
            (``~audit.table["flagged"]``): adds the accuracy on those held-out examples.
        rounds: seeds to explore, to compare and to confirm with, in place of ``minutes``: with it,
            the same seed gives the same advice on any machine.
        seed: of all that is drawn.
        device: "cpu", "cuda" or "mps".
        on_pack: called with the name of a round, and the packs done and in all within it.

    Raises:
        InputError: an argument out of range, a network that cannot be trained on these data, a
            class with too few examples, or too little time for one round.

    Source: A17 section 5, Figures 10 and 11.
    """
    start = time.monotonic()
    _require(minutes, margin, epochs, batch_size, rounds)
    recipe = Recipe(epochs, learning_rate, momentum, weight_decay, batch_size, find_device(device))
    kinds = chosen(regularizers)
    require_enough(dataset)
    found = examine(model_factory, dataset.shape, dataset.n_classes)
    facts = facts_of(model_factory, found, dataset, recipe)
    choices = menu(kinds, facts)
    if not choices.arms:
        name, why = next(iter(choices.obstacles.items()))
        raise InputError(f"none of these regularizers can be applied: {name}: {why}")
    trainer = Trainer(model_factory, found, dataset, recipe, facts, _mask(trusted, len(dataset)))
    budget = None
    if rounds is None:
        pace = rehearse(trainer, choices.arms)
        budget = Budget(60 * minutes, pace, trainer, spent=time.monotonic() - start)
        sizes = sizes_within(budget, choices)
    else:
        sizes = Sizes(*rounds)
    runner = Rounds(trainer, choices, margin=margin, seed=seed, budget=budget, on_pack=on_pack)
    left = runner.run(sizes)
    seconds = time.monotonic() - start
    return _advice(dataset, left, runner, choices.obstacles, facts, margin, seconds)


def _advice(
    dataset: Dataset,
    found: Found,
    runner: Rounds,
    obstacles: dict[str, str],
    facts: Facts,
    margin: float,
    seconds: float,
) -> Advice:
    seeds = found.fresh
    plain = runner.outcomes.effect(PLAIN, seeds)
    table = rows(found, plain, obstacles, margin)
    one = found.recommended(margin)
    undominated = front([plain, *found.compared])
    shown = dict.fromkeys((PLAIN, *(effect.arm for effect in found.compared)))
    return Advice(
        name=dataset.name,
        table=table,
        recommended=_recommendation(one) if one is not None else None,
        why=reason(found, plain, dataset.n_classes, margin),
        code=_code(one.arm, facts) if one is not None else "",
        front=on_front(table, undominated),
        checkpoints=runner.outcomes.checkpoints,
        curves={arm.name: _curves(runner.outcomes, arm, seeds) for arm in shown},
        margin=margin,
        seconds=seconds,
        notes=tuple(_notes(dataset, found, obstacles)),
    )


def _recommendation(one: Effect) -> Recommendation:
    gain, drop = effect_of(one)
    return Recommendation(one.arm.name, one.arm.regularizer, one.arm.strength, drop, gain)


def _code(arm: Arm, facts: Facts) -> str:
    return arm.kind.snippet(arm.strength).fill(arm.name, facts.recipe, facts.layers)


def _curves(outcomes: Outcomes, arm: Arm, seeds: Sequence[int]) -> np.ndarray:
    own = [outcomes.of(arm, seed) for seed in seeds]
    return np.stack([[one.user for one in own], [one.random for one in own]])


def _notes(dataset: Dataset, found: Found, obstacles: dict[str, str]) -> list[str]:
    sizes = found.sizes
    notes = [
        f"seeds: {sizes.explore} for every strength and as many again for the better half, "
        f"{sizes.compare} fresh ones to compare, {sizes.confirm} fresh ones to confirm"
    ]
    notes += [f"{name} was not tried: {why}" for name, why in obstacles.items()]
    return notes


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
    epochs: int,
    batch_size: int,
    rounds: tuple[int, int, int] | None,
) -> None:
    if not 0 < minutes < float("inf"):
        raise InputError(f"minutes must be a number above 0, got {minutes!r}")
    if not 0 < margin < 1:
        raise InputError(
            f"margin must be a proportion above 0 and below 1, got {margin!r}: 0.01 allows one "
            "point of accuracy to be lost"
        )
    for name, count in (("epochs", epochs), ("batch_size", batch_size)):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise InputError(f"{name} must be a whole number of 1 or more, got {count!r}")
    if rounds is not None and (len(rounds) != 3 or min(rounds[1:]) < 2 or rounds[0] < 1):
        raise InputError(
            f"rounds must be three whole numbers, the first 1 or more, the others 2 or more, got "
            f"{rounds!r}"
        )
