"""How fast a machine does the work of a pack."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from byheart.record import Record


def clock(device: str = "cpu") -> float:
    """Return seconds: of this thread's work where it alone computes, so that others do not count.

    A machine that does something else for a moment would be taken to be slow for hours. With
    several threads, or on a device that works ahead, only the clock on the wall sees all work.

    Args:
        device: that computes.
    """
    alone = device == "cpu" and torch.get_num_threads() == 1
    return time.thread_time() if alone else time.perf_counter()


@dataclass(frozen=True)
class Paces:
    """How fast a machine does the work of packs of one shape.

    Attributes:
        start: seconds to gather the examples of a replica and to draw its network.
        epoch: seconds that an epoch takes however few replicas are left.
        replica: seconds that each replica adds to an epoch.
        kinds: seconds per operation (counted as in :func:`byheart.training.cost.work`) of each
            other kind of work.
    """

    start: float
    epoch: float
    replica: float
    kinds: Mapping[str, float]

    def as_arrays(self) -> dict[str, np.ndarray]:
        """Return the paces as what a record holds."""
        numbers = {"start": self.start, "epoch": self.epoch, "replica": self.replica}
        named = numbers | {f"kind.{kind}": pace for kind, pace in self.kinds.items()}
        return {f"rehearsal.{name}": np.array(value) for name, value in named.items()}

    @classmethod
    def from_record(cls, record: Record) -> Paces:
        """Return the paces that a rehearsal left in a record."""
        prefix = "rehearsal.kind."
        kinds = {
            name.removeprefix(prefix): float(value)
            for name, value in record.arrays.items()
            if name.startswith(prefix)
        }
        start, epoch, replica = (
            float(record.arrays[f"rehearsal.{name}"]) for name in ("start", "epoch", "replica")
        )
        return cls(start, epoch, replica, kinds)
