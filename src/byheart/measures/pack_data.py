"""The training examples of a pack, as measures need them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class PackData:
    """Examples of R replicas, which share their inputs.

    Attributes:
        pool: [P, D] distinct inputs, flattened.
        rows: int64 [R, N] rows of the pool.
        y: int64 [R, N] labels.
    """

    pool: Tensor
    rows: Tensor
    y: Tensor

    def select(self, replicas: Tensor) -> PackData:
        """Return the examples of some replicas, by index."""
        return PackData(self.pool, self.rows[replicas], self.y[replicas])

    def columns(self, chosen: slice | Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs [R, B, D] and labels [R, B] of some examples of every replica."""
        rows = self.rows[:, chosen]
        return self.pool.index_select(0, rows.reshape(-1)).view(*rows.shape, -1), self.y[:, chosen]
