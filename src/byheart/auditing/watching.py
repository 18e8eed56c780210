"""What is seen of a pack in training: a tracker per replica, and one for what it planted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from byheart.auditing.history import History
from byheart.auditing.planting import Ids, Layout
from byheart.auditing.tracker import Tracker


class Watch:
    """Trackers of the user's labels and of planted ones.

    Args:
        labels: [N] the user's.
        layout: what each seed plants.
        seeds: rows of the layout that train in this pack.
    """

    def __init__(self, labels: Ids, layout: Layout, seeds: Sequence[int]) -> None:
        self._labels = labels
        self._planted_labels = layout.planted_labels[list(seeds)]
        planted = layout.planted.shape[1]
        # Where an id stands among those that a replica planted; -1 if it did not plant it.
        self._place = np.full((len(seeds), len(labels)), -1)
        for row, seed in enumerate(seeds):
            self._place[row, layout.planted[seed]] = np.arange(planted)
        self._own = [Tracker(len(labels)) for _ in seeds]
        self._planted = [Tracker(planted) for _ in seeds] if planted else []

    def saw(self, ids: Tensor, logits: Tensor) -> None:
        """Take in what every replica said of its batch.

        Args:
            ids: [R, B].
            logits: [R, B, classes], finite.
        """
        for row, (i, z) in enumerate(zip(ids.numpy(), logits.numpy(force=True), strict=True)):
            place = self._place[row, i]
            own, planted = np.flatnonzero(place < 0), np.flatnonzero(place >= 0)
            self._own[row].update(i[own], z[own], self._labels[i[own]])
            if len(planted):
                at = place[planted]
                self._planted[row].update(at, z[planted], self._planted_labels[row, at])

    def end_epoch(self) -> None:
        """Add the epoch to every history."""
        for tracker in (*self._own, *self._planted):
            tracker.end_epoch()

    def state(self) -> list[dict[str, Any]]:
        """Return the state of every tracker."""
        return [tracker.state_dict() for tracker in (*self._own, *self._planted)]

    def restore(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take over what :meth:`state` gave."""
        for tracker, state in zip((*self._own, *self._planted), states, strict=True):
            tracker.load_state_dict(state)

    def histories(self) -> list[History]:
        """Return what was seen of the user's labels, one per replica."""
        return [tracker.history() for tracker in self._own]

    def planted(self) -> list[History]:
        """Return what was seen of planted labels, one per replica; none if none were planted."""
        return [tracker.history() for tracker in self._planted]
