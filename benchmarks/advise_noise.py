"""With wrong labels, what is training as advised worth by true labels?

    python -m benchmarks.advise_noise [digits|mnist] [REPETITIONS] [MINUTES]

A share of 40% of the labels is drawn at random, and advice is asked for, by these labels alone.
Then every regularizer that was compared, at its strength, and none train on all examples with five
fresh seeds, and are tested on examples with true labels. Compared are: training as advised (plain,
where nothing was recommended), plain training, and the best of the fixed choices by the true test,
which nobody knows beforehand.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import byheart
from benchmarks.audit_data import NETWORKS, SIZES
from byheart.advising.advise import Advice, advise
from byheart.advising.arms import PLAIN, Arm, facts_of
from byheart.advising.regularizers.registry import BY_NAME
from byheart.advising.trainer import Replica, Trainer
from byheart.data.dataset import Dataset
from byheart.networks.examine import examine
from byheart.seeds import seed as seed_of
from byheart.training.own_run import OwnRun
from byheart.training.recipe import Recipe

NOISE, SEEDS, EPOCHS, LEARNING_RATE = 0.4, 5, 30, 0.05


def tested(trainer: Trainer, arm: Arm, test: Dataset) -> np.ndarray:
    """Return the accuracy [S] by true labels after training on all examples."""
    seeds = [seed_of("advise noise", k) for k in range(SEEDS)]
    run: OwnRun = trainer.run([Replica(arm, seed, random=False) for seed in seeds])
    run.trained = torch.arange(len(trainer.dataset)).expand(SEEDS, -1)
    with torch.no_grad():
        for epoch in range(arm.stops_at or trainer.recipe.epochs):
            run.train_epoch(epoch)
        logits = run.network(test.x.flatten(1))
    return (logits.argmax(2) == test.y).double().mean(1).numpy()


def arms_of(advice: Advice) -> list[Arm]:
    """Return what was compared."""
    rows = advice.table[(advice.table["stage"] == "compared") & (advice.table["verdict"] != "")]
    return [Arm(BY_NAME[r], s) for r, s in zip(rows["regularizer"], rows["strength"], strict=True)]


def main() -> None:
    """Print the accuracies of each repetition."""
    source = sys.argv[1] if len(sys.argv) > 1 else "digits"
    repetitions = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    minutes = float(sys.argv[3]) if len(sys.argv) > 3 else 2.0
    for repetition in range(repetitions):
        train, test = byheart.load_dataset(source).split(*SIZES[source], repetition)
        noisy = byheart.corrupt(train, labels=NOISE, seed=repetition)
        network = NETWORKS[source]
        found = advise(
            network, noisy, minutes=minutes, epochs=EPOCHS, learning_rate=LEARNING_RATE,
            seed=repetition,
        )  # fmt: skip
        recipe = Recipe(EPOCHS, LEARNING_RATE, 0.9, 0.0, 32, "cpu")
        examined = examine(network, noisy.shape, noisy.n_classes)
        trainer = Trainer(
            network, examined, noisy, recipe, facts_of(network, examined, noisy, recipe)
        )
        right = {arm: tested(trainer, arm, test).mean() for arm in (PLAIN, *arms_of(found))}
        one = found.recommended
        advised = PLAIN if one is None else Arm(BY_NAME[one.regularizer], one.strength)
        best = max(right, key=lambda arm: right[arm])
        print(
            f"{repetition}: plain {100 * right[PLAIN]:.1f}%, advised ({advised.name}) "
            f"{100 * right[advised]:.1f}%, best ({best.name}) {100 * right[best]:.1f}%; "
            f"{found.seconds:.0f} s",
            flush=True,
        )
        print("   ", ", ".join(f"{arm.name} {100 * v:.1f}" for arm, v in right.items()), flush=True)


if __name__ == "__main__":
    main()
