"""What the rounds found, as an advice."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from byheart.advising.arms import PLAIN, Arm
from byheart.advising.judging import effect_of, front
from byheart.advising.outcomes import Effect, Outcomes
from byheart.advising.result import Advice, Recommendation
from byheart.advising.rounds import Found
from byheart.advising.snippet import training_code
from byheart.advising.table import on_front, reason, rows
from byheart.data.dataset import Dataset
from byheart.statistics.estimate import student_estimate
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import LearningTask


def answer(
    found: Found,
    outcomes: Outcomes,
    dataset: Dataset,
    obstacles: Mapping[str, str],
    task: LearningTask,
    recipe: Recipe,
    margin: float,
    seconds: float,
) -> Advice:
    """Return the advice.

    Args:
        found: by the rounds.
        outcomes: of everything that was trained.
        dataset: the user's.
        obstacles: by the name of a regularizer that cannot be applied, why.
        task: what is learned.
        recipe: how the network trains.
        margin: accuracy that may be lost.
        seconds: that it took.
    """
    seeds = found.fresh
    plain = outcomes.effect(PLAIN, seeds)
    table = rows(found, plain, obstacles, margin)
    one = found.recommended(margin)
    undominated = front([plain, *found.compared])
    shown = dict.fromkeys((PLAIN, *(effect.arm for effect in found.compared)))
    return Advice(
        name=dataset.name,
        table=table,
        recommended=_recommendation(one) if one is not None else None,
        why=reason(found, plain, dataset.n_classes, margin),
        code=_code(one.arm, task, recipe) if one is not None else "",
        front=on_front(table, undominated),
        checkpoints=outcomes.checkpoints,
        curves={arm.name: _curves(outcomes, arm, seeds) for arm in shown},
        margin=margin,
        seconds=seconds,
        notes=tuple(_notes(found, obstacles)),
    )


def _recommendation(one: Effect) -> Recommendation:
    gain, drop = effect_of(one)
    trusted = student_estimate(one.trusted_gain, smallest_step=one.held_out)
    return Recommendation(
        one.arm.name,
        one.arm.regularizer,
        one.arm.strength,
        drop,
        gain,
        trusted if math.isfinite(trusted.value) else None,
        n=len(one.gain),
    )


def _code(arm: Arm, task: LearningTask, recipe: Recipe) -> str:
    return training_code(arm.kind.snippet(arm.strength), arm.name, recipe, task.layers)


def _curves(outcomes: Outcomes, arm: Arm, seeds: Sequence[int]) -> np.ndarray:
    own = [outcomes.of(arm, seed) for seed in seeds]
    return np.stack([[one.user for one in own], [one.random for one in own]])


def _notes(found: Found, obstacles: Mapping[str, str]) -> list[str]:
    sizes = found.sizes
    notes = [
        f"seeds: {sizes.explore} for every strength and as many again for the better half, "
        f"{sizes.compare} fresh ones to compare, {sizes.confirm} fresh ones to confirm"
    ]
    if found.uncompared:
        named = ", ".join(arm.name for arm in found.uncompared)
        notes.append(f"there was no time to compare what was least promising: {named}")
    notes += [f"{name} was not tried: {why}" for name, why in obstacles.items()]
    return notes
