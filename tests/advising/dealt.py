"""Deals pasted code the random numbers that the judged training drew."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.advising.regularized import BATCH, task
from torch import Tensor, nn

from byheart.seeds import generator
from byheart.training.regularizers.adversarial import SEARCH_STEPS
from byheart.training.regularizers.base import Regularizer
from byheart.training.regularizers.noise import RowNoise

LIKE = torch.zeros(0, dtype=torch.float64)
Rows = Callable[[int], Tensor]


def rows(purpose: str, seed: int, draw: str, width: int) -> Rows:
    """Return a function that takes the next rows [count, width] of a replica."""
    noise = RowNoise([seed], purpose, draw, width, LIKE)
    return lambda count: noise.take(count)[0]


class Layers:
    """Deals each row of hidden units out to the layers, in the order in which they compute."""

    def __init__(self, take: Rows) -> None:
        self._take = take
        self._left = torch.zeros(0, 0)

    def __call__(self, like: Tensor) -> Tensor:
        if not self._left.numel():
            self._left = self._take(len(like))
        own, self._left = self._left[:, : like.shape[1]], self._left[:, like.shape[1] :]
        return own


def deal(monkeypatch: pytest.MonkeyPatch, kind: type[Regularizer], seed: int) -> None:
    """Put the draws of a replica in the place of those of torch."""
    how = _DEALERS.get(kind.name)
    if how is not None:
        how(monkeypatch, kind, seed)


def _dropout(take: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def dropout(h: Tensor, p: float, training: bool = True) -> Tensor:
        return h * (take(h) >= p) / (1 - p) if training else h

    return dropout


def _hidden_dropout(monkeypatch, kind, seed) -> None:
    layers = Layers(rows(kind.name, seed, "uniform", task().hidden))
    monkeypatch.setattr(nn.functional, "dropout", _dropout(layers))


def _hidden_noise(monkeypatch, kind, seed) -> None:
    layers = Layers(rows(kind.name, seed, "normal", task().hidden))
    monkeypatch.setattr(torch, "randn_like", layers)


def _input_dropout(monkeypatch, kind, seed) -> None:
    take = rows(kind.name, seed, "uniform", 36)
    monkeypatch.setattr(nn.functional, "dropout", _dropout(lambda x: take(len(x)).view_as(x)))


def _input_noise(monkeypatch, kind, seed) -> None:
    take = rows(kind.name, seed, "normal", 36)
    monkeypatch.setattr(torch, "randn_like", lambda x: take(len(x)).view_as(x))


def _adversarial(monkeypatch, kind, seed) -> None:
    _hidden_dropout(monkeypatch, kind, seed)
    take, left = rows("adversarial search", seed, "normal", SEARCH_STEPS * 36), []

    def randn_like(x: Tensor) -> Tensor:
        if not left:
            left.extend(take(len(x)).view(len(x), SEARCH_STEPS, 36).unbind(1))
        return left.pop(0).view_as(x)

    monkeypatch.setattr(torch, "randn_like", randn_like)


def _mixup(monkeypatch, kind, seed) -> None:
    rng, orders = generator(kind.name, seed, 0), []

    class Beta:
        def __init__(self, alpha: float, beta: float) -> None:
            self.alpha = alpha

        def sample(self) -> Tensor:
            orders.append(torch.from_numpy(rng.permutation(BATCH)))
            return torch.tensor(rng.beta(self.alpha, self.alpha), dtype=torch.float64)

    monkeypatch.setattr(torch.distributions, "Beta", Beta)
    monkeypatch.setattr(torch, "randperm", lambda size: orders.pop())


def _shift(monkeypatch, kind, seed) -> None:
    take = rows(kind.name, seed, "uniform", 2)

    def randint(count: int, size: tuple[int, int]) -> Tensor:
        # A crop further down shows the image further up.
        return count - 1 - torch.floor(take(size[0]) * count).long()

    monkeypatch.setattr(torch, "randint", randint)


def _flip(monkeypatch, kind, seed) -> None:
    take = rows(kind.name, seed, "uniform", 1)
    monkeypatch.setattr(torch, "rand", lambda count: take(count)[:, 0])


def _cutout(monkeypatch, kind, seed) -> None:
    take, left = rows(kind.name, seed, "uniform", 2), []

    def randint(side: int, size: tuple[()]) -> Tensor:
        if not left:
            left.extend(take(1)[0].tolist())
        return torch.tensor(int(left.pop(0) * side))

    monkeypatch.setattr(torch, "randint", randint)


_DEALERS = {
    "dropout": _hidden_dropout,
    "hidden noise": _hidden_noise,
    "input dropout": _input_dropout,
    "input noise": _input_noise,
    "dropout with adversarial training": _adversarial,
    "mixup": _mixup,
    "shift": _shift,
    "flip": _flip,
    "cutout": _cutout,
}
