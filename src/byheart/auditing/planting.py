"""Which examples each run holds out, and labels changed on purpose (planted flips)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from byheart.errors import InputError, choose
from byheart.seeds import generator

Ids = NDArray[np.int64]

KINDS = ("uniform", "confused", "ambiguous")
"""Kinds of planted flips, from those that are easiest to find to the hardest."""
AT_MOST = 0.5
"""Largest share of a class that is changed, so that networks can still learn the class."""
FEWEST = 20
"""Flips of a kind below which nothing is estimated from them."""
CONFIDENCE = 0.95
QUANTILES = np.arange(0.05, 0.96, 0.05)
NO_BOUNDS = pd.DataFrame(
    {"flips": pd.Series(dtype=int), "most_wrong": pd.Series(dtype=float)},
    pd.Index([], name="kind", dtype=object),
)
"""What :func:`bounds_of` returns without planted flips."""


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
class Planted:
    """Labels of which some were changed on purpose.

    Attributes:
        labels: [N] to train on; or targets [N, ...].
        ids: [P] examples whose labels were changed.
        true: [P] their labels before the change; or targets [P, ...].
        kinds: [P] kind of each change; see :func:`plant`.
    """

    labels: NDArray[Any]
    ids: Ids
    true: NDArray[Any]
    kinds: NDArray[np.str_]

    @property
    def before(self) -> NDArray[Any]:
        """All labels or targets as they were before the change, [N, ...]."""
        labels = self.labels.copy()
        labels[self.ids] = self.true
        return labels

    def require_trained_on(self, labels: NDArray[np.integer]) -> None:
        """Refuse labels [N] that are not those to train on; those below 0 are not known."""
        if len(labels) != len(self.labels):
            raise InputError(f"{len(self.labels)} labels were planted, and {len(labels)} are given")
        if self.labels.ndim > 1 or self.labels.dtype.kind not in "iu":
            return
        back = self.ids[labels[self.ids] == self.true]
        if len(back):
            raise InputError(
                f"the planted label of example {back[0]} was changed back to {labels[back[0]]}: "
                "give the labels that were trained on"
            )
        differ = np.flatnonzero((labels != self.labels) & (labels >= 0))
        if len(differ):
            raise InputError(
                f"example {differ[0]} has label {labels[differ[0]]}, and was planted with "
                f"{self.labels[differ[0]]}: give the labels that were trained on"
            )


def plant(
    labels: ArrayLike,
    share: float = 0.05,
    kind: str = "uniform",
    probabilities: ArrayLike | None = None,
    seed: int = 0,
) -> Planted:
    """Change some labels on purpose, to train on: how they rank bounds how many are wrong.

    Kinds: "uniform", any example gets any other label; "confused", an example of class A gets the
    label B in proportion to the mean probability of B among examples labelled A; "ambiguous",
    example and label are drawn in proportion to the probability of the label for this example;
    "all", a third of each.

    Args:
        labels: [N] classes, as whole numbers; those below 0 (as -100) are no labels. Or targets of
            any other kind, real numbers [N] or several numbers per example [N, K]: the only kind
            then is "uniform", and an example gets the target of another example.
        share: share of labels to change, above 0 and at most 0.3.
        kind: "uniform", "confused", "ambiguous" or "all".
        probabilities: [N, classes] predicted, best out of fold. Only "uniform" does without.
        seed: seed of the draw.

    Returns:
        The labels to train on, and which were changed. A class never loses more than half of its
        examples, so there may be fewer changes than asked for.

    Raises:
        InputError: an argument out of range, or one class only.
    """
    y = np.asarray(labels)
    if not 0 < share <= 0.3:
        raise InputError(f"share must be above 0 and at most 0.3, got {share!r}")
    kinds = KINDS if choose("kind", kind, (*KINDS, "all")) == "all" else (kind,)
    if y.ndim > 1 or y.dtype.kind == "f":
        return _plant_targets(y, share, kinds, seed)
    if y.dtype.kind not in "iu" or len(np.unique(y[y >= 0])) < 2:
        raise InputError("labels must be whole numbers [N] of two classes or more")
    free = y >= 0
    y = np.where(free, y, y[free][0])
    belief = _belief(y, probabilities, kinds)
    rng, count = generator("planted", seed), max(1, round(share * free.sum() / len(kinds)))
    left = (AT_MOST * np.bincount(y[free])).astype(np.int64)
    parts = []
    for name in kinds:
        order, new = _DRAWS[name](y, belief, rng)
        # The first examples of each class, as many as the class may lose.
        usable = free[order] & (new != y[order])
        order, new = order[usable], new[usable]
        earlier = pd.Series(order).groupby(y[order]).cumcount().to_numpy()
        allowed = earlier < left[y[order]]
        order, new = order[allowed][:count], new[allowed][:count]
        free[order] = False
        left -= np.bincount(y[order], minlength=len(left))
        parts.append((order, new, np.full(len(order), name)))
    ids, changed, named = (np.concatenate(column) for column in zip(*parts, strict=True))
    planted = np.array(labels, np.int64)
    planted[ids] = changed
    return Planted(planted, ids, y[ids].astype(np.int64), named)


def _plant_targets(targets: NDArray[Any], share: float, kinds: Sequence[str], seed: int) -> Planted:
    """Give some examples the target of another example, which differs from their own."""
    if kinds != ("uniform",):
        raise InputError(f"kind '{kinds[-1]}' needs classes [N]: plant targets of kind 'uniform'")
    distinct, values = np.unique(targets, axis=0, return_inverse=True)
    if len(distinct) < 2 or targets.dtype.kind not in "fiub":
        raise InputError("targets must be numbers [N] or [N, K], of which two or more differ")
    rng = generator("planted", seed)
    order, donors = rng.permutation(len(targets)), rng.permutation(len(targets))
    differ = values.reshape(-1)[order] != values.reshape(-1)[donors]
    count = max(1, round(share * len(targets)))
    ids, donors = order[differ][:count], donors[differ][:count]
    planted = targets.copy()
    planted[ids] = targets[donors]
    return Planted(planted, ids, targets[ids], np.full(len(ids), "uniform"))


def _belief(
    y: NDArray[np.integer], probabilities: ArrayLike | None, kinds: Sequence[str]
) -> NDArray[np.float64]:
    """Return the probability of each other class [N, classes]; 0 for the label."""
    if probabilities is None:
        if kinds != ("uniform",):
            raise InputError(f"kind '{kinds[-1]}' needs probabilities [N, classes]")
        return np.zeros((0, 0))
    belief = np.array(probabilities, np.float64)
    if belief.ndim != 2 or len(belief) != len(y) or belief.shape[1] <= y.max():
        raise InputError(
            f"probabilities must be [{len(y)}, classes], one column per class, got "
            f"{list(belief.shape)}"
        )
    belief[np.arange(len(y)), y] = 0
    if not (np.isfinite(belief).all() and belief.min() >= 0 and belief.any()):
        raise InputError("probabilities must be finite, 0 or more, and not all of the label")
    return belief


Drawn = tuple[Ids, Ids]


def _random(y: Ids, belief: NDArray[np.float64], rng: np.random.Generator) -> Drawn:
    classes = np.unique(y)
    at = np.searchsorted(classes, y)
    new = classes[(at + rng.integers(1, len(classes), len(y))) % len(classes)]
    order = rng.permutation(len(y))
    return order, new[order]


def _confused(y: Ids, belief: NDArray[np.float64], rng: np.random.Generator) -> Drawn:
    mass = np.stack([belief[y == k].sum(0) for k in range(belief.shape[1])])
    # Examples of a class are drawn in proportion to its mass, each with a label of its own.
    weights = mass.sum(1)[y] / np.bincount(y)[y]
    return _weighted(weights, mass[y], rng)


def _ambiguous(y: Ids, belief: NDArray[np.float64], rng: np.random.Generator) -> Drawn:
    return _weighted(belief.sum(1), belief, rng)


def _weighted(
    weights: NDArray[np.float64], belief: NDArray[np.float64], rng: np.random.Generator
) -> Drawn:
    """Draw examples in proportion to weights, without replacement, and a label for each."""
    # The largest of log w + Gumbel noise are such a sample (Efraimidis & Spirakis 2006).
    keys = np.log(np.maximum(weights, 1e-300)) + rng.gumbel(size=len(weights))
    order = np.argsort(-keys)[: int((weights > 0).sum())]
    edges = np.cumsum(belief[order], 1)
    drawn = rng.random(len(order)) * edges[:, -1]
    return order, (edges <= drawn[:, None]).sum(1).clip(max=belief.shape[1] - 1)


_DRAWS = {"uniform": _random, "confused": _confused, "ambiguous": _ambiguous}


def bounds_of(scores: NDArray[np.float64], planted: Planted) -> pd.DataFrame:
    r"""Return the largest share of wrong labels that each kind of flips admits, by ``kind``.

    Formula: min over t of u(t) / F(t). u(t) is the share of the user's labels that are at least as
    suspect as t, at the upper end of its one-sided 95% interval (Clopper & Pearson). F(t) is the
    share of flips that are, at the lower end of its interval. At most u(t) of all labels are wrong
    and that suspect. If wrong labels rank like flips, these are a share F(t) of all wrong labels.

    Args:
        scores: [N] of a training on the planted labels, higher if more suspect.
        planted: the planted labels.

    Returns:
        ``flips``, their number, and ``most_wrong``; 1 with fewer than 20 flips.
    """
    user = np.delete(scores, planted.ids)
    user = np.sort(user[~np.isnan(user)])
    rows = {}
    for kind in dict.fromkeys(planted.kinds.tolist()):
        flips = np.sort(scores[planted.ids[planted.kinds == kind]])
        flips = flips[~np.isnan(flips)]
        most = 1.0
        if len(flips) >= FEWEST and len(user):
            thresholds = np.quantile(flips, QUANTILES, method="nearest")
            above = len(flips) - np.searchsorted(flips, thresholds)
            low = stats.beta.ppf(1 - CONFIDENCE, above, len(flips) - above + 1)
            as_suspect = len(user) - np.searchsorted(user, thresholds)
            doubted = stats.beta.ppf(CONFIDENCE, as_suspect + 1, len(user) - as_suspect)
            # No interval ends below 1 if all labels are that suspect.
            doubted = np.where(as_suspect < len(user), doubted, 1.0)
            most = min(1.0, float((doubted / low).min()))
        rows[kind] = {"flips": len(flips), "most_wrong": most}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["flips", "most_wrong"])
    return table.rename_axis("kind")
