"""Which examples each run holds out, and which labels it changes on purpose (planted flips)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from byheart.auditing.scores import Scores
from byheart.seeds import generator

Ids = NDArray[np.int64]

SMOOTHING = 0.1
"""Share of flips that have a random class and label."""
CONCENTRATED = 0.25
"""If more than this share of all pairs of classes is above average, no pair counts as confused."""
AT_MOST = 0.5
"""Largest share of a class that is changed, so that networks can still learn the class."""


@dataclass(frozen=True, eq=False)
class Layout:
    """What S runs do with N examples.

    Attributes:
        held_out: [S, H] ids that a run does not train on.
        planted: [S, P] ids that it trains on with another label.
        planted_labels: [S, P] the other label.
    """

    held_out: Ids
    planted: Ids
    planted_labels: Ids

    def seeds(self, start: int, stop: int) -> Layout:
        """Return the layout of some of the seeds."""
        rows = slice(start, stop)
        return Layout(self.held_out[rows], self.planted[rows], self.planted_labels[rows])

    def trained(self, seed: int, examples: int) -> Ids:
        """Return the ids that a run trains on, planted ones included, ascending."""
        mask = np.ones(examples, bool)
        mask[self.held_out[seed]] = False
        return np.flatnonzero(mask)

    def labels(self, seed: int, y: Ids) -> Ids:
        """Return the labels [N] that a run trains on."""
        changed = y.copy()
        changed[self.planted[seed]] = self.planted_labels[seed]
        return changed


def hold_out(y: Ids, *, seeds: int, share: float, seed: int) -> Layout:
    """Draw the examples that each run holds out; nothing is planted.

    Each run holds out the next stretch of one random order of all examples. As long as
    ``seeds * share`` is at most 1, no example is held out twice.
    """
    order = generator("held out", seed).permutation(len(y))
    count = round(share * len(y))
    at = np.arange(count) + np.arange(seeds)[:, None] * count
    none = np.zeros((seeds, 0), np.int64)
    return Layout(order[at % len(y)], none, none)


@dataclass(frozen=True, eq=False)
class FlipModel:
    """What flips are modelled on: how runs without flips judged the user's labels.

    Attributes:
        labels: [N] the user's.
        suspicion: [N] above 0 where the label is doubtful: another class led.
        suggested: [N] the likeliest class besides the label.
    """

    labels: Ids
    suspicion: Scores
    suggested: Ids

    @property
    def likely_classes(self) -> Ids:
        """The class that each example is taken to be of, [N].

        It is the label, unless the label is doubtful and often confused with the suggested class.
        Without such hard examples, flips would be easier to find than wrong labels are.
        """
        confused = (self.suspicion > 0) & self.are_confused(self.suggested, self.labels)
        return np.where(confused, self.suggested, self.labels)

    def are_confused(self, sources: Ids, labels: Ids) -> NDArray[np.bool_]:
        """Return which pairs of a true class and a label are confused more often than average.

        A pair of a suggested class and a label weighs as much as the squared suspicion of its
        doubtful examples. Pairs above the mean of all pairs are confused. If more than a quarter of
        all pairs are above it, mistakes follow no pattern, and no pair counts as confused.
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
        confused: NDArray[np.bool_] = known & above[place]
        return confused


def excluded_flips(model: FlipModel, sources: Ids, labels: Ids) -> Scores:
    """Return how many flips each example stands for that could not be planted, [N].

    No flip is planted on an example that looks like its new label: that label may be the right one.
    But some wrong labels are of this kind (a 7 that looks like a 1 and is labelled 1), and every
    network believes them. They are estimated from the examples where no flip was allowed.

    Formula: where s_i > 0, the number of flips from the label of example i to the class suggested
    for it, over the number of examples with its label; 0 elsewhere. ``sources`` are the classes
    that flips were taken to be of, ``labels`` the new ones.
    """
    base = int(max(model.labels.max(), model.suggested.max(), labels.max(initial=0))) + 1
    pairs, counts = np.unique(sources * base + labels, return_counts=True)
    if not len(pairs):
        return np.zeros(len(model.labels))
    asked = model.labels * base + model.suggested
    place = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
    flips = np.where(pairs[place] == asked, counts[place], 0)
    same_label = np.bincount(model.labels, minlength=base)[model.labels]
    excluded: Scores = np.where(model.suspicion > 0, flips / same_label, 0.0)
    return excluded


def plant(layout: Layout, model: FlipModel, *, share: float, seed: int) -> Layout:
    """Draw flips for each run of a layout; fewer than ``share`` where classes are too small.

    Each flip copies a doubtful example: it gives that example's label to an example of the class
    that was suggested for it. Doubtful examples are drawn in proportion to their suspicion, so that
    flips confuse the same classes as the user's labels do. A tenth of all flips have a random class
    and label. Flips of another kind would give the recall of another kind of mistake: flips between
    similar classes are harder to find.
    """
    rng = generator("planted", seed)
    count = round(share * len(model.labels))
    drawn = [_flips(held_out, model, count, rng) for held_out in layout.held_out]
    fewest = min(len(ids) for ids, _ in drawn)
    return Layout(
        layout.held_out,
        np.stack([ids[:fewest] for ids, _ in drawn]),
        np.stack([labels[:fewest] for _, labels in drawn]),
    )


def _flips(
    held_out: Ids, model: FlipModel, count: int, rng: np.random.Generator
) -> tuple[Ids, Ids]:
    """Return ids and their new labels, in random order."""
    sources, labels = _pairs(model, count, rng)
    classes = model.likely_classes
    free = np.ones(len(classes), bool)
    free[held_out] = False
    ids, changed = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for k in np.unique(sources):
        candidates = rng.permutation(np.flatnonzero(free & (classes == k)))
        wanted = labels[sources == k][: int(AT_MOST * len(candidates))]
        chosen = candidates[: len(wanted)]
        # A doubtful example may have the label already, or deserve it.
        deserved = (model.suspicion[chosen] > 0) & (model.suggested[chosen] == wanted)
        new = (model.labels[chosen] != wanted) & ~deserved
        ids.append(chosen[new])
        changed.append(wanted[new])
    order = rng.permutation(sum(len(part) for part in ids))
    return np.concatenate(ids)[order], np.concatenate(changed)[order]


def _pairs(model: FlipModel, count: int, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Draw the class of the example to flip, and its new label, [count] each."""
    classes = np.unique(model.labels)
    at = rng.integers(len(classes), size=count)
    step = rng.integers(1, len(classes), count)
    source, label = classes[at], classes[(at + step) % len(classes)]
    weights = np.maximum(np.nan_to_num(model.suspicion), 0)
    if weights.any():
        copied = rng.choice(len(weights), size=count, p=weights / weights.sum())
        is_copy = rng.random(count) >= SMOOTHING
        source = np.where(is_copy, model.suggested[copied], source)
        label = np.where(is_copy, model.labels[copied], label)
    return source, label
