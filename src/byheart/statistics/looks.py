"""Looks at the data of a study that adds seeds until its claims are decided."""

from __future__ import annotations


def look_seeds(first: int, most: int) -> tuple[int, ...]:
    """Return the numbers of seeds at which the claims are judged: first, twice that, and so on.

    Args:
        first: number of seeds of the first look.
        most: largest number of seeds.
    """
    seeds = [first]
    while 2 * seeds[-1] <= most:
        seeds.append(2 * seeds[-1])
    return tuple(seeds)


def share_of_look(look: int) -> float:
    r"""Return the share of the error rate that look 1, 2, ... may use.

    Formula: \(2^{-look}\). The shares of all looks add up to less than 1, however many follow.
    """
    return 0.5**look
