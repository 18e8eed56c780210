"""What a reader of an audit should know of the data and the trainings, in a sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from byheart.auditing.kinds import FEWEST
from byheart.auditing.layout import Ids
from byheart.auditing.onset import Onset


def remarks(
    labels: Ids,
    classes: Sequence[str],
    gaps: NDArray[np.int64],
    onset: Onset | None,
    *,
    flips: int,
    calibrated: bool,
) -> list[str]:
    """Return the sentences.

    Args:
        labels: [N]; -1 for an example that was never seen.
        classes: name of each class.
        gaps: [S, E] how many examples each seed and epoch did not see.
        onset: if it was found.
        flips: how many were planted, over all seeds.
        calibrated: whether precision and recall were estimated from them.
    """
    notes = []
    counts = np.bincount(labels[labels >= 0], minlength=len(classes))
    empty = [name for name, count in zip(classes, counts, strict=True) if count == 0]
    if empty:
        notes.append(f"classes without examples: {', '.join(empty)}")
    unseen = int((labels < 0).sum())
    if unseen:
        notes.append(f"{unseen} examples were never seen, and have no score")
    missed = int((gaps > unseen).sum())
    # Trainings that look for an onset are the audit's own: they miss nothing but what they planted.
    if missed and onset is None:
        notes.append(
            f"{missed} epochs, over all seeds, did not see every example: gaps are left out"
        )
    if not calibrated:
        notes.append(_uncalibrated(flips))
    if onset is not None and not onset.reached:
        notes.append(
            "accuracy on held-out examples does not fall by more than chance within the epochs: "
            "memorization, if any, has cost nothing yet"
        )
    return notes


def _uncalibrated(flips: int) -> str:
    unknown = "precision and recall are not known, and nothing is flagged"
    if not flips:
        return f"no flips were planted: {unknown}"
    planted = "1 flip was planted" if flips == 1 else f"{flips} flips were planted"
    if flips >= FEWEST:
        return (
            f"{planted}, and they look hardly more suspect than the labels as they are: {unknown}; "
            "train until the network has learned something, or look whether most labels are wrong"
        )
    return (
        f"{planted}, over all seeds, which is too few: {unknown}; plant {FEWEST} or more, with a "
        "larger share of labels, more seeds or more examples"
    )
