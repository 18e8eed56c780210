"""``byheart.audit``: what does *my* network know by heart, and whose labels look wrong?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from byheart.auditing.calibration import calibrate
from byheart.auditing.following import Followed, Recipe, follow
from byheart.auditing.layout import hold_out
from byheart.auditing.onset import find_onset
from byheart.auditing.planting import Doubts, plant
from byheart.auditing.result import PRECISION, Audit, assemble, wanted
from byheart.auditing.suspicion import suspicion
from byheart.auditing.table import suggested
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.networks.foreign import Source
from byheart.seeds import seed as seed_of
from byheart.training.device import find_device

__all__ = ["Audit", "audit"]

HELD_OUT = 0.10
"""Share of examples that each seed does not train on."""
PLANTED = 0.06
"""Share of examples that every second seed trains on with another label."""


def audit(
    model_factory: Source,
    dataset: Dataset,
    *,
    epochs: int = 20,
    seeds: int = 4,
    learning_rate: float = 0.05,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: int = 32,
    precision: float = PRECISION,
    planted: float = PLANTED,
    seed: int = 0,
    device: str = "cpu",
    on_epoch: Callable[[int, int], None] | None = None,
) -> Audit:
    """Train a network a few times, and return what it knows by heart and whose labels look wrong.

    Each seed holds out a tenth of the examples: the epoch at which accuracy on them is highest is
    the onset of memorization, and suspicion is an example's margin, averaged up to there and over
    seeds. The first half of the seeds train on the labels as they are. The other half change a few
    more, in the way in which the first half found labels to be wrong; how these planted flips rank
    tells how many of the user's own labels are wrong and how far down the ranking to believe it.
    An example whose label was changed is judged by the seeds in which it was not.

    Args:
        model_factory: a callable that returns a fresh ``torch.nn.Module``, which maps [N, *shape]
            to [N, classes]; or "package.module:callable".
        dataset: the examples, with the labels they have.
        epochs: passes over the data, of each training; enough to begin to memorize.
        seeds: number of trainings, 2 or more.
        learning_rate: of SGD.
        momentum: from 0 to below 1.
        weight_decay: L2 coefficient.
        batch_size: examples per step.
        precision: wanted of the list that is flagged: the share of it whose labels are wrong.
        planted: share of labels to change; 0 leaves all as they are, and flags nothing.
        seed: of all that is drawn.
        device: "cpu", "cuda" or "mps".
        on_epoch: called with (epochs done, epochs in all), over all seeds.

    Raises:
        InputError: an argument out of range, a network that cannot be trained on these data, or a
            training that diverged.
    """
    _require(epochs, seeds, batch_size, planted)
    recipe = Recipe(epochs, learning_rate, momentum, weight_decay, batch_size, find_device(device))
    precision = wanted(precision)
    y, scouts = dataset.y.numpy(), seeds // 2
    layout = hold_out(y, seeds=seeds, share=HELD_OUT, seed=seed)
    trained = [seed_of("audit", seed, k) for k in range(seeds)]

    done = 0

    def advance(trainings: int) -> None:
        nonlocal done
        done += trainings
        if on_epoch is not None:
            on_epoch(done, seeds * epochs)

    first = follow(
        model_factory, dataset, layout.seeds(0, scouts), recipe, trained[:scouts], on_epoch=advance
    )
    onset = find_onset(first.histories, layout.held_out[:scouts], seed=seed)
    doubts = Doubts(
        y, suspicion(first.histories, stop=onset.epoch), suggested(first.histories).classes
    )
    flips = plant(layout.seeds(scouts, seeds), doubts, share=planted, seed=seed)
    second = follow(model_factory, dataset, flips, recipe, trained[scouts:], on_epoch=advance)
    histories = [*first.histories, *second.histories]
    onset = find_onset(histories, layout.held_out, seed=seed)
    total = suspicion(histories, stop=onset.epoch)
    calibration = calibrate(
        total,
        np.stack([suspicion(one, stop=onset.epoch) for one in second.histories]),
        _planted(second, onset.epoch),
        wanted=precision,
        seed=seed,
    )
    return assemble(
        histories,
        total,
        onset.epoch,
        onset,
        calibration,
        dataset,
        dataset.name,
        dataset.classes,
        seed=seed,
    )


def _planted(followed: Followed, stop: int) -> np.ndarray:
    """Return the suspicion of planted flips [S, P] in the seeds that planted them."""
    if not followed.planted:
        return np.zeros((len(followed.histories), 0))
    return np.stack([suspicion(one, stop=stop) for one in followed.planted])


def _require(epochs: int, seeds: int, batch_size: int, planted: float) -> None:
    for name, count, least in (
        ("epochs", epochs, 1),
        ("batch_size", batch_size, 1),
        ("seeds", seeds, 2),
    ):
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < least:
            raise InputError(f"{name} must be a whole number of {least} or more, got {count!r}")
    if not 0 <= planted <= 0.3:
        raise InputError(f"planted must be from 0 to 0.3, got {planted!r}")
