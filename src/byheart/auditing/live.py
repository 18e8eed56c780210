"""Stop a training of one's own when memorization has set in, and keep the best weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from torch import nn

from byheart.auditing.onset import smoothed, softened, weights_of
from byheart.auditing.tracker import Tracker
from byheart.errors import InputError

BACK = 2
"""By so many epochs the smoothed peak may move back when the next epochs are known."""


class OnsetWatch:
    """Says after each epoch whether memorization has set in, and keeps the weights of the best.

    The best epoch is the one with the highest smoothed accuracy on held-out examples, as in
    :func:`byheart.auditing.onset.find_onset`. Memorization has set in once ``patience`` epochs
    after it were worse. In memory are the weights of the best epoch, of the two before it and of
    those after it.

    Args:
        held_out: a tracker that gets logits and labels of the held-out examples after each epoch;
            or None, to give :meth:`end_epoch` the accuracy that you compute anyway.
        patience: epochs that must be worse.

    Raises:
        InputError: ``patience`` below 1.

    Example:
        >>> watch, model = OnsetWatch(), nn.Linear(1, 2)
        >>> [watch.end_epoch(model, accuracy=a) for a in (0.6, 0.9, 0.7, 0.4, 0.3)]
        [False, False, False, True, True]
        >>> watch.epoch
        2
    """

    def __init__(self, held_out: Tracker | None = None, *, patience: int = 2) -> None:
        if isinstance(patience, bool) or not isinstance(patience, int) or patience < 1:
            raise InputError(f"patience must be a whole number of 1 or more, got {patience!r}")
        self._held_out, self._patience = held_out, patience
        self.accuracy: list[float] = []
        self._weights: dict[int, dict[str, Any]] = {}

    @property
    def epoch(self) -> int:
        """The best epoch so far, counted from 1; 0 before the first."""
        if not self.accuracy:
            return 0
        return int(smoothed(np.array([self.accuracy]))[0].argmax()) + 1

    def end_epoch(self, model: nn.Module, *, accuracy: float | None = None) -> bool:
        """Take in an epoch, and return whether memorization has set in.

        Args:
            model: the network, whose weights are copied.
            accuracy: accuracy on held-out examples; only without a tracker of these.

        Raises:
            InputError: no accuracy, or one that is not finite; or what
                :meth:`byheart.Tracker.end_epoch` raises.
        """
        if (accuracy is None) == (self._held_out is None):
            raise InputError("give either a tracker of held-out examples, or accuracy=...")
        value = self._tracked() if accuracy is None else float(accuracy)
        if not np.isfinite(value):
            raise InputError(f"accuracy must be a finite number, got {value}")
        self.accuracy.append(value)
        now, best = len(self.accuracy), self.epoch
        self._weights[now] = copy.deepcopy(model.state_dict())
        self._weights = {e: w for e, w in self._weights.items() if e >= best - BACK}
        return now - best >= self._patience

    def restore(self, model: nn.Module) -> int:
        """Load the weights of the best epoch into the network, and return its number."""
        if not self._weights:
            raise InputError("no epoch has ended yet: call end_epoch() after each")
        epoch = min(self._weights, key=lambda number: abs(number - self.epoch))
        model.load_state_dict(self._weights[epoch])
        return epoch

    def _tracked(self) -> float:
        assert self._held_out is not None
        self._held_out.end_epoch()
        history = self._held_out.history()
        margin = history.epoch(history.epochs - 1).margin.astype(np.float64)
        seen = ~np.isnan(margin)
        weights = weights_of(history.labels)[seen]
        soft = softened(margin[None, None, seen])[0, 0]
        return float((soft * weights).sum() / weights.sum())
