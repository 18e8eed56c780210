"""The random numbers of a search."""

from __future__ import annotations

import torch
from torch import Tensor

from byheart.seeds import seed as seed_of

BLOCK = 8
"""Iterations drawn at a time, as far as :data:`HELD` allows."""
HELD = 2**18
"""Numbers to draw at a time for one example."""


class OwnNoise:
    """Noise from a generator for each example, drawn only while the example is asked for.

    So what one example is searched with depends neither on the others nor on how they are batched,
    and few searched examples cost few random numbers.
    """

    def __init__(self, seed: int, numbers: Tensor, x: Tensor) -> None:
        """Prepare for inputs ``x``, [N, *shape], with a number [N] of its own for each."""
        self.seed, self.numbers = seed, numbers.tolist()
        self.shape, self.dtype = x.shape[1:], x.dtype
        self.block = max(1, min(BLOCK, HELD // self.shape.numel()))
        self.streams: dict[int, torch.Generator] = {}
        self.rows = torch.zeros(len(self.numbers), dtype=torch.int64)
        self.drawn = torch.empty(0)
        self.iteration = 0

    def __call__(self, examples: Tensor) -> Tensor:
        """Return the noise of the next iteration, [*examples, *shape].

        Args:
            examples: indices; once left out, an example does not come back.
        """
        wanted, at = examples.flatten().cpu(), self.iteration % self.block
        if at == 0:
            self._draw(wanted)
        self.iteration += 1
        return self.drawn[self.rows[wanted], at].reshape(*examples.shape, *self.shape)

    def _draw(self, wanted: Tensor) -> None:
        self.drawn = torch.empty(len(wanted), self.block, *self.shape, dtype=self.dtype)
        self.rows[wanted] = torch.arange(len(wanted))
        for row, example in zip(self.drawn, wanted.tolist(), strict=True):
            torch.randn(row.shape, generator=self._stream(example), dtype=self.dtype, out=row)

    def _stream(self, example: int) -> torch.Generator:
        if example not in self.streams:
            number = seed_of("lass", self.seed, self.numbers[example]) % 2**63
            self.streams[example] = torch.Generator().manual_seed(number)
        return self.streams[example]
