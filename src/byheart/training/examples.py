"""The examples of a pack: every distinct input once, and for each replica the rows it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from byheart.data.corruption import draw_corruption, moments
from byheart.data.dataset import Dataset
from byheart.errors import InputError
from byheart.networks.base import PackNetwork
from byheart.trial import DataFacts

CHUNK = 256
"""Examples per forward pass and replica, where nothing is trained."""


@dataclass(frozen=True)
class Examples:
    """Training and validation examples of R replicas.

    Replicas share most of their inputs: noise levels of one seed differ only in which examples are
    replaced, since the masks are nested. So inputs are stored once and referred to by row.

    Attributes:
        pool: [P, inputs] distinct inputs.
        shape: shape of one input as the network sees it, before it is flattened.
        train_rows: [R, n] rows of the pool.
        train_y: [R, n] labels, after corruption.
        noisy: [R, n] bool, inputs or label replaced.
        validation_rows: [R, m] rows of the pool, clean.
        validation_y: [R, m].
    """

    pool: Tensor
    shape: tuple[int, ...]
    train_rows: Tensor
    train_y: Tensor
    noisy: Tensor
    validation_rows: Tensor
    validation_y: Tensor

    @classmethod
    def of(cls, x: Tensor, labels: Tensor, trained: Tensor, held_out: Tensor) -> Examples:
        """Return the examples of replicas that split and label one data set each in its own way.

        Args:
            x: [N, *shape] inputs, the same for all; gives the device.
            labels: [R, N] that each replica takes for right.
            trained: [R, n] ids that each replica trains on.
            held_out: [R, m] ids that it does not.
        """
        labels, trained, held_out = (part.to(x.device) for part in (labels, trained, held_out))
        return cls(
            x.flatten(1),
            tuple(x.shape[1:]),
            trained,
            labels.gather(1, trained),
            torch.zeros_like(trained, dtype=torch.bool),
            held_out,
            labels.gather(1, held_out),
        )

    def select(self, replicas: Tensor) -> Examples:
        """Return the examples of some replicas, by index or mask."""
        return Examples(
            self.pool,
            self.shape,
            self.train_rows[replicas],
            self.train_y[replicas],
            self.noisy[replicas],
            self.validation_rows[replicas],
            self.validation_y[replicas],
        )

    def inputs(self, rows: Tensor) -> Tensor:
        """Return the inputs [R, B, inputs] of rows [R, B]."""
        return self.pool.index_select(0, rows.reshape(-1)).view(*rows.shape, self.pool.shape[1])

    def logits(self, network: PackNetwork, rows: Tensor) -> Tensor:
        """Return a network's logits [R, N, classes] of rows [R, N], a chunk at a time."""
        parts = [network(self.inputs(part)) for part in torch.split(rows, CHUNK, dim=1)]
        return torch.cat(parts, dim=1)


def gather_examples(
    facts: Sequence[DataFacts],
    dataset: Dataset,
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> Examples:
    """Draw subset and corruption of every replica.

    Replica r sees what ``corrupt(dataset.split(...)[0], ...)`` gives, example by example.

    Args:
        facts: one per replica; all of the same sizes.
        dataset: the clean source.
        dtype: dtype of the inputs.
        device: device of all tensors.
    """
    first = facts[0]
    if first.test is not None and first.test != dataset.test_fingerprint:
        raise InputError(
            f"data set '{dataset.name}' has another test split than when the study was planned: "
            "give the same command again"
        )
    splits = {
        seed: dataset.split_indices(
            first.train, first.validation, seed, test=first.test is not None
        )
        for seed in dict.fromkeys(data.seed for data in facts)
    }
    used = torch.unique(torch.cat([torch.cat(pair) for pair in splits.values()]))
    inputs, labels = dataset.at(used)
    clean = downsampled(inputs, first.downsample)
    noise = {
        seed: _noise(facts, seed, clean[torch.searchsorted(used, train)], dataset, train)
        for seed, (train, _) in splits.items()
    }
    starts, start = {}, len(used)
    for seed, (inputs, _) in noise.items():
        starts[seed], start = start, start + len(inputs)

    columns: list[tuple[Tensor, ...]] = []
    for data in facts:
        train, validation = splits[data.seed]
        rows = torch.searchsorted(used, train)
        y, noisy, replaced = _labels(data, dataset, train)
        position = torch.cumsum(noise[data.seed][1], 0) - 1 + starts[data.seed]
        rows = torch.where(replaced, position, rows)
        held_out = torch.searchsorted(used, validation)
        columns.append((rows, y, noisy, held_out, labels[held_out]))
    pool = torch.cat([clean.flatten(1), *(inputs.flatten(1) for inputs, _ in noise.values())])
    stacked = [torch.stack(column).to(device) for column in zip(*columns, strict=True)]
    return Examples(pool.to(device=device, dtype=dtype), tuple(clean.shape[1:]), *stacked)


def _noise(
    facts: Sequence[DataFacts], seed: int, x: Tensor, dataset: Dataset, train: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the noise inputs of one seed at its highest level, and the mask of their examples."""
    level = max(data.inputs for data in facts if data.seed == seed)
    drawn = draw_corruption(
        *moments(x),
        tuple(x.shape[1:]),
        dataset.y[train],
        dataset.n_classes,
        inputs=level,
        labels=0.0,
        seed=seed,
    )
    return drawn.inputs, drawn.input_mask


def _labels(data: DataFacts, dataset: Dataset, train: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    drawn = draw_corruption(
        0.0,
        1.0,
        (),
        dataset.y[train],
        dataset.n_classes,
        inputs=data.inputs,
        labels=data.labels,
        seed=data.seed,
    )
    y = torch.arange(len(train)) if data.unique_labels else drawn.y
    return y, drawn.input_mask | drawn.label_mask, drawn.input_mask


def downsampled(x: Tensor, side: int) -> Tensor:
    """Average squares of pixels: [N, *channels, H, W] -> [N, *channels, H // side, W // side]."""
    if side == 1:
        return x
    flat = x.reshape(len(x), -1, *x.shape[-2:])
    return functional.avg_pool2d(flat, side).reshape(
        *x.shape[:-2], x.shape[-2] // side, x.shape[-1] // side
    )
