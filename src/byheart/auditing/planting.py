"""Planted flips: labels changed on purpose, in the way in which the user's own seem to be wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.auditing.layout import Ids, Layout
from byheart.auditing.scores import Scores
from byheart.seeds import generator

SMOOTHING = 0.1
"""Share of flips that are drawn from all pairs of classes alike."""
CONCENTRATED = 0.25
"""Share of all pairs of classes that may hold more than their part of doubts, for a confusion."""
AT_MOST = 0.5
"""Share of a class that is changed at most, so that the class can still be learned."""


@dataclass(frozen=True, eq=False)
class Doubts:
    """What trainings without planted flips thought of the user's labels.

    Attributes:
        labels: [N] the user's.
        suspicion: [N]; above 0 where the networks disbelieved the label.
        suggested: [N] the label that they believed in most besides it.
    """

    labels: Ids
    suspicion: Scores
    suggested: Ids

    @property
    def believed(self) -> Ids:
        """The class that each example is taken to be of, [N].

        That is its label, unless the networks disbelieved it and suggested a class that it is often
        confused with. Where they suggest any other class, the example may as well be a hard one:
        left out, flips would all be of easy examples, and so would be found more often than wrong
        labels are.
        """
        doubted = (self.suspicion > 0) & self.are_confused(self.suggested, self.labels)
        return np.where(doubted, self.suggested, self.labels)

    def are_confused(self, sources: Ids, labels: Ids) -> NDArray[np.bool_]:
        """Return whether each source is confused with each label more than classes are on average.

        A pair of a suggested class and a label weighs as much as the squared suspicion of the
        examples that are doubted so; confused are those above the mean of all pairs, if these are a
        quarter of them at most. If they are more, labels are wrong in no particular way, and no
        pair is called confused.

        Args:
            sources: classes, of any shape.
            labels: of the same shape.
        """
        base = int(max(self.labels.max(), self.suggested.max(), labels.max(initial=0))) + 1
        weights = np.maximum(np.nan_to_num(self.suspicion), 0) ** 2
        pairs, at = np.unique(self.suggested * base + self.labels, return_inverse=True)
        mass = np.bincount(at, weights, len(pairs))
        classes = len(np.unique(self.labels[self.labels >= 0]))
        asked = sources * base + labels
        place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
        known = pairs[place] == asked
        every = classes * (classes - 1)
        above = mass * every > mass.sum()
        if above.sum() > CONCENTRATED * every:
            return np.zeros(asked.shape, bool)
        found: NDArray[np.bool_] = known & above[place]
        return found


def mirrored(doubts: Doubts, sources: Ids, labels: Ids) -> Scores:
    """Return how many flips each example stands for that could not be planted, [N].

    A flip is never planted on an example that seems to deserve its new label, since that may be
    its label's mending. Of those whose labels are right all the same, wrong labels have their part:
    a 7 that looks like a 1, and is labelled 1. Such wrong labels look right to every network.

    Formula: where s_i > 0, the number of flips from the label of example i to the one suggested
    for it, over the number of examples with its label; 0 elsewhere.

    Args:
        doubts: that the flips were modelled on.
        sources: the class that each flip was taken to be of, of any shape.
        labels: its new label, of the same shape.
    """
    base = int(max(doubts.labels.max(), doubts.suggested.max(), labels.max(initial=0))) + 1
    pairs, counts = np.unique(sources * base + labels, return_counts=True)
    if not len(pairs):
        return np.zeros(len(doubts.labels))
    asked = doubts.labels * base + doubts.suggested
    place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
    flips = np.where(pairs[place] == asked, counts[place], 0)
    alike = np.bincount(doubts.labels, minlength=base)[doubts.labels]
    found: Scores = np.where(doubts.suspicion > 0, flips / alike, 0.0)
    return found


def plant(layout: Layout, doubts: Doubts, *, share: float, seed: int) -> Layout:
    """Draw flips for each seed of a layout.

    A flip is modelled on a doubtful example: it has that example's label, on one of the class that
    the networks would have put it in. Doubtful examples are drawn in proportion to their suspicion,
    so that classes are confused as they are in the user's own labels; a tenth of all flips have a
    class and a label at random. Recall that is measured on flips of any other kind would be that of
    another kind of mistake: those between look-alikes are harder to find.

    Args:
        layout: whose held-out examples are left alone.
        doubts: of trainings before.
        share: of examples to flip, per seed; fewer where classes are too small.
        seed: of the draw.
    """
    rng = generator("planted", seed)
    count = round(share * len(doubts.labels))
    drawn = [_flips(held_out, doubts, count, rng) for held_out in layout.held_out]
    fewest = min(len(ids) for ids, _ in drawn)
    return Layout(
        layout.held_out,
        np.stack([ids[:fewest] for ids, _ in drawn]),
        np.stack([labels[:fewest] for _, labels in drawn]),
    )


def _flips(held_out: Ids, doubts: Doubts, count: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Return ids and their new labels, in random order."""
    sources, labels = _kinds(doubts, count, rng)
    believed = doubts.believed
    free = np.ones(len(believed), bool)
    free[held_out] = False
    ids, changed = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k in np.unique(sources):
        candidates = rng.permutation(np.flatnonzero(free & (believed == k)))
        wanted = labels[sources == k][: int(AT_MOST * len(candidates))]
        chosen = candidates[: len(wanted)]
        # An example that is doubted may have the label already, or deserve it.
        deserved = (doubts.suspicion[chosen] > 0) & (doubts.suggested[chosen] == wanted)
        new = (doubts.labels[chosen] != wanted) & ~deserved
        ids.append(chosen[new])
        changed.append(wanted[new])
    order = rng.permutation(sum(len(one) for one in ids))
    return np.concatenate(ids)[order], np.concatenate(changed)[order]


def _kinds(doubts: Doubts, count: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Draw the class of the example to flip, and its new label, [count] each."""
    classes = np.unique(doubts.labels)
    at = rng.integers(len(classes), size=count)
    step = rng.integers(1, len(classes), count)
    source, label = classes[at], classes[(at + step) % len(classes)]
    weights = np.maximum(np.nan_to_num(doubts.suspicion), 0)
    if weights.any():
        model = rng.choice(len(weights), size=count, p=weights / weights.sum())
        modelled = rng.random(count) >= SMOOTHING
        source = np.where(modelled, doubts.suggested[model], source)
        label = np.where(modelled, doubts.labels[model], label)
    return source, label
