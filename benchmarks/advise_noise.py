"""With wrong labels, what is training as advised worth by true labels?

    python -m benchmarks.advise_noise OUT [REPETITIONS]

A share of 40% of the labels of 5000 MNIST digits, averaged down to 14 by 14 pixels, is drawn at
random, and advice is asked for, by these labels alone. Then every regularizer that was compared, at
its strength, and none train on all examples with fresh seeds, and are tested on 5000 others with
true labels. Compared are: training as advised (plain, where nothing was recommended), plain
training, and the fixed choices: the regularizer that is best by the true test of its repetition,
and the one that is best over all, which nobody knows beforehand.

OUT keeps every training and a row of each repetition: the same command goes on from there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import byheart
from benchmarks.advising import tested, trainer_of
from byheart.advising.arms import PLAIN, Arm
from byheart.advising.regularizers.registry import BY_NAME
from byheart.seeds import seed as seed_of
from byheart.statistics.estimate import Estimate, student_estimate
from byheart.training.recipe import Recipe

NOISE, EXAMPLES, PIXELS, SEEDS = 0.4, 5000, 14, 3
RECIPE = Recipe(20, 0.1, 0.9, 0.0, 100, "cpu")
ROUNDS = (2, 5, 8)
NAMES = (
    "dropout", "input dropout", "weight decay", "label smoothing", "mixup", "early stopping",
    "early-learning regularization", "generalized cross-entropy", "gradient clipping",
)  # fmt: skip
PLAINLY = PLAIN.kind.name

Row = Mapping[str, Any]


def perceptron() -> nn.Module:
    """196-128-10."""
    return nn.Sequential(nn.Flatten(), nn.Linear(PIXELS**2, 128), nn.ReLU(), nn.Linear(128, 10))


def repeated(repetition: int, folder: Path) -> Row:
    """Return what one repetition came to: accuracies by true labels, by regularizer."""
    whole = byheart.load_dataset("mnist").downsample(PIXELS)
    train, test = whole.split(EXAMPLES, EXAMPLES, repetition)
    noisy = byheart.corrupt(train, labels=NOISE, seed=repetition)
    found = byheart.advise(
        perceptron, noisy, epochs=RECIPE.epochs, learning_rate=RECIPE.learning_rate,
        momentum=RECIPE.momentum, batch_size=RECIPE.batch_size, regularizers=NAMES, rounds=ROUNDS,
        seed=repetition, keep=folder,
    )  # fmt: skip
    rows = found.table[(found.table["stage"] == "compared") & (found.table["verdict"] != "")]
    arms = [Arm(BY_NAME[r], s) for r, s in zip(rows["regularizer"], rows["strength"], strict=True)]
    trainer = trainer_of(perceptron, noisy, RECIPE)
    seeds = [seed_of("advise noise", k) for k in range(SEEDS)]
    right = {arm: float(tested(trainer, arm, test, seeds).mean()) for arm in (PLAIN, *arms)}
    return {
        "repetition": repetition,
        "advised": PLAINLY if found.recommended is None else found.recommended.regularizer,
        "strength": {arm.regularizer: arm.strength for arm in arms},
        "accuracy": {arm.regularizer: accuracy for arm, accuracy in right.items()},
    }


def differences(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return by what training as advised is better, paired by repetition, with 90% intervals."""
    found = [row["accuracy"] for row in rows]
    advised = np.array([row["accuracy"][row["advised"]] for row in rows])
    fixed = max(found[0], key=lambda name: np.mean([own[name] for own in found]))
    others = {
        "plain training": [own[PLAINLY] for own in found],
        f"the best fixed regularizer over all, {fixed}": [own[fixed] for own in found],
        "the best of each repetition": [max(own.values()) for own in found],
    }
    return {
        name: student_estimate(advised - np.array(other), smallest_step=1 / (EXAMPLES * SEEDS))
        for name, other in others.items()
    }


def main() -> None:
    """Print the accuracies of each repetition, and the differences over all."""
    out = Path(sys.argv[1])
    repetitions = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    rows = []
    for repetition in range(repetitions):
        path = out / f"{repetition}.json"
        if not path.exists():
            row = repeated(repetition, out / f"trainings-{repetition}")
            path.write_text(json.dumps(row) + "\n", encoding="utf-8")
        rows.append(json.loads(path.read_text(encoding="utf-8")))
        print(rows[-1], flush=True)
    (out / "rows.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for name, one in differences(rows).items():
        low, high = 100 * one.low, 100 * one.high
        print(f"as advised minus {name}: {100 * one.value:.1f} points [{low:.1f}, {high:.1f}]")


if __name__ == "__main__":
    main()
