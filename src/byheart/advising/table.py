"""The table of an advice, and its sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from byheart.advising.arms import PLAIN, Arm
from byheart.advising.judging import assess, effect_of
from byheart.advising.outcomes import Effect
from byheart.advising.result import COLUMNS
from byheart.advising.rounds import Found
from byheart.report.numbers import points
from byheart.statistics.estimate import Estimate, student_estimate


def rows(
    found: Found,
    plain: Effect,
    obstacles: Mapping[str, str],
    margin: float,
) -> pd.DataFrame:
    """Return the table; see :class:`byheart.advising.result.Advice`.

    Args:
        found: by the rounds.
        plain: without a regularizer, on the seeds of the comparison.
        obstacles: by the name of a regularizer that cannot be applied, why.
        margin: accuracy that may be lost.
    """
    explored = [one for own in found.explored.values() for one in own] + [*found.left_behind]
    explored.sort(key=lambda one: (one.arm.regularizer, one.arm.strength))
    table = [_row(plain, "compared", "")]
    table += [_row(one, "compared", assess(one, margin)) for one in found.compared]
    table = [
        *(_row(one, "confirmed", assess(one, margin)) for one in reversed(found.confirmed)),
        *table,
    ]
    table += [_row(one, "explored", "") for one in explored]
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
    for name, own in (
        ("memorization", memorized), ("drop", drop), ("accuracy", accuracy), ("cost", cost),
        ("trusted", trusted), ("trusted_gain", trusted_gain),
    ):  # fmt: skip
        row |= {name: own.value, f"{name}_low": own.low, f"{name}_high": own.high}
    return row


def on_front(table: pd.DataFrame, arms: Sequence[Arm]) -> pd.DataFrame:
    """Return the compared rows of some arms, in their order."""
    compared = table[table["stage"] == "compared"]
    picked = [compared[compared["name"] == arm.name] for arm in arms]
    return pd.concat(picked, ignore_index=True) if picked else compared.iloc[:0]


def reason(found: Found, plain: Effect, classes: int, margin: float) -> str:
    """Return why a regularizer is recommended, or why none is, in a sentence."""
    if not found.confirmed:
        return _none(found, plain, classes, margin)
    one = found.confirmed[-1]
    gain, drop = effect_of(one)
    effect = (
        f"on {len(one.gain)} fresh seeds {one.arm.name} lowers the training accuracy on random "
        f"labels by {_points(drop)}, and accuracy on held-out examples changes by {_points(gain)}"
    )
    if found.recommended(margin) is not None:
        own = student_estimate(one.trusted_gain, smallest_step=one.held_out)
        if math.isfinite(own.value):
            effect += f", on those that are trusted by {_points(own)}"
        return f"{effect}: within the margin of {points(margin)}"
    others = [one.arm.name for one in found.confirmed[:-1]]
    also = f" (as little as {' and '.join(others)} before it)" if others else ""
    return (
        f"none of these: {one.arm.name} helped in the comparison, but that was not "
        f"confirmed{also}: {effect}"
    )


def _none(found: Found, plain: Effect, classes: int, margin: float) -> str:
    memorized = float(plain.memorized.mean())
    if memorized < 1 / classes + 0.1:
        return (
            "none of these: without a regularizer the network fits only "
            f"{100 * memorized:.1f}% of random labels within these epochs, so there is no "
            "memorization to stop; train longer, or with a larger learning rate"
        )
    counts: dict[str, int] = {}
    for one in found.compared:
        counts[assess(one, margin)] = counts.get(assess(one, margin), 0) + 1
    words = {
        "costs": f"cost more than {points(margin)} of accuracy",
        "unclear": "may or may not, by these seeds (give more minutes or a wider margin)",
        "no effect": "take nothing from memorization that these seeds can show",
        "diverged": "diverged",
    }
    said = [f"{counts[key]} {text}" for key, text in words.items() if key in counts]
    return "none of these: of the regularizers compared, " + "; ".join(said)


def _points(one: Estimate) -> str:
    return f"{100 * one.value:.1f} points [{100 * one.low:.1f}, {100 * one.high:.1f}]"
