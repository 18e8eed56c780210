"""Does advice on the paper's six regularizers say what the study says of them?

    python -m benchmarks.advise_paper OUT

On 2000 MNIST digits the advice is asked for the six regularizers of A17 Figure 10, and its
trainings are held against two claims, with 90% intervals over the seeds of the comparison, which
had no part in choosing a strength:

- `regularizer-gap`: the largest drop in memorization at no more than a point of accuracy, of the
  confirmed one;
- `dropout-best`: the drop of dropout minus that of the best other that helps, and the drop of
  dropout with adversarial training minus that of dropout alone. Which other is the best, the first
  half of the seeds says for the second, and the second for the first.

OUT keeps every training: the same command goes on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import nn

import byheart
from benchmarks.advising import trainer_of
from byheart.advising.arms import menu
from byheart.advising.judging import assess, effect_of
from byheart.advising.outcomes import Effect, Values
from byheart.advising.plans import FixedPlan, Sizes
from byheart.advising.regularizers.registry import chosen
from byheart.advising.rounds import Rounds
from byheart.advising.trainings import Trainings
from byheart.statistics.estimate import Estimate, student_estimate
from byheart.store import Store
from byheart.training.recipe import Recipe

DROPOUT, ADVERSARIAL = "dropout", "dropout with adversarial training"
OTHERS = ("input dropout", "input noise", "hidden noise", "weight decay")
EXAMPLES, MARGIN, SIZES = 2000, 0.01, Sizes(2, 6, 8)
RECIPE = Recipe(30, 0.05, 0.9, 0.0, 50, "cpu")


def perceptron() -> nn.Module:
    """784-128-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def harmless(effect: Effect) -> Values:
    """Return the drop [S] of a regularizer that helps; nothing where it does not."""
    helps = assess(effect, MARGIN) == "helps"
    return effect.drop if helps else np.zeros_like(effect.drop)


def dropout_best(compared: Mapping[str, Effect]) -> dict[str, Estimate]:
    """Return the two differences that the claim is about, paired by seed."""
    drops = {name: harmless(one) for name, one in compared.items()}
    others = np.stack([drops[name] for name in OTHERS])
    half = np.arange(others.shape[1]) % 2 == 0
    best = np.empty(others.shape[1])
    for own in (half, ~half):
        best[own] = others[others[:, ~own].mean(1).argmax(), own]
    found = {
        "dropout minus the best other": drops[DROPOUT] - best,
        "adversarial training minus dropout": drops[ADVERSARIAL] - drops[DROPOUT],
    }
    step = compared[DROPOUT].trained
    return {name: student_estimate(values, smallest_step=step) for name, values in found.items()}


def rows(effects: Sequence[Effect]) -> list[dict[str, object]]:
    """Return what to write down of some effects."""
    return [
        {
            "arm": one.arm.name,
            "verdict": assess(one, MARGIN),
            "drop": one.drop.tolist(),
            "gain": one.gain.tolist(),
        }
        for one in effects
    ]


def main() -> None:
    """Print drops, gains and the two differences."""
    out = Path(sys.argv[1])
    dataset = byheart.load_dataset("mnist", size=EXAMPLES, seed=0)
    trainer = trainer_of(perceptron, dataset, RECIPE)
    choices = menu(chosen([DROPOUT, *OTHERS, ADVERSARIAL]), trainer.facts)
    with Store.open(out) as store:
        trainings = Trainings(trainer, store)
        found = Rounds(
            trainer, trainings, choices, FixedPlan(SIZES), margin=MARGIN, seed=0
        ).run()  # fmt: skip
    text = json.dumps({"compared": rows(found.compared), "confirmed": rows(found.confirmed)})
    (out / "rows.json").write_text(text + "\n", encoding="utf-8")
    for stage, effects in (("compared", found.compared), ("confirmed", found.confirmed)):
        for one in effects:
            gain, drop = effect_of(one)
            print(f"{stage} {one.arm.name}: {assess(one, MARGIN)}; drop {drop}, gain {gain}")
    for name, one in dropout_best({one.arm.regularizer: one for one in found.compared}).items():
        print(f"{name}: {one}")


if __name__ == "__main__":
    main()
