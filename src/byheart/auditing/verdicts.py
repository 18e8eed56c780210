"""Verdicts on examples: mislabelled, rare, ambiguous or typical; and their near-duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from byheart.auditing.history import History
from byheart.auditing.planting import Ids
from byheart.auditing.scores import Scores, confidence, mean_over_epochs, over_seeds
from byheart.seeds import generator

VERDICTS = ("mislabelled", "rare", "ambiguous", "typical")

CLEARLY = 3.0
"""Mislabelled: the other label is at least this many times as probable as the label."""
LIKELY, LIKELY_ISOLATED = 1 / 3, 1 / 2
"""Mislabelled: least probability of the other label, and the same for isolated examples."""
FEWEST_OF_CLASS = 5
"""Examples of a class, below which networks can hardly learn it: none is called mislabelled."""
EITHER = 0.5
"""Ambiguous: least probability of the two labels together."""
PROBABLY = 0.5
"""A label is probably wrong from this probability on."""
NEIGHBOUR = 5
"""An example is isolated if its fifth neighbour is far away."""
FAR = 0.95
"""Far: above this quantile of the distances to the fifth neighbour of random examples."""
CLOSE = 0.25
"""Near-duplicates: closer than this many median distances to the nearest neighbour."""
CHANCE = 1e-3
"""Near-duplicates: at most this share of examples may have another one as close by chance."""
FIFTH_TO_FIRST = 6.74
"""Median volume of the ball up to the fifth neighbour, by that up to the nearest: those of gamma
distributions of shape 5 and 1, as for points at random."""
MOST_DOUBTFUL = 2_000
"""Doubtful examples whose neighbours are looked at, the most suspect first."""
RANDOM = 500
"""Random examples that say which distances are usual."""
SHIFTS = 16
"""Pairs of each random example, less one, in which agreement by column is counted."""
NUMBERS = 2**24
"""Distances that are held at once."""


@dataclass(frozen=True, eq=False)
class Support:
    """Mean probability [N] of two labels of each example before memorization.

    Attributes:
        label: of the label.
        suggested: of the suggested label, counted while it was the likeliest besides the label.
        classes: the suggested label.
    """

    label: Scores
    suggested: Scores
    classes: NDArray[np.int64]


def support(histories: Sequence[History], suggested: NDArray[np.int64], *, stop: int) -> Support:
    r"""Return how probable two labels of each example were before memorization.

    Formula: mean over seeds and epochs up to ``stop`` of p_e and of r_e = exp(-margin - loss), the
    probability of the likeliest class besides the label. The latter is multiplied by the share of
    the suggested class in the tally of these classes (see
    :class:`byheart.auditing.history.Alternatives`).
    """
    on_class, on_all = np.zeros(len(suggested)), np.zeros(len(suggested))
    for history in histories:
        classes, weights = history.alternatives.classes, history.alternatives.weights
        on_class += np.where(classes == suggested[:, None], weights, 0).sum(1)
        on_all += np.where(classes >= 0, weights, 0).sum(1)
    share = np.divide(on_class, on_all, out=np.zeros(len(suggested)), where=on_all > 0)
    likeliest = over_seeds(
        histories,
        lambda history: mean_over_epochs(history, lambda e: np.exp(-e.margin - e.loss), 0, stop),
    )
    return Support(confidence(histories, stop=stop), likeliest * share, suggested)


def kinds_of_doubt(
    suspicion: Scores, labels: Ids, isolated: NDArray[np.bool_], believed: Support
) -> NDArray[np.object_]:
    """Return the verdict [N] that each example has if it is flagged; empty where never seen.

    - *mislabelled*: another label is three times as probable as the label, and has a probability of
      a third at least (a half for isolated examples, where predictions are worth less). Examples
      of classes with fewer than 5 examples are never mislabelled;
    - *ambiguous*: the label and the other label together have half of the probability;
    - *rare*: none of these, or isolated and not mislabelled. No class is likely until the example
      is memorized; the label may be correct.

    Source: the regions of a data map, Swayamdipta et al. (2020), section 3; rare and mislabelled
    examples as two kinds of memorized ones, Feldman & Zhang (2020), section 3.
    """
    small = np.bincount(labels[labels >= 0], minlength=1)[labels] < FEWEST_OF_CLASS
    enough = np.where(isolated, LIKELY_ISOLATED, LIKELY)
    likely = (believed.suggested >= enough) & (believed.suggested >= CLEARLY * believed.label)
    clear = likely & ~small
    either = ~isolated & (believed.label + believed.suggested >= EITHER)
    kinds = np.select(
        [np.isnan(suspicion), clear, either & ~small], ["", "mislabelled", "ambiguous"], "rare"
    )
    return kinds.astype(object)


def verdicts(
    doubt: NDArray[np.object_],
    suspicion: Scores,
    flagged: NDArray[np.bool_],
    p_wrong: Scores,
) -> NDArray[np.object_]:
    """Return a verdict [N] of :data:`VERDICTS` for each example; empty where it was never seen.

    A flagged example has the verdict of its kind of doubt. Other examples are never mislabelled:
    they are typical if their margin was positive on average, else ambiguous or rare. Where reviews
    tell ``p_wrong``, no label that is probably right is mislabelled, and none that is probably
    wrong is typical.
    """
    milder = np.where(doubt == "mislabelled", "ambiguous", doubt)
    unlisted = np.where((suspicion > 0) | (p_wrong >= PROBABLY), milder, "typical")
    listed = np.where(p_wrong < PROBABLY, milder, doubt)
    found = np.where(doubt == "", "", np.where(flagged, listed, unlisted))
    return found.astype(object)


def evidence(
    asked: NDArray[np.bool_],
    labels: NDArray[np.int64],
    believed: Support | None,
    isolated: NDArray[np.bool_],
    conflicts: NDArray[np.int64],
    classes: Sequence[str],
) -> NDArray[np.object_]:
    """Return the reasons for a verdict in words, [N], where asked; of conflicts always."""
    words = np.full(len(labels), "", dtype=object)
    for i in np.flatnonzero(asked | (conflicts >= 0)):
        said = []
        if asked[i] and believed is not None:
            other = classes[believed.classes[i]]
            said.append(
                f"before memorization: P('{other}') = {believed.suggested[i]:.0%}, "
                f"P('{classes[labels[i]]}') = {believed.label[i]:.0%}"
            )
        if isolated[i]:
            said.append("far from all other examples")
        if conflicts[i] >= 0:
            twin = conflicts[i]
            said.append(f"near-duplicate of {twin}, which is labelled '{classes[labels[twin]]}'")
        words[i] = "; ".join(said)
    return words


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Near-duplicates and isolated examples.

    Attributes:
        conflicts: [N] id of the nearest near-duplicate with another label, or -1.
        isolated: [N] doubtful examples that are far from all others.
    """

    conflicts: Ids
    isolated: NDArray[np.bool_]


def find_neighbours(x: Tensor, labels: Ids, doubtful: Ids, *, seed: int = 0) -> Neighbours:
    """Find near-duplicates and isolated examples, by Euclidean distance of inputs [N, *shape].

    Identical inputs with different labels are found among all examples. Near-duplicates and
    isolated examples are looked for among the 2,000 most doubtful only. 500 random examples say
    which distances are usual. Where few columns make inputs identical or close by chance, these
    are no near-duplicates.
    """
    flat, asked = x.flatten(1), doubtful[:MOST_DOUBTFUL]
    rng = generator("neighbours", seed)
    random = rng.choice(len(labels), min(RANDOM, len(labels)), replace=False)
    # Share of random pairs that agree in each column: N times their product are expected to agree.
    pairs = [(flat[random] == flat[np.roll(random, k)]).double().mean(0) for k in range(1, SHIFTS)]
    by_chance = len(labels) * float(torch.stack(pairs).mean(0).prod()) > CHANCE
    conflicts = np.full(len(labels), -1) if by_chance else _duplicates(flat, labels)
    isolated = np.zeros(len(labels), bool)
    if len(asked) and len(labels) > NEIGHBOUR + 1:
        usual, around = _around(flat, labels, random), _around(flat, labels, asked)
        isolated[asked] = around.fifth > np.quantile(usual.fifth, FAR)
        first, fifth = np.median(usual.nearest), np.median(usual.fifth)
        # In d dimensions, a share log(2) c^d is closer than c medians by chance; (r5/r1)^d = 6.74.
        per_dimension = np.log(fifth / first) / np.log(FIFTH_TO_FIRST) if first > 0 else 0.0
        close = min(CLOSE, (CHANCE / np.log(2)) ** per_dimension)
        near = (around.other_distance > 0) & (around.other_distance < close * first)
        # Without any other label, there is no twin.
        near &= labels[asked] != labels[around.other]
        for i, j in zip(asked[near].tolist(), around.other[near].tolist(), strict=True):
            conflicts[i] = j if conflicts[i] < 0 else conflicts[i]
            conflicts[j] = i if conflicts[j] < 0 else conflicts[j]
    return Neighbours(conflicts, isolated)


@dataclass(frozen=True, eq=False)
class _Around:
    """Distances from some examples to their first and fifth neighbour, and to another label."""

    nearest: NDArray[np.float64]
    fifth: NDArray[np.float64]
    other: Ids
    other_distance: NDArray[np.float64]


def _around(flat: Tensor, labels: Ids, ids: Ids) -> _Around:
    y, asked, parts = torch.from_numpy(labels), torch.from_numpy(ids), []
    for part, distance in _squared_distances(flat, asked):
        sorted_ = distance.topk(NEIGHBOUR, largest=False).values
        distance[y[part, None] == y] = torch.inf
        parts.append((sorted_[:, 0], sorted_[:, -1], distance.argmin(1)))
    closest, fifth, other = (torch.cat(columns) for columns in zip(*parts, strict=True))
    # The expanded square has few digits for a small distance: compute it again, pair by pair.
    exact = (flat[asked].double() - flat[other].double()).norm(dim=1)
    roots = [squared.clamp(min=0).sqrt().double().numpy() for squared in (closest, fifth)]
    return _Around(roots[0], roots[1], other.numpy(), exact.numpy())


def nearest(flat: Tensor, ids: Tensor, count: int) -> Ids:
    """Return the ids [n, count] of the nearest other examples, by distance of inputs [N, D]."""
    parts = [
        distance.topk(count, largest=False).indices for _, distance in _squared_distances(flat, ids)
    ]
    found: Ids = torch.cat(parts).numpy()
    return found


def _squared_distances(flat: Tensor, ids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield some ids at a time, with their squared distances to all; to itself it is infinite."""
    squares = torch.linalg.vector_norm(flat, dim=1) ** 2
    for part in torch.split(ids, max(1, NUMBERS // len(flat))):
        distance = squares[part, None] + squares - 2 * flat[part] @ flat.T
        distance[torch.arange(len(part)), part] = torch.inf
        yield part, distance


def _duplicates(flat: Tensor, labels: Ids) -> Ids:
    """Return for each example the first with the same input and another label, or -1."""
    rows, conflicts = flat.numpy(), np.full(len(labels), -1)
    hashes = np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(rows))
    order = np.argsort(hashes, kind="stable")
    starts = np.flatnonzero(np.diff(hashes[order], prepend=hashes[order[0]] - 1))
    sizes = np.diff(starts, append=len(rows))
    for at in np.flatnonzero(sizes > 1):
        group = order[starts[at] : starts[at] + sizes[at]]
        if len(set(labels[group])) == 1:
            continue
        for i in group:
            twins = (
                j for j in group if labels[j] != labels[i] and np.array_equal(rows[i], rows[j])
            )
            conflicts[i] = next(twins, -1)
    return conflicts
