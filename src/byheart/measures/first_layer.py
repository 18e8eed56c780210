"""How much of a convolution's filters is smooth: their energy in low spatial frequencies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIGHEST = 0.25
"""Cycles per pixel up to which a frequency is low: half of what pixels can show."""


def low_frequency_energy(filters: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""Return the share of each filter's energy that lies in low spatial frequencies.

    Formula: with W_c(u, v) the discrete Fourier transform of the k x k kernel of input channel c,
    u and v in {-(k-1)/2, ..., (k-1)/2} / k cycles per pixel, and L the frequencies with
    sqrt(u^2 + v^2) <= 1/4,

        low_frequency_energy = sum_c sum_{(u,v) in L} |W_c(u, v)|^2
                               / sum_c sum_{u,v} |W_c(u, v)|^2.

    It does not change with the scale of a filter, which batch norm makes meaningless. The mean
    (u = v = 0) is one of the low frequencies. Independent weights of mean zero give |L| / k^2 in
    expectation of numerator and denominator: 5 of 25 for k = 5, 1 of 9 for k = 3.

    Args:
        filters: [..., channels, k, k] weights, in any unit, as they are applied to the input.

    Returns:
        [...] shares between 0 and 1, without unit; NaN for a filter that is zero everywhere.

    Raises:
        ValueError: the kernels are not square, or there is no channel.

    Source: A17 Figure 2 shows the filters; the statistic is ours.
    """
    if filters.ndim < 3 or filters.shape[-1] != filters.shape[-2] or not filters.shape[-3]:
        raise ValueError(f"needs filters [..., channels, k, k], got {list(filters.shape)}")
    spectrum = np.fft.fft2(np.asarray(filters, dtype=np.float64))
    energy = (np.abs(spectrum) ** 2).sum(axis=-3)
    total = energy.sum(axis=(-2, -1))
    low = (energy * low_frequencies(filters.shape[-1])).sum(axis=(-2, -1))
    shares: NDArray[np.float64] = np.divide(
        low, total, out=np.full_like(total, np.nan), where=total > 0
    )
    return shares


def low_frequencies(side: int) -> NDArray[np.bool_]:
    """Return which frequencies of a kernel of this side are low, [k, k] in the order of the FFT."""
    cycles = np.fft.fftfreq(side)
    radius = np.hypot(cycles[:, None], cycles[None, :])
    return np.asarray(radius <= HIGHEST + 1e-12)


def network_low_frequency_energy(filters: NDArray[np.floating]) -> NDArray[np.float64]:
    r"""Return the mean of :func:`low_frequency_energy` over the filters of each network.

    Formula: 1/F sum_f low_frequency_energy(filter f), over the F filters that are not zero
    everywhere.

    Args:
        filters: [..., filters, channels, k, k] weights, in any unit.

    Returns:
        [...] means between 0 and 1, without unit; NaN where all filters are zero everywhere.

    Raises:
        ValueError: the kernels are not square, or there is no channel.

    Source: A17 Figure 2 shows the filters; the statistic is ours.
    """
    shares = low_frequency_energy(filters)
    known = np.isfinite(shares)
    count = known.sum(axis=-1)
    total = np.where(known, shares, 0.0).sum(axis=-1)
    means: NDArray[np.float64] = np.divide(
        total, count, out=np.full(total.shape, np.nan), where=count > 0
    )
    return means
