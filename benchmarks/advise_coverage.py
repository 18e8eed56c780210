"""Do the intervals of a confirmed advice cover what many fresh seeds come to?

    python -m benchmarks.advise_coverage OUT [REPETITIONS] [FIRST]

The same small question is asked again and again, with other seeds of all that is drawn. Each time
the confirmed 90% intervals of drop and gain, of a recommendation or of what was not confirmed, are
held against the means over many seeds that no advice has seen; so are those of the same arm in the
comparison that chose it, which may be optimistic. What the estimates are off by on average has an
interval for both samples: those many seeds are the same for all repetitions, and chance in them
would look like a fault of every repetition.

OUT keeps every training: the same command goes on from there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import nn

import byheart
from benchmarks.advising import trainer_of
from byheart.advising.arms import PLAIN, Arm, menu
from byheart.advising.judging import effect_of
from byheart.advising.outcomes import Effect, Outcomes, Values
from byheart.advising.plans import FixedPlan, Sizes
from byheart.advising.regularizers.registry import chosen
from byheart.advising.rounds import Rounds
from byheart.advising.trainer import Trainer, paired
from byheart.advising.trainings import Trainings
from byheart.seeds import seed as seed_of
from byheart.statistics.estimate import Estimate
from byheart.store import Store
from byheart.training.recipe import Recipe

NAMES = ["dropout", "input noise", "weight decay", "label smoothing", "generalized cross-entropy"]
SEEDS, MARGIN, SIZES = 1000, 0.06, Sizes(1, 4, 5)
NORMAL = 1.645


def small() -> nn.Module:
    """Return a network that a training of takes a moment."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


def truths(own: Trainer, trainings: Trainings, arms: Sequence[Arm]) -> dict[Arm, Effect]:
    """Return the effects of arms on many fresh seeds."""
    seeds = [seed_of("advise coverage", k) for k in range(SEEDS)]
    outcomes = Outcomes(own.checkpoints, *own.counts)
    found = {}
    for pack in own.packs([PLAIN, *arms], seeds):
        found |= trainings.of(pack)
    outcomes.add(paired(found))
    return {arm: outcomes.effect(arm, seeds) for arm in arms}


@dataclass(frozen=True)
class Answer:
    """An estimate of an arm's drop or gain."""

    arm: Arm
    estimate: Estimate


def coverage(answers: Sequence[Answer], truth: Mapping[Arm, Values]) -> str:
    """Return how many intervals cover, and what estimates are off by on average, in words.

    Args:
        answers: one per repetition.
        truth: by arm, a value for each of the many seeds.
    """
    means = {arm: values.mean() for arm, values in truth.items()}
    covered = sum(a.estimate.low <= means[a.arm] <= a.estimate.high for a in answers)
    off = np.array([a.estimate.value - means[a.arm] for a in answers])
    common = np.mean([truth[a.arm] for a in answers], axis=0)
    error = np.sqrt(off.var(ddof=1) / len(off) + common.var(ddof=1) / len(common))
    low, high = (100 * (off.mean() + side * NORMAL * error) for side in (-1, 1))
    return (
        f"{covered} of {len(answers)} intervals cover; on average too high by "
        f"{100 * off.mean():.2f} points [{low:.2f}, {high:.2f}]"
    )


def main() -> None:
    """Print how many of the intervals cover."""
    out = Path(sys.argv[1])
    repetitions = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    first = int(sys.argv[3]) if len(sys.argv) > 3 else 0
    own = trainer_of(
        small, byheart.load_dataset("digits", size=250), Recipe(20, 0.1, 0.9, 0.0, 25, "cpu")
    )
    choices = menu(chosen(NAMES), own.facts)
    told: list[dict[str, Effect]] = []
    with Store.open(out) as store:
        trainings = Trainings(own, store)
        for repetition in range(first, first + repetitions):
            found = Rounds(
                own, trainings, choices, FixedPlan(SIZES), margin=MARGIN, seed=repetition
            ).run()
            print(repetition, [one.arm.name for one in found.confirmed], flush=True)
            if found.confirmed:
                last = found.confirmed[-1]
                compared = next(one for one in found.compared if one.arm == last.arm)
                told.append({"last": last, "first tried": found.confirmed[0], "compared": compared})
        arms = {effect.arm for stages in told for effect in stages.values()}
        true = truths(own, trainings, sorted(arms, key=lambda arm: arm.name))
    print(f"{len(told)} of {repetitions} had a confirmation")
    for stage in told[0]:
        for at, name in enumerate(("gain", "drop")):
            answers = [Answer(one[stage].arm, effect_of(one[stage])[at]) for one in told]
            values = {arm: getattr(effect, name) for arm, effect in true.items()}
            print(f"{stage}, {name}:", coverage(answers, values))


if __name__ == "__main__":
    main()
