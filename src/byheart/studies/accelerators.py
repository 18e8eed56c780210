"""What well-known accelerators promise, to plan for one that is not there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from byheart.errors import InputError, choose

UTILISATION = 0.3
"""Share of the peak that a pack of small matrix products is taken to reach."""


@dataclass(frozen=True)
class Accelerator:
    """A device to plan for.

    Attributes:
        name: as its maker calls it.
        tflops: peak of dense float32 products, in 10^12 operations a second, without the
            reduced-precision (TF32) units, which PyTorch leaves off for float32 unless told.
        gib: memory, if it is known.
    """

    name: str
    tflops: float
    gib: int | None = None

    @property
    def speed(self) -> float:
        """Operations a second that a plan counts on."""
        return self.tflops * 1e12 * UTILISATION


ACCELERATORS = (
    Accelerator("V100", 15.7, 32),
    Accelerator("A100", 19.5, 80),
    Accelerator("L40S", 91.6, 48),
    Accelerator("H100", 66.9, 80),
    Accelerator("H200", 66.9, 141),
    Accelerator("RTX 3090", 35.6, 24),
    Accelerator("RTX 4090", 82.6, 24),
)
"""From the makers' data sheets; of several variants the SXM one."""


def find_accelerator(text: str) -> Accelerator:
    """Return the accelerator of that name, or one of so many TFLOP/s.

    Args:
        text: a name, in any case and with or without spaces, or a number.

    Raises:
        InputError: neither.
    """
    try:
        tflops = float(text)
    except ValueError:
        known = {_plain(one.name): one for one in ACCELERATORS}
        if _plain(text) in known:
            return known[_plain(text)]
        choose("GPU", text.upper(), [one.name for one in ACCELERATORS])
        raise AssertionError(text) from None
    if not 0 < tflops < math.inf:
        raise InputError(f"--gpu is {text}: give a speed above 0, in TFLOP/s, or a name")
    return Accelerator(f"a GPU of {tflops:g} TFLOP/s", tflops)


def _plain(name: str) -> str:
    return "".join(name.lower().replace("-", " ").replace("_", " ").split())
