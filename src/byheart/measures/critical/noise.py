"""The random numbers of a search."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from byheart.seeds import seed as seed_of

BLOCK = 8
"""Iterations drawn at a time."""


class OwnNoise:
    """Noise from a generator for each example, drawn only while the example is asked for.

    So what one example is searched with depends neither on the others nor on how they are batched,
    and few searched examples cost few random numbers.
    """

    def __init__(self, seed: int, numbers: Tensor, x: Tensor) -> None:
        """Prepare for inputs ``x``, [N, *shape], with a number [N] of its own for each."""
        self.seed, self.numbers = seed, numbers.tolist()
        self.shape, self.dtype = x.shape[1:], x.dtype
        self.streams: dict[int, Iterator[Tensor]] = {}

    def __call__(self, examples: Tensor) -> Tensor:
        """Return the noise of some examples, [*examples, *shape]."""
        drawn = [next(self._stream(int(example))) for example in examples.flatten().tolist()]
        return torch.stack(drawn).reshape(*examples.shape, *self.shape)

    def _stream(self, example: int) -> Iterator[Tensor]:
        if example not in self.streams:
            self.streams[example] = self._draws(example)
        return self.streams[example]

    def _draws(self, example: int) -> Iterator[Tensor]:
        number = seed_of("lass", self.seed, self.numbers[example]) % 2**63
        generator = torch.Generator().manual_seed(number)
        while True:
            yield from torch.randn((BLOCK, *self.shape), generator=generator, dtype=self.dtype)
