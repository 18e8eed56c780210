"""The training loop of a pack."""

from __future__ import annotations

from collections.abc import Callable

from byheart.data.dataset import Dataset
from byheart.record import Record
from byheart.training.packs import Pack


def train(
    pack: Pack,
    dataset: Dataset,
    *,
    device: str = "cpu",
    on_epoch: Callable[[int, int], None] | None = None,
) -> list[Record]:
    """Train a pack and return one record per trial, in order.

    Args:
        pack: what to train.
        dataset: the clean source that ``trial.data.fingerprint`` names.
        device: "cpu", "cuda" or "mps".
        on_epoch: called with (epochs done, epoch budget) after every epoch.
    """
    raise RuntimeError("being written")
