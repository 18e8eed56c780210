"""Onset: the epoch at which a network turns from patterns to memorization."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from byheart.auditing.history import History
from byheart.auditing.planting import Ids
from byheart.seeds import generator

Floats = NDArray[np.float64]

LEVEL = 0.90
RESAMPLES = 499
WIDTH = 0.3
"""Width of the softened step, in mean absolute margins."""
FEWEST_OF_CLASS = 5
"""Classes with fewer examples weigh as if they had so many: one example is no class."""


@dataclass(frozen=True, eq=False)
class Onset:
    """When memorization sets in, and what stopping there is worth.

    Attributes:
        epoch: of the highest accuracy on held-out examples, counted from 1: epochs trained.
        low: lower end of its interval.
        high: upper end.
        reached: whether accuracy fell again within the epochs, by the interval of ``gain``; if not,
            memorization has cost nothing yet.
        accuracy: [E] class-balanced accuracy on held-out examples after each epoch, over seeds;
            labels are the user's, so wrong ones lower it by about as much in every epoch.
        gain: accuracy at the peak less that at the end of training, by the labels at hand: what
            stopping there gains. Peaks are placed by one half of the held-out examples and judged
            by the other, both ways round.
        gain_low: lower end of its interval.
        gain_high: upper end.
        level: coverage of the intervals.
        never: labels of which no held-out example was classified as labelled, in any epoch: the
            networks did not learn these classes.
    """

    epoch: int
    low: int
    high: int
    reached: bool
    accuracy: NDArray[np.float64]
    gain: float
    gain_low: float
    gain_high: float
    level: float = LEVEL
    never: tuple[int, ...] = ()


def find_onset(histories: Sequence[History], held_out: Ids, *, seed: int = 0) -> Onset:
    """Return when accuracy on held-out examples [S, H] is highest, by the labels at hand.

    Formula: argmax_e of a_e, the share of all seeds' held-out examples that are classified as
    labelled after epoch e, each weighted by 1 / N_k for a class of N_k examples (see
    :func:`weights_of`), with a softened step (see :func:`softened`) and smoothed over epochs with
    weights (1, 2, 1) / 4, twice. With symmetric label noise at rate rho among K classes, the
    expected share is (1 - rho) A_e + rho (1 - A_e) / (K - 1), with A_e the accuracy by the true
    labels: an increasing function of it, which is highest at the same epoch. The interval is that
    of a bootstrap which draws seeds, and then each seed's held-out examples, with replacement.

    Without the weights, accuracy with 1% positives is highest when all is called negative.

    Source: early stopping by noisy validation labels, Chen et al. (2021), "Robustness of accuracy
    metric and its inspirations in learning with noisy labels"; the two phases, A17
    section 3.4 and Figure 7.
    """
    margin = np.stack(
        [
            [history.epoch(e).margin[ids] for e in range(history.epochs)]
            for history, ids in zip(histories, held_out, strict=True)
        ]
    ).astype(np.float64)
    weights = weights_of(histories[0].labels)[held_out]
    both = np.stack([softened(margin), margin > 0])
    halves = [(both[..., start::2], weights[:, start::2]) for start in (0, 1)]
    soft, accuracy = _weighted(both, weights)
    peak = int(smoothed(soft[None]).argmax())
    drawn = _resampled(halves, seed)
    sizes = [weighing.sum() for _, weighing in halves]
    peaks = smoothed(np.average(drawn[:, 0], axis=0, weights=sizes)).argmax(1)
    tails = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
    low, high = np.percentile(peaks, tails, method="nearest")
    gain_low, gain_high = np.percentile(_gains(drawn), tails)
    gain = _gains(np.stack([_weighted(*half)[:, None] for half in halves]))[0]
    return Onset(
        epoch=peak + 1,
        low=min(int(low), peak) + 1,
        high=max(int(high), peak) + 1,
        reached=bool(gain_low > 0),
        accuracy=accuracy,
        gain=float(gain),
        gain_low=min(float(gain_low), float(gain)),
        gain_high=max(float(gain_high), float(gain)),
        never=_never(margin, histories[0].labels[held_out]),
    )


def _never(margin: Floats, labels: Ids) -> tuple[int, ...]:
    """Return the labels [S, H] that no epoch predicts where it should, by margins [S, E, H]."""
    learned = set(labels[(margin > 0).any(1)].tolist())
    return tuple(sorted(set(labels[labels >= 0].tolist()) - learned))


def softened(margin: Floats) -> Floats:
    """Return accuracy whose step has a width: sigma(m / (0.3 mean |m|)), of margins [S, E, H].

    The mean is over the held-out examples of a seed and epoch: margins grow while a network trains,
    and growth alone is no accuracy. A hard step makes an epoch's accuracy noisier.
    """
    size = np.maximum(np.abs(margin).mean(2, keepdims=True), 1e-12)
    soft: Floats = expit(margin / (WIDTH * size))
    return soft


def weights_of(labels: Ids) -> Floats:
    """Return the weight [N] of each example, with which all classes weigh the same.

    A class of fewer than 5 examples weighs less than others, in proportion. Labels of -1 weigh 0.
    """
    counts = np.bincount(labels[labels >= 0], minlength=1)
    weights = np.where(labels < 0, 0.0, 1 / np.maximum(counts, FEWEST_OF_CLASS)[labels])
    scaled: Floats = weights / weights.mean()
    return scaled


def _weighted(values: Floats, weights: Floats) -> Floats:
    """Return the weighted mean [2, E] of both accuracies [2, S, E, H] over seeds and examples."""
    mean: Floats = np.einsum("aseh,sh->ae", values, weights) / weights.sum()
    return mean


def _resampled(halves: Sequence[tuple[Floats, Floats]], seed: int) -> Floats:
    """Return bootstrap curves [half, 2, RESAMPLES, E] of both accuracies [2, S, E, H]."""
    rng = generator("onset", seed)
    _, seeds, epochs, _ = halves[0][0].shape
    curves = np.zeros((2, 2, RESAMPLES, epochs))
    for row in range(RESAMPLES):
        chosen = rng.integers(seeds, size=(seeds,))
        for half, (values, weights) in enumerate(halves):
            examples, total = values.shape[3], 0.0
            for run in chosen:
                times = np.bincount(rng.integers(examples, size=examples), minlength=examples)
                weighing = times * weights[run]
                curves[half, :, row] += values[:, run] @ weighing
                total += weighing.sum()
            curves[half, :, row] /= total
    return curves


def _gains(curves: Floats) -> Floats:
    """Return what stopping gains, [B], from both accuracies of two halves, [half, 2, B, E].

    The highest point of a half looks good by luck as well: what it is worth, the other half says.
    """
    rows = np.arange(curves.shape[2])
    gains = [
        accuracy[rows, smoothed(soft).argmax(1)] - accuracy[:, -1]
        for soft, accuracy in ((curves[0, 0], curves[1, 1]), (curves[1, 0], curves[0, 1]))
    ]
    mean: Floats = (gains[0] + gains[1]) / 2
    return mean


def smoothed(curves: Floats) -> Floats:
    """Return curves [B, E] smoothed over epochs by (1, 2, 1) / 4, twice."""
    for _ in range(2):
        wide = np.pad(curves, ((0, 0), (1, 1)), mode="edge")
        curves = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
    return curves
