"""The slow twins of the audit's scores: one example and one epoch at a time, in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

Curve = Sequence[Sequence[float] | None]
"""The logits of one example, epoch by epoch; None where it was not seen."""


def margin(z: Sequence[float], y: int) -> float:
    return z[y] - max(value for k, value in enumerate(z) if k != y)


def loss(z: Sequence[float], y: int) -> float:
    top = max(z)
    return top + math.log(sum(math.exp(value - top) for value in z)) - z[y]


def probability(z: Sequence[float], y: int) -> float:
    return math.exp(-loss(z, y))


def correct(z: Sequence[float], y: int) -> bool:
    return all(z[y] > value for k, value in enumerate(z) if k != y)


def scores(curve: Curve, y: int, start: int, stop: int) -> dict[str, float]:
    """Return every score of one example in one training."""
    seen = [(e, z) for e, z in enumerate(curve) if start <= e < stop and z is not None]
    if not seen:
        names = (
            "p_correct cumulative_loss aum confidence variability first_learned never_learned "
            "forgetting_events"
        )
        return {**dict.fromkeys(names.split(), math.nan), "epochs_seen": 0}
    count = len(seen)
    right = [correct(z, y) for _, z in seen]
    given = [probability(z, y) for _, z in seen]
    mean = sum(given) / count
    learned = [e + 1 for (e, _), a in zip(seen, right, strict=True) if a]
    return {
        "p_correct": sum(right) / count,
        "cumulative_loss": sum(loss(z, y) for _, z in seen) / count * (stop - start),
        "aum": sum(margin(z, y) for _, z in seen) / count,
        "confidence": mean,
        "variability": math.sqrt(sum((p - mean) ** 2 for p in given) / count),
        "first_learned": min(learned, default=stop + 1),
        "never_learned": float(not learned),
        "forgetting_events": sum(a and not b for a, b in itertools.pairwise(right)),
        "epochs_seen": count,
    }


def over_seeds(each: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the scores of one example over seeds."""
    has = [one for one in each if one["epochs_seen"]]
    if not has:
        return each[0]
    total = sum(one["epochs_seen"] for one in has)
    together = {name: sum(one[name] for one in has) / len(has) for name in has[0]}
    together["p_correct"] = sum(one["p_correct"] * one["epochs_seen"] for one in has) / total
    return {**together, "epochs_seen": total}


def suggestion(curves: Sequence[Curve], y: int) -> tuple[int, float]:
    """Return the class of the largest summed probability, where it led besides the label."""
    sums: dict[int, float] = {}
    count = 0
    for z in (z for curve in curves for z in curve if z is not None):
        rival = max((k for k in range(len(z)) if k != y), key=lambda k: z[k])
        sums[rival] = sums.get(rival, 0.0) + probability(z, rival)
        count += 1
    best = max(sums, key=lambda k: sums[k])
    return best, sums[best] / count
