"""``byheart.audit``: what does *my* network know by heart, and whose labels look wrong?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from byheart.auditing.following import Recipe, follow
from byheart.auditing.history import History
from byheart.auditing.layout import draw_layout
from byheart.auditing.onset import Onset, find_onset
from byheart.auditing.suspicion import suspicion
from byheart.auditing.table import scores
from byheart.auditing.tracker import Tracker
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.networks.foreign import Source
from byheart.seeds import seed as seed_of
from byheart.training.device import find_device

HELD_OUT = 0.10
"""Share of examples that each seed does not train on."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What was found.

    Attributes:
        name: of the data set.
        classes: name of each class.
        table: one row per example, by ``id``: ``label``, ``suspicion`` (the higher, the more
            suspect), ``suggested`` (another label), and one column per score.
        onset: when memorization sets in.
        window: the epochs that suspicion is averaged over: the first so many.
        seeds: number of trainings.
        epochs: of each.
    """

    name: str
    classes: tuple[str, ...]
    table: pd.DataFrame
    onset: Onset | None
    window: int
    seeds: int
    epochs: int

    @classmethod
    def from_tracker(
        cls,
        trackers: Tracker | History | Sequence[Tracker | History],
        *,
        window: int | None = None,
        name: str = "training",
        classes: Sequence[str] | None = None,
    ) -> Audit:
        """Return the audit of trainings that were followed by trackers, one per seed.

        Args:
            trackers: or what they left, one or several on the same examples.
            window: the epochs that suspicion is averaged over, the first so many; all if not given.
            name: of the data set.
            classes: name of each class; "0", "1", ... if not given.

        Raises:
            InputError: no epoch ended, seeds with other examples or labels, or a window that is
                empty or longer than the training.
        """
        each = [trackers] if isinstance(trackers, Tracker | History) else list(trackers)
        histories = [one.history() if isinstance(one, Tracker) else one for one in each]
        if not histories:
            raise InputError("from_tracker() needs a tracker, or one for each of several seeds")
        count = histories[0].n_classes
        names = tuple(classes) if classes else tuple(str(k) for k in range(count))
        if len(names) != count:
            raise InputError(f"classes must be {count} names, one per output, got {len(names)}")
        epochs = min(one.epochs for one in histories)
        return _audit(histories, epochs if window is None else window, None, name, names)


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
    seed: int = 0,
    device: str = "cpu",
    on_epoch: Callable[[int, int], None] | None = None,
) -> Audit:
    """Train a network a few times, and return what it knows by heart and whose labels look wrong.

    Args:
        model_factory: a callable that returns a fresh ``torch.nn.Module``, which maps [N, *shape]
            to [N, classes]; or "package.module:callable".
        dataset: the user's examples, with the labels they have.
        epochs: passes over the data, of each training.
        seeds: number of trainings, 2 or more.
        learning_rate: of SGD.
        momentum: from 0 to below 1.
        weight_decay: L2 coefficient.
        batch_size: examples per step.
        seed: of all that is drawn.
        device: "cpu", "cuda" or "mps".
        on_epoch: called with (epochs done, epochs in all).

    Raises:
        InputError: an argument out of range, a network that cannot be trained on these data, or a
            training that diverged.
    """
    _require_positive(epochs=epochs, batch_size=batch_size)
    if seeds < 2:
        raise InputError(f"seeds must be 2 or more, got {seeds}")
    if not 0 < learning_rate < float("inf"):
        raise InputError(f"learning_rate must be a number above 0, got {learning_rate!r}")
    if not (0 <= momentum < 1 and weight_decay >= 0):
        raise InputError(
            f"momentum must be from 0 to below 1 and weight_decay 0 or more, got {momentum!r} and "
            f"{weight_decay!r}"
        )
    recipe = Recipe(epochs, learning_rate, momentum, weight_decay, batch_size, find_device(device))
    layout = draw_layout(dataset.y.numpy(), seeds=seeds, held_out=HELD_OUT, planted=0.0, seed=seed)
    trained = [seed_of("audit", seed, k) for k in range(seeds)]
    followed = follow(model_factory, dataset, layout, recipe, trained, on_epoch=on_epoch)
    onset = find_onset(followed.histories, layout.held_out, seed=seed)
    return _audit(followed.histories, onset.epoch, onset, dataset.name, dataset.classes)


def _audit(
    histories: Sequence[History],
    window: int,
    onset: Onset | None,
    name: str,
    classes: tuple[str, ...],
) -> Audit:
    table = scores(histories)
    table.insert(1, "suspicion", suspicion(histories, stop=window).astype(np.float32))
    epochs = min(one.epochs for one in histories)
    return Audit(name, classes, table, onset, window, len(histories), epochs)


def _require_positive(**counts: int) -> None:
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < 1:
            raise InputError(f"{name} must be a whole number of 1 or more, got {count!r}")
