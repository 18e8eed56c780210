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


@dataclass(frozen=True, eq=False)
class Onset:
    """When memorization sets in, and what stopping there is worth.

    Attributes:
        epoch: of the highest accuracy on held-out examples, counted from 1: epochs trained.
        low: lower end of its interval.
        high: upper end.
        reached: whether accuracy fell again within the epochs, by the interval of ``gain``; if not,
            memorization has cost nothing yet.
        accuracy: [E] share of held-out examples classified as labelled after each epoch, mean over
            seeds; labels are the user's, so wrong ones lower it by about as much in every epoch.
        gain: accuracy at the peak less that at the end of training, by the labels at hand: what
            stopping there gains. Peaks are placed by one half of the held-out examples and judged
            by the other, both ways round.
        gain_low: lower end of its interval.
        gain_high: upper end.
        level: coverage of the intervals.
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


def find_onset(histories: Sequence[History], held_out: Ids, *, seed: int = 0) -> Onset:
    """Return when accuracy on held-out examples [S, H] is highest, by the labels at hand.

    Formula: argmax_e of a_e, the mean over seeds of the share of a seed's held-out examples that it
    classifies as labelled after epoch e, with a softened step (see :func:`softened`) and smoothed
    over epochs with weights (1, 2, 1) / 4, twice. With symmetric label noise at rate rho among K
    classes, the expected share is (1 - rho) A_e + rho (1 - A_e) / (K - 1), with A_e the accuracy by
    the true labels: an increasing function of it, which is highest at the same epoch. The interval
    is that of a bootstrap which draws seeds, and then each seed's held-out examples, with
    replacement.

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
    both = np.stack([softened(margin), margin > 0])
    halves = [both[..., ::2], both[..., 1::2]]
    soft, accuracy = both.mean((1, 3))
    peak = int(_smooth(soft[None]).argmax())
    drawn = _resampled(halves, seed)
    sizes = [half.shape[3] for half in halves]
    peaks = _smooth(np.average(drawn[:, 0], axis=0, weights=sizes)).argmax(1)
    tails = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
    low, high = np.percentile(peaks, tails, method="nearest")
    gain_low, gain_high = np.percentile(_gains(drawn), tails)
    gain = _gains(np.stack([half.mean((1, 3))[:, None] for half in halves]))[0]
    return Onset(
        epoch=peak + 1,
        low=min(int(low), peak) + 1,
        high=max(int(high), peak) + 1,
        reached=bool(gain_low > 0),
        accuracy=accuracy,
        gain=float(gain),
        gain_low=min(float(gain_low), float(gain)),
        gain_high=max(float(gain_high), float(gain)),
    )


def softened(margin: Floats) -> Floats:
    """Return accuracy whose step has a width: sigma(m / (0.3 mean |m|)), of margins [S, E, H].

    The mean is over the held-out examples of a seed and epoch: margins grow while a network trains,
    and growth alone is no accuracy. A hard step makes an epoch's accuracy noisier.
    """
    size = np.maximum(np.abs(margin).mean(2, keepdims=True), 1e-12)
    soft: Floats = expit(margin / (WIDTH * size))
    return soft


def _resampled(halves: Sequence[Floats], seed: int) -> Floats:
    """Return bootstrap curves [half, 2, RESAMPLES, E] of both accuracies, each [2, S, E, H]."""
    rng = generator("onset", seed)
    _, seeds, epochs, _ = halves[0].shape
    curves = np.zeros((2, 2, RESAMPLES, epochs))
    for row in range(RESAMPLES):
        chosen = rng.integers(seeds, size=(seeds,))
        for half, values in enumerate(halves):
            examples = values.shape[3]
            for run in chosen:
                weights = np.bincount(rng.integers(examples, size=examples), minlength=examples)
                curves[half, :, row] += values[:, run] @ weights / (seeds * examples)
    return curves


def _gains(curves: Floats) -> Floats:
    """Return what stopping gains, [B], from both accuracies of two halves, [half, 2, B, E].

    The highest point of a half looks good by luck as well: what it is worth, the other half says.
    """
    rows = np.arange(curves.shape[2])
    gains = [
        accuracy[rows, _smooth(soft).argmax(1)] - accuracy[:, -1]
        for soft, accuracy in ((curves[0, 0], curves[1, 1]), (curves[1, 0], curves[0, 1]))
    ]
    mean: Floats = (gains[0] + gains[1]) / 2
    return mean


def _smooth(curves: Floats) -> Floats:
    """Return curves [B, E] smoothed over epochs by (1, 2, 1) / 4, twice."""
    for _ in range(2):
        wide = np.pad(curves, ((0, 0), (1, 1)), mode="edge")
        curves = (wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]) / 4
    return curves
