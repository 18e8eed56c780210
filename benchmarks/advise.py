"""How good is advice? Three experiments: `python -m benchmarks.advise coverage|noise|paper OUT`.

- `coverage`: do the intervals of a confirmed advice contain what many fresh seeds come to? The same
  small question is asked again and again, with other seeds. The confirmed 90% intervals of drop and
  gain are compared with means over many seeds that no advice has seen. So are those of the same arm
  in the comparison that chose it, which may be optimistic.
- `noise`: what is training as advised worth by true labels, when many labels are wrong? 40% of the
  labels of 5000 MNIST digits (14 by 14 pixels) are drawn at random, and the advice sees only these.
  Then every regularizer that was compared, and none, trains on all examples with fresh seeds.
  Accuracies are on 5000 other digits with true labels.
- `paper`: does advice on the six regularizers of A17 Figure 10 agree with the study? On 2000 MNIST
  digits it is held against `regularizer-gap` and `dropout-best`, with 90% intervals over the seeds
  of the comparison, which had no part in choosing a strength.

OUT keeps every training: the same command resumes.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import byheart
from byheart.advising.arms import PLAIN, Arm, learning_task, menu
from byheart.advising.effects import Effect, Outcomes, Values, assess, effect_of
from byheart.advising.plans import FixedPlan, Sizes
from byheart.advising.rounds import AdviceRounds
from byheart.advising.trainer import Replica, Trainer, paired
from byheart.advising.trainings import Trainings
from byheart.networks.examine import examine
from byheart.seeds import seed as seed_of
from byheart.statistics.estimate import Estimate, student_estimate
from byheart.store import Store
from byheart.training.examples import Examples
from byheart.training.recipe import Recipe
from byheart.training.regularizers.registry import BY_NAME, chosen

COVERED = (
    "dropout", "input noise", "weight decay", "label smoothing", "generalized cross-entropy",
)  # fmt: skip
COVERAGE_RECIPE = Recipe(
    epochs=20, learning_rate=0.1, momentum=0.9, batch_size=25, schedule="constant", device="cpu"
)
COVERAGE_SEEDS, COVERAGE_MARGIN, COVERAGE_SIZES = 1000, 0.06, Sizes(1, 4, 5)
NORMAL = 1.645

NOISE, NOISE_EXAMPLES, PIXELS, NOISE_SEEDS = 0.4, 5000, 14, 3
NOISE_RECIPE = Recipe(
    epochs=20, learning_rate=0.1, momentum=0.9, batch_size=100, schedule="constant", device="cpu"
)
NOISE_ROUNDS = (2, 5, 8)
COMPARED = (
    "dropout", "input dropout", "weight decay", "label smoothing", "mixup", "early stopping",
    "early-learning regularization", "generalized cross-entropy", "gradient clipping",
)  # fmt: skip
PLAIN_NAME = PLAIN.kind.name

DROPOUT, ADVERSARIAL = "dropout", "dropout with adversarial training"
OTHERS = ("input dropout", "input noise", "hidden noise", "weight decay")
PAPER_EXAMPLES, PAPER_MARGIN, PAPER_SIZES = 2000, 0.01, Sizes(2, 6, 8)
PAPER_RECIPE = Recipe(
    epochs=30, learning_rate=0.05, momentum=0.9, batch_size=50, schedule="constant", device="cpu"
)

Row = Mapping[str, Any]


def mlp(inputs: int, width: int) -> nn.Module:
    """Return a network of one hidden layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 10))


def small() -> nn.Module:
    """64-24-10."""
    return mlp(64, 24)


def medium() -> nn.Module:
    """196-128-10."""
    return mlp(PIXELS**2, 128)


def large() -> nn.Module:
    """784-128-10."""
    return mlp(784, 128)


def trainer_of(
    network: Callable[[], nn.Module], dataset: byheart.Dataset, recipe: Recipe
) -> Trainer:
    """Return what trains a network as an advice does."""
    examined = examine(network, dataset.shape, dataset.n_classes)
    return Trainer(
        network, examined, dataset, recipe, learning_task(network, examined, dataset, recipe)
    )


def coverage(out: Path, repetitions: int, first: int) -> None:
    """Print how many intervals of confirmed advice contain the truth."""
    digits = byheart.load_dataset("digits", size=250)
    trainer = trainer_of(small, digits, COVERAGE_RECIPE)
    arms = menu(chosen(list(COVERED)), trainer.task)
    confirmations: list[dict[str, Effect]] = []
    with Store.open(out) as store:
        trainings = Trainings(trainer, store)
        for repetition in range(first, first + repetitions):
            plan = FixedPlan(COVERAGE_SIZES)
            result = AdviceRounds(
                trainer, trainings, arms, plan, margin=COVERAGE_MARGIN, seed=repetition
            ).run()
            print(repetition, [effect.arm.name for effect in result.confirmed], flush=True)
            if result.confirmed:
                last = result.confirmed[-1]
                compared = next(effect for effect in result.compared if effect.arm == last.arm)
                confirmations.append(
                    {"last": last, "first tried": result.confirmed[0], "compared": compared}
                )
        used = {effect.arm for stages in confirmations for effect in stages.values()}
        truth = true_effects(trainer, trainings, sorted(used, key=lambda arm: arm.name))
    print(f"{len(confirmations)} of {repetitions} had a confirmation")
    for stage in confirmations[0]:
        for at, name in enumerate(("gain", "drop")):
            estimates = [(c[stage].arm, effect_of(c[stage])[at]) for c in confirmations]
            values = {arm: getattr(effect, name) for arm, effect in truth.items()}
            print(f"{stage}, {name}:", coverage_in_words(estimates, values))


def true_effects(trainer: Trainer, trainings: Trainings, arms: Sequence[Arm]) -> dict[Arm, Effect]:
    """Return the effects of arms on many fresh seeds."""
    seeds = [seed_of("advise coverage", k) for k in range(COVERAGE_SEEDS)]
    outcomes = Outcomes(trainer.checkpoints, *trainer.counts)
    curves = {}
    for pack in trainer.packs([PLAIN, *arms], seeds):
        curves |= trainings.of(pack)
    outcomes.curves.update(paired(curves))
    return {arm: outcomes.effect(arm, seeds) for arm in arms}


def coverage_in_words(
    estimates: Sequence[tuple[Arm, Estimate]], truth: Mapping[Arm, Values]
) -> str:
    """Return how many intervals contain the truth, and the mean error of the estimates.

    The many seeds are the same for all repetitions, so chance in them would look like an error of
    every repetition. The interval of the mean error counts both samples.

    Args:
        estimates: of a drop or gain, one per repetition.
        truth: by arm, a value for each of the many seeds.
    """
    means = {arm: values.mean() for arm, values in truth.items()}
    covered = sum(estimate.low <= means[arm] <= estimate.high for arm, estimate in estimates)
    errors = np.array([estimate.value - means[arm] for arm, estimate in estimates])
    common = np.mean([truth[arm] for arm, _ in estimates], axis=0)
    spread = np.sqrt(errors.var(ddof=1) / len(errors) + common.var(ddof=1) / len(common))
    low, high = (100 * (errors.mean() + side * NORMAL * spread) for side in (-1, 1))
    return (
        f"{covered} of {len(estimates)} intervals contain the truth; on average too high by "
        f"{100 * errors.mean():.2f} points [{low:.2f}, {high:.2f}]"
    )


def noise(out: Path, repetitions: int, first: int) -> None:
    """Print the accuracies of each repetition by true labels, and the differences over all."""
    rows = []
    for repetition in range(first, first + repetitions):
        path = out / f"{repetition}.json"
        if not path.exists():
            row = noise_row(repetition, out / f"trainings-{repetition}")
            path.write_text(json.dumps(row) + "\n", encoding="utf-8")
        rows.append(json.loads(path.read_text(encoding="utf-8")))
        print(rows[-1], flush=True)
    (out / "rows.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    for name, estimate in differences(rows).items():
        value, low, high = (100 * x for x in (estimate.value, estimate.low, estimate.high))
        print(f"as advised minus {name}: {value:.1f} points [{low:.1f}, {high:.1f}]")


def noise_row(repetition: int, folder: Path) -> Row:
    """Return the accuracies by true labels of one repetition, by regularizer."""
    whole = byheart.load_dataset("mnist").downsample(PIXELS)
    train, test = whole.split(NOISE_EXAMPLES, NOISE_EXAMPLES, repetition)
    noisy = byheart.corrupt(train, labels=NOISE, seed=repetition)
    advice = byheart.advise(
        medium,
        noisy,
        recipe=NOISE_RECIPE,
        regularizers=COMPARED,
        rounds=NOISE_ROUNDS,
        seed=repetition,
        keep=folder,
    )
    table = advice.table
    rows = table[(table["stage"] == "compared") & (table["verdict"] != "")]
    arms = [Arm(BY_NAME[r], s) for r, s in zip(rows["regularizer"], rows["strength"], strict=True)]
    trainer = trainer_of(medium, noisy, NOISE_RECIPE)
    seeds = [seed_of("advise noise", k) for k in range(NOISE_SEEDS)]
    accuracy = {arm: float(tested(trainer, arm, test, seeds).mean()) for arm in (PLAIN, *arms)}
    recommended = advice.recommended
    return {
        "repetition": repetition,
        "advised": PLAIN_NAME if recommended is None else recommended.regularizer,
        "strength": {arm.regularizer: arm.strength for arm in arms},
        "accuracy": {arm.regularizer: value for arm, value in accuracy.items()},
    }


def tested(
    trainer: Trainer, arm: Arm, test: byheart.Dataset, seeds: Sequence[int]
) -> NDArray[np.float64]:
    """Return the accuracy [S] on test examples after training on all examples.

    An arm that stops early is plain training up to there.
    """
    trained = PLAIN if arm.stops_at is not None else arm
    loop = trainer.loop([Replica(trained, seed, random=False) for seed in seeds])
    labels = trainer.dataset.y.expand(len(seeds), -1)
    rows = torch.arange(len(trainer.dataset)).expand(len(seeds), -1)
    loop.examples = Examples.of(trainer.dataset.x, labels, rows, rows[:, :0])
    loop.train(arm.stops_at or trainer.recipe.epochs)
    rows = torch.arange(len(test)).expand(len(seeds), -1)
    examples = Examples.of(test.x, test.y.expand(len(seeds), -1), rows[:, :0], rows)
    with torch.no_grad():
        predicted = examples.logits(loop.network, rows).argmax(2)
    accuracy: NDArray[np.float64] = (predicted == test.y).double().mean(1).numpy()
    return accuracy


def differences(rows: Sequence[Row]) -> dict[str, Estimate]:
    """Return how much better training as advised is, paired by repetition, with 90% intervals."""
    accuracies = [row["accuracy"] for row in rows]
    advised = np.array([row["accuracy"][row["advised"]] for row in rows])
    fixed = max(accuracies[0], key=lambda name: np.mean([a[name] for a in accuracies]))
    others = {
        "plain training": [a[PLAIN_NAME] for a in accuracies],
        f"the best fixed regularizer over all, {fixed}": [a[fixed] for a in accuracies],
        "the best of each repetition": [max(a.values()) for a in accuracies],
    }
    step = 1 / (NOISE_EXAMPLES * NOISE_SEEDS)
    return {
        name: student_estimate(advised - np.array(other), smallest_step=step)
        for name, other in others.items()
    }


def paper(out: Path) -> None:
    """Print drops and gains of the paper's regularizers, and the differences of `dropout-best`."""
    trainer = trainer_of(
        large, byheart.load_dataset("mnist", size=PAPER_EXAMPLES, seed=0), PAPER_RECIPE
    )
    arms = menu(chosen([DROPOUT, *OTHERS, ADVERSARIAL]), trainer.task)
    with Store.open(out) as store:
        result = AdviceRounds(
            trainer,
            Trainings(trainer, store),
            arms,
            FixedPlan(PAPER_SIZES),
            margin=PAPER_MARGIN,
            seed=0,
        ).run()
    stages = {"compared": result.compared, "confirmed": result.confirmed}
    text = json.dumps({stage: [paper_row(e) for e in effects] for stage, effects in stages.items()})
    (out / "rows.json").write_text(text + "\n", encoding="utf-8")
    for stage, effects in stages.items():
        for effect in effects:
            gain, drop = effect_of(effect)
            verdict = assess(effect, PAPER_MARGIN)
            print(f"{stage} {effect.arm.name}: {verdict}; drop {drop}, gain {gain}")
    compared = {effect.arm.regularizer: effect for effect in result.compared}
    for name, estimate in dropout_best(compared).items():
        print(f"{name}: {estimate}")


def paper_row(effect: Effect) -> dict[str, object]:
    """Return what is written down of an effect."""
    return {
        "arm": effect.arm.name,
        "verdict": assess(effect, PAPER_MARGIN),
        "drop": effect.drop.tolist(),
        "gain": effect.gain.tolist(),
    }


def dropout_best(compared: Mapping[str, Effect]) -> dict[str, Estimate]:
    """Return the two differences that the claim is about, paired by seed.

    One half of the seeds chooses the best other regularizer for the other half.
    """
    drops = {name: harmless_drop(effect) for name, effect in compared.items()}
    others = np.stack([drops[name] for name in OTHERS])
    half = np.arange(others.shape[1]) % 2 == 0
    best = np.empty(others.shape[1])
    for judged in (half, ~half):
        best[judged] = others[others[:, ~judged].mean(1).argmax(), judged]
    values = {
        "dropout minus the best other": drops[DROPOUT] - best,
        "adversarial training minus dropout": drops[ADVERSARIAL] - drops[DROPOUT],
    }
    step = compared[DROPOUT].trained
    return {name: student_estimate(v, smallest_step=step) for name, v in values.items()}


def harmless_drop(effect: Effect) -> Values:
    """Return the drop [S] of a regularizer that helps; zeros for any other."""
    helps = assess(effect, PAPER_MARGIN) == "helps"
    return effect.drop if helps else np.zeros_like(effect.drop)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiment", choices=("coverage", "noise", "paper"))
    parser.add_argument("out", type=Path, metavar="OUT", help="folder that keeps every training")
    parser.add_argument("--repetitions", type=int, help="50 for coverage, 5 for noise")
    parser.add_argument("--first", type=int, default=0, help="number of the first repetition")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.experiment == "coverage":
        coverage(options.out, options.repetitions or 50, options.first)
    elif options.experiment == "noise":
        noise(options.out, options.repetitions or 5, options.first)
    else:
        paper(options.out)


if __name__ == "__main__":
    main()
