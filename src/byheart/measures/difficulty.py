"""P(correct): how hard each example is, and whether some are harder than others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Difficulty:
    """P(correct) of each example over K independent runs, and its over-dispersion.

    Attributes:
        p_correct: [N] fraction of runs that classify the example as labelled.
        over_dispersion: variance of P(correct) over the binomial variance at the same mean.
        within_classes: the same within the classes of the labels, and given each run's accuracy on
            the class: exactly 1 in expectation if a class's examples are equally hard.
    """

    p_correct: NDArray[np.float64]
    over_dispersion: float
    within_classes: float


def difficulty(correct: NDArray[np.bool_], labels: NDArray[np.int64]) -> Difficulty:
    r"""Measure P(correct) and its over-dispersion.

    Formula: with P_x the mean of ``correct`` over the K runs and p its mean over x,

        over_dispersion = Var_x(P_x) / (p (1 - p) / K),
        within_classes  = sum_c (N_c - 1) Var_{x in c}(P_x)
                          / sum_c N_c sum_k a_kc (1 - a_kc) / K^2,

    where a_kc is the accuracy of run k on the N_c examples labelled c and Var has N - 1 in its
    denominator. The second denominator is the exact expectation of the numerator if, within each
    run and class, every set of examples is equally likely to be the right ones. Without it a
    network that knows only the class prior, and so gets all of the commonest class right, would
    count as finding its examples easy.

    Args:
        correct: [K, N] bool.
        labels: [N] the labels the runs were trained on.

    Returns:
        The difficulty, fractions and ratios without unit; a ratio is NaN where no run errs or none
        is right (no spread is possible).

    Raises:
        ValueError: fewer than 2 runs or 2 examples, or shapes that do not fit.

    Source: A17 section 3.1 and Figure 1.
    """
    if correct.ndim != 2 or correct.shape[1:] != labels.shape or min(correct.shape) < 2:
        raise ValueError(
            f"needs correct [K, N] and labels [N] with K, N >= 2, got {correct.shape}, "
            f"{labels.shape}"
        )
    runs = len(correct)
    p_correct = correct.mean(axis=0)
    mean = float(p_correct.mean())
    spread = expected = 0.0
    for label in np.unique(labels):
        of_class = correct[:, labels == label]
        size = of_class.shape[1]
        if size > 1:
            accuracy = of_class.mean(axis=1)
            spread += (size - 1) * float(of_class.mean(axis=0).var(ddof=1))
            expected += size * float((accuracy * (1 - accuracy)).sum()) / runs**2
    return Difficulty(
        p_correct,
        _ratio(float(p_correct.var(ddof=1)), mean * (1 - mean) / runs),
        _ratio(spread, expected),
    )


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator > 0 else float("nan")
