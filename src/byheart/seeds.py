"""Seeds that name what they depend on.

Adding a factor to an experiment never shifts the random numbers of another, because every seed is
the hash of a purpose ("init", "shuffle", "labels") and of the facts that purpose depends on.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np


def seed(purpose: str, *facts: object) -> int:
    """Return the 64-bit seed of a purpose and of the facts it depends on.

    Args:
        purpose: use of the random numbers.
        *facts: JSON-serialisable facts; equal facts give equal seeds, on any machine.

    Returns:
        The first 8 bytes of SHA-256 over the canonical JSON of ``[purpose, *facts]``.
    """
    text = json.dumps([purpose, *facts], sort_keys=True, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def generator(purpose: str, *facts: object) -> np.random.Generator:
    """Return a fresh numpy generator seeded by :func:`seed`."""
    return np.random.Generator(np.random.PCG64(seed(purpose, *facts)))
