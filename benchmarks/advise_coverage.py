"""Do the intervals of a confirmed advice cover what many fresh seeds come to?

    python -m benchmarks.advise_coverage [REPETITIONS]

The same small question is asked again and again, with other seeds of all that is drawn. Each time
the confirmed 90% intervals of drop and gain, of a recommendation or of what was not confirmed, are
held against the means over many seeds that no advice has seen; so are those of the same arm in the
comparison that chose it, which may be optimistic.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
from torch import nn

import byheart
from byheart.advising.arms import PLAIN, Arm, facts_of, menu
from byheart.advising.budget import Sizes
from byheart.advising.judging import Estimate, effect_of
from byheart.advising.outcomes import Effect, Outcomes
from byheart.advising.regularizers.registry import chosen
from byheart.advising.rounds import Rounds
from byheart.advising.trainer import Trainer, paired
from byheart.networks.examine import examine
from byheart.seeds import seed as seed_of
from byheart.training.recipe import Recipe

NAMES = ["dropout", "input noise", "weight decay", "label smoothing", "generalized cross-entropy"]
SEEDS, MARGIN, SIZES = 100, 0.06, Sizes(1, 4, 5)


def small() -> nn.Module:
    """Return a network that a training of takes a moment."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))


def trainer() -> Trainer:
    """Return what trains it on 250 digits."""
    data = byheart.load_dataset("digits", size=250)
    recipe = Recipe(20, 0.1, 0.9, 0.0, 25, "cpu")
    found = examine(small, data.shape, data.n_classes)
    return Trainer(small, found, data, recipe, facts_of(small, found, data, recipe))


def truths(own: Trainer, arms: list[Arm]) -> dict[Arm, Effect]:
    """Return the effects of arms on many fresh seeds."""
    seeds = [seed_of("advise coverage", k) for k in range(SEEDS)]
    outcomes = Outcomes(own.checkpoints, *own.counts)
    found = {}
    for pack in own.packs([PLAIN, *arms], seeds):
        found |= own.train(pack)
    outcomes.add(paired(found))
    return {arm: outcomes.effect(arm, seeds) for arm in arms}


def main() -> None:
    """Print how many of the intervals cover."""
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    own = trainer()
    choices = menu(chosen(NAMES), own.facts)
    answers: list[tuple[Effect, Effect]] = []
    for repetition in range(repetitions):
        found = Rounds(own, choices, margin=MARGIN, seed=repetition, budget=None).run(SIZES)
        by_arm = {one.arm: one for one in found.compared}
        answers += [(one, by_arm[one.arm]) for one in found.confirmed[-1:]]
        print(repetition, [one.arm.name for one in found.confirmed], flush=True)
    true = truths(own, list(dict.fromkeys(one.arm for one, _ in answers)))
    counts: Counter[str] = Counter()
    off: dict[str, list[float]] = {}
    for pair in answers:
        for stage, effect in zip(("confirmed", "compared"), pair, strict=True):
            means = true[effect.arm].gain.mean(), true[effect.arm].drop.mean()
            for name, one, mean in zip(("gain", "drop"), effect_of(effect), means, strict=True):
                counts[f"{stage} {name}"] += one.low <= mean <= one.high
                off.setdefault(f"{stage} {name}", []).append(one.mean - mean)
    print(f"{len(answers)} of {repetitions} had a confirmation")
    for name, count in sorted(counts.items()):
        bias = Estimate.of(np.array(off[name]), 0.0)
        print(
            f"{name}: {count} of {len(answers)} intervals cover; on average too high by "
            f"{100 * bias.mean:.2f} points [{100 * bias.low:.2f}, {100 * bias.high:.2f}]"
        )


if __name__ == "__main__":
    main()
