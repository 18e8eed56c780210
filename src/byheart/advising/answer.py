"""From the rounds to an advice: the table, the sentences, and the code to paste."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from byheart.advising.arms import PLAIN, Arm
from byheart.advising.effects import Effect, Outcomes, assess, effect_of, front
from byheart.advising.result import COLUMNS, Advice, Recommendation
from byheart.advising.rounds import RoundsResult
from byheart.advising.training_code import training_code
from byheart.data.dataset import Dataset
from byheart.report.numbers import points
from byheart.statistics.estimate import Estimate, student_estimate
from byheart.training.recipe import Recipe
from byheart.training.regularizers.base import LearningTask


def answer(
    rounds: RoundsResult,
    outcomes: Outcomes,
    dataset: Dataset,
    obstacles: Mapping[str, str],
    task: LearningTask,
    recipe: Recipe,
    margin: float,
    seconds: float,
    facts: Mapping[str, str],
) -> Advice:
    """Return the advice.

    Args:
        rounds: results of the rounds.
        outcomes: learning curves of everything that was trained.
        dataset: the user's data set.
        obstacles: by the name of a regularizer that cannot be applied, why.
        task: the learning task.
        recipe: how the network trains.
        margin: accuracy that may be lost.
        seconds: time that the advice took.
        facts: what trained, by name.
    """
    seeds = rounds.comparison_seeds
    plain = outcomes.effect(PLAIN, seeds)
    table = _rows(rounds, plain, obstacles, margin)
    best = rounds.recommended(margin)
    undominated = front([plain, *rounds.compared])
    shown = dict.fromkeys((PLAIN, *(effect.arm for effect in rounds.compared)))
    return Advice(
        name=dataset.name,
        table=table,
        recommended=_recommendation(best) if best is not None else None,
        why=_reason(rounds, plain, dataset.n_classes, margin),
        code=_code(best.arm, task, recipe) if best is not None else "",
        front=_on_front(table, undominated),
        checkpoints=outcomes.checkpoints,
        curves={arm.name: _curves(outcomes, arm, seeds) for arm in shown},
        margin=margin,
        seconds=seconds,
        notes=tuple(_notes(rounds, obstacles)),
        facts=facts,
    )


def _recommendation(effect: Effect) -> Recommendation:
    gain, drop = effect_of(effect)
    trusted = student_estimate(effect.trusted_gain, smallest_step=effect.held_out)
    return Recommendation(
        effect.arm.name,
        effect.arm.regularizer,
        effect.arm.strength,
        drop,
        gain,
        trusted if math.isfinite(trusted.value) else None,
        n=len(effect.gain),
    )


def _code(arm: Arm, task: LearningTask, recipe: Recipe) -> str:
    return training_code(arm.kind.snippet(arm.strength), arm.name, recipe, task)


def _curves(outcomes: Outcomes, arm: Arm, seeds: Sequence[int]) -> np.ndarray:
    curves = [outcomes.of(arm, seed) for seed in seeds]
    return np.stack([[curve.user for curve in curves], [curve.random for curve in curves]])


def _notes(rounds: RoundsResult, obstacles: Mapping[str, str]) -> list[str]:
    sizes = rounds.sizes
    notes = [
        f"seeds: {sizes.explore} for every strength and as many again for the better half, "
        f"{sizes.compare} fresh ones to compare, {sizes.confirm} fresh ones to confirm"
    ]
    if rounds.not_compared:
        named = ", ".join(arm.name for arm in rounds.not_compared)
        notes.append(f"there was no time to compare the least promising: {named}")
    notes += [f"{name} was not tried: {why}" for name, why in obstacles.items()]
    return notes


def _rows(
    rounds: RoundsResult,
    plain: Effect,
    obstacles: Mapping[str, str],
    margin: float,
) -> pd.DataFrame:
    """Return the table; see :class:`byheart.advising.result.Advice`.

    Args:
        rounds: results of the rounds.
        plain: without a regularizer, on the seeds of the comparison.
        obstacles: by the name of a regularizer that cannot be applied, why.
        margin: accuracy that may be lost.
    """
    explored = [effect for effects in rounds.explored.values() for effect in effects]
    explored += rounds.dropped
    explored.sort(key=lambda effect: (effect.arm.regularizer, effect.arm.strength))
    table = [_row(e, "confirmed", assess(e, margin)) for e in reversed(rounds.confirmed)]
    table += [_row(plain, "compared", "")]
    table += [_row(e, "compared", assess(e, margin)) for e in rounds.compared]
    table += [_row(e, "explored", "") for e in explored]
    for name, reason in obstacles.items():
        table.append(
            {"name": name, "regularizer": name, "strength": math.nan, "stage": "", "n": 0}
            | {"verdict": "not applicable", "reason": reason}
        )
    return pd.DataFrame(table, columns=list(COLUMNS))


def _row(effect: Effect, stage: str, judged: str) -> dict[str, object]:
    memorized = student_estimate(effect.memorized, smallest_step=effect.trained)
    accuracy = student_estimate(effect.accuracy, smallest_step=effect.held_out)
    drop = student_estimate(effect.drop, smallest_step=effect.trained)
    cost = student_estimate(-effect.gain, smallest_step=effect.held_out)
    row: dict[str, object] = {
        "name": effect.arm.name,
        "regularizer": effect.arm.regularizer,
        "strength": effect.arm.strength if effect.arm != PLAIN else math.nan,
        "stage": stage,
        "n": len(effect.memorized),
        "verdict": judged,
        "area": float(effect.area.mean()),
        "reason": "",
    }
    trusted = student_estimate(effect.trusted, smallest_step=effect.held_out)
    trusted_gain = student_estimate(effect.trusted_gain, smallest_step=effect.held_out)
    for name, estimate in (
        ("memorization", memorized), ("drop", drop), ("accuracy", accuracy), ("cost", cost),
        ("trusted", trusted), ("trusted_gain", trusted_gain),
    ):  # fmt: skip
        row |= {name: estimate.value}
        row |= {f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row


def _on_front(table: pd.DataFrame, arms: Sequence[Arm]) -> pd.DataFrame:
    """Return the compared rows of some arms, in their order."""
    compared = table[table["stage"] == "compared"]
    picked = [compared[compared["name"] == arm.name] for arm in arms]
    return pd.concat(picked, ignore_index=True) if picked else compared.iloc[:0]


def _reason(rounds: RoundsResult, plain: Effect, classes: int, margin: float) -> str:
    """Return why a regularizer is recommended, or why none is, in a sentence."""
    if not rounds.confirmed:
        return _none(rounds, plain, classes, margin)
    last = rounds.confirmed[-1]
    gain, drop = effect_of(last)
    effect = (
        f"on {len(last.gain)} fresh seeds {last.arm.name} lowers the training accuracy on random "
        f"labels by {_points(drop)}, and accuracy on held-out examples changes by {_points(gain)}"
    )
    if rounds.recommended(margin) is not None:
        trusted = student_estimate(last.trusted_gain, smallest_step=last.held_out)
        if math.isfinite(trusted.value):
            effect += f", on trusted ones by {_points(trusted)}"
        return f"{effect}: within the margin of {points(margin)}"
    before = [effect.arm.name for effect in rounds.confirmed[:-1]]
    also = f" (nor did {' and '.join(before)} before it)" if before else ""
    return (
        f"none of these: {last.arm.name} helped in the comparison, but not on the seeds that "
        f"confirm{also}: {effect}"
    )


def _none(rounds: RoundsResult, plain: Effect, classes: int, margin: float) -> str:
    memorized = float(plain.memorized.mean())
    if memorized < 1 / classes + 0.1:
        return (
            "none of these: without a regularizer the network fits only "
            f"{100 * memorized:.1f}% of random labels in these epochs, so there is no "
            "memorization to stop; train longer, or with a larger learning rate"
        )
    counts: dict[str, int] = {}
    for compared in rounds.compared:
        assessment = assess(compared, margin)
        counts[assessment] = counts.get(assessment, 0) + 1
    words = {
        "costs": f"cost more than {points(margin)} of accuracy",
        "unclear": "are undecided with these seeds (give more minutes or a wider margin)",
        "no effect": "do not lower memorization measurably with these seeds",
        "diverged": "diverged",
    }
    said = [f"{counts[key]} {text}" for key, text in words.items() if key in counts]
    return "none of these: of the regularizers compared, " + "; ".join(said)


def _points(share: Estimate) -> str:
    return f"{100 * share.value:.1f} points [{100 * share.low:.1f}, {100 * share.high:.1f}]"
