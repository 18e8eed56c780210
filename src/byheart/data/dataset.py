"""A data set: inputs, labels, class names, and which examples were replaced by noise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from byheart.data.checks import as_inputs, require_equal_lengths, require_inputs
from byheart.data.labels import encode_labels, require_different, require_in_range
from byheart.data.preparation import Kind, Preparation, kind_of
from byheart.errors import DataError, InputError
from byheart.seeds import generator
from byheart.texts import visible


@dataclass(frozen=True, eq=False)
class Dataset:
    """Examples with labels. Build one with :meth:`from_arrays`, which checks what it is given.

    Attributes:
        name: what a report calls it; no part of :attr:`fingerprint`.
        x: inputs, float32 ``[N, *shape]``: in [0, 1] or standardised, or Gaussian noise.
        y: labels as the network sees them, int64 ``[N]``.
        classes: name of each class.
        clean_y: labels before corruption, int64 ``[N]``.
        noisy_inputs: whose input was replaced, bool ``[N]``.
        noisy_labels: whose label was replaced, if only by itself by chance, bool ``[N]``.
        test_x: inputs of the source's test split, float32 ``[M, *shape]``; None if not loaded.
        test_y: its labels, int64 ``[M]``.
        prepared: how the source became inputs; None for arrays in [0, 1].
    """

    name: str
    x: Tensor
    y: Tensor
    classes: tuple[str, ...]
    clean_y: Tensor
    noisy_inputs: Tensor
    noisy_labels: Tensor
    test_x: Tensor | None = None
    test_y: Tensor | None = None
    prepared: Preparation | None = None

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.x.shape[1:]))
        return (
            f"Dataset({self.name!r}: {len(self):,} of shape {shape}, {len(self.classes)} classes)"
        )

    @classmethod
    def from_arrays(
        cls,
        name: str,
        x: Tensor | npt.ArrayLike,
        y: Tensor | npt.ArrayLike,
        classes: Sequence[str] | None = None,
        *,
        like: npt.ArrayLike | None = None,
    ) -> Dataset:
        """Return a clean data set, after checking and converting its arrays.

        Arrays that have the right type already are not copied: leave them alone afterwards.

        Args:
            name: what to call it, in reports and in errors.
            x: inputs ``[N, *shape]`` of any scale and real dtype. Bytes are divided by 255; what
                lies outside [0, 1] is standardised (see :func:`byheart.data.scaling.scaled`).
            y: labels ``[N]`` or ``[N, 1]``: whole numbers, names, or True and False. Without
                ``classes``, every value that occurs becomes a class, in sorted order.
            classes: class names; then numbers in ``y`` are their indices.
            like: the inputs that decide how to scale, if ``x`` is a test split: the training ones.

        Raises:
            InputError: no examples, one class only, labels that are missing or out of range, inputs
                that are NaN, lengths that differ, or a dtype that is no number.
        """
        inputs, preparation = as_inputs(name, x, like)
        labels, names = encode_labels(name, y, classes)
        return cls.from_inputs(name, inputs, labels, names, preparation)

    @classmethod
    def from_inputs(
        cls,
        name: str,
        x: Tensor,
        y: Tensor,
        classes: Sequence[str],
        prepared: Preparation | None,
    ) -> Dataset:
        """Return a clean data set of inputs that are scaled, and labels from 0; see the attributes.

        Raises:
            InputError: see :meth:`from_arrays`.
        """
        require_equal_lengths(name, {"inputs": len(x), "labels": len(y)})
        clean = torch.zeros(len(y), dtype=torch.bool)
        return cls(
            visible(name), x, y, tuple(classes), y, clean, clean, prepared=prepared
        ).validate()

    def validate(self) -> Dataset:
        """Return the data set itself if a study can use it.

        Raises:
            InputError: see :meth:`from_arrays`.
        """
        fields = ("x", "y", "clean_y", "noisy_inputs", "noisy_labels")
        require_equal_lengths(self.name, {field: len(getattr(self, field)) for field in fields})
        if len(self) == 0:
            raise InputError(
                f"data set '{self.name}' is empty: give examples of at least two classes"
            )
        require_inputs(self.name, self.x)
        require_different(self.name, self.classes)
        for labels in (self.y, self.clean_y):
            require_in_range(self.name, labels.cpu().numpy(), self.classes)
        if int(self.clean_y.min()) == int(self.clean_y.max()):
            only = self.classes[int(self.clean_y[0])]
            raise InputError(
                f"data set '{self.name}' has one class only ('{only}'): give at least two classes"
            )
        return self

    def __len__(self) -> int:
        return len(self.x)

    @property
    def noisy(self) -> Tensor:
        """Whose input or label was replaced, bool ``[N]``."""
        return self.noisy_inputs | self.noisy_labels

    @property
    def kind(self) -> Kind:
        """What an example is: "images", "table" (a row of one), or "text"."""
        return kind_of(self.shape) if self.prepared is None else self.prepared.kind

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return tuple(self.x.shape[1:])

    @property
    def n_classes(self) -> int:
        """Number of classes, with or without examples."""
        return len(self.classes)

    @property
    def smallest_class(self) -> int:
        """Number of examples of the rarest class."""
        return int(torch.bincount(self.y, minlength=self.n_classes).min())

    @cached_property
    def class_means(self) -> Tensor:
        """Mean input of each class, float32 ``[classes, *shape]``; 0 if it has no examples."""
        sums = torch.zeros(self.n_classes, *self.shape).index_add_(0, self.y.cpu(), self.x.cpu())
        counts = torch.bincount(self.y.cpu(), minlength=self.n_classes).clamp(min=1)
        return sums / counts.reshape(-1, *[1] * len(self.shape))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of shape, class count, inputs and labels; never of a name or a path."""
        return _fingerprint(self.x, self.y, self.n_classes)

    @cached_property
    def test_fingerprint(self) -> str | None:
        """The same of the test split; None if it is not loaded."""
        if self.test_x is None or self.test_y is None:
            return None
        return _fingerprint(self.test_x, self.test_y, self.n_classes)

    def with_test(self, test: Dataset) -> Dataset:
        """Return the data set with a test split.

        Raises:
            InputError: its inputs have another shape, or its classes other names.
        """
        if test.shape != self.shape:
            raise InputError(
                f"data set '{self.name}': its test examples have the shape {list(test.shape)}, its "
                f"training examples {list(self.shape)}: give both the same shape"
            )
        if test.classes != self.classes:
            raise InputError(
                f"data set '{self.name}': its test examples have the classes "
                f"{', '.join(test.classes)}, its training examples {', '.join(self.classes)}: give "
                "both the same classes"
            )
        return replace(self, test_x=test.x, test_y=test.y)

    def subset(self, indices: Tensor | Sequence[int]) -> Dataset:
        """Return the examples at ``indices``, in that order."""
        at = torch.as_tensor(indices, dtype=torch.int64)
        return replace(
            self,
            x=self.x[at],
            y=self.y[at],
            clean_y=self.clean_y[at],
            noisy_inputs=self.noisy_inputs[at],
            noisy_labels=self.noisy_labels[at],
            prepared=(self.prepared or Preparation(self.kind)).subset(at.tolist()),
        )

    def balanced(self, size: int, seed: int) -> Dataset:
        """Return a random subset with equally many examples of each class.

        Where ``size`` is no multiple of the number of classes, class counts differ by at most one.

        Args:
            size: number of examples.
            seed: draws which examples, and their order.

        Raises:
            InputError: a class has too few examples.
        """
        return self.split(size, 0, seed)[0]

    def split(self, train: int, validation: int, seed: int) -> tuple[Dataset, Dataset]:
        """Return a training and a validation set: disjoint, each balanced over the classes.

        Args:
            train: number of training examples.
            validation: number of validation examples.
            seed: draws which examples, and their order.

        Raises:
            InputError: a class has too few examples.
        """
        parts = self.split_indices(train, validation, seed)
        return self.subset(parts[0]), self.subset(parts[1])

    def split_indices(
        self, train: int, validation: int, seed: int, *, test: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Return the indices of a training and a validation set; see :func:`split_indices`.

        Args:
            train: number of training examples.
            validation: number of validation examples.
            seed: draws which examples, and their order.
            test: validation examples come from the test split; its indices begin at ``len(self)``.

        Raises:
            InputError: a class has too few examples.
        """
        try:
            if not test or self.test_y is None:
                return split_indices(self.y, self.n_classes, train, validation, seed, self.classes)
            trained, _ = split_indices(self.y, self.n_classes, train, 0, seed, self.classes)
        except InputError as error:
            raise InputError(f"data set '{self.name}': {error}") from None
        try:
            held_out, _ = split_indices(
                self.test_y, self.n_classes, validation, 0, seed, self.classes
            )
        except InputError as error:
            raise InputError(f"test split of data set '{self.name}': {error}") from None
        return trained, held_out + len(self)

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Return inputs and labels; indices from ``len(self)`` on are of the test split."""
        if self.test_x is None or self.test_y is None:
            return self.x[indices], self.y[indices]
        tested = indices >= len(self)
        x = self.x.new_empty(len(indices), *self.shape)
        y = self.y.new_empty(len(indices))
        for part, inputs, labels, start in (
            (~tested, self.x, self.y, 0),
            (tested, self.test_x, self.test_y, len(self)),
        ):
            x[part], y[part] = inputs[indices[part] - start], labels[indices[part] - start]
        return x, y

    def downsample(self, side: int) -> Dataset:
        """Return images averaged down to ``side`` by ``side`` pixels.

        Args:
            side: new height and width; must divide the old ones.

        Raises:
            InputError: inputs are no images ``[N, H, W]`` or ``[N, C, H, W]``, or ``side`` does
                not divide their height and width.

        Source: Arpit et al. (2017), Figures 3 and 4 (28x28 to 14x14).
        """
        if len(self.shape) not in (2, 3):
            raise InputError(
                f"data set '{self.name}': inputs of shape {list(self.shape)} are no images; "
                "only [H, W] and [C, H, W] can be averaged down"
            )
        height, width = self.shape[-2:]
        if side < 1 or height % side or width % side:
            raise InputError(
                f"data set '{self.name}': cannot average {height}x{width} down to {side}x{side}; "
                "choose a side that divides both"
            )

        def small(x: Tensor) -> Tensor:
            images = x.reshape(len(x), -1, height, width)
            means = functional.avg_pool2d(images, (height // side, width // side))
            return means.reshape(len(x), *self.shape[:-2], side, side)

        test_x = None if self.test_x is None else small(self.test_x)
        name = f"{self.name}-{side}x{side}"
        return replace(self, name=name, x=small(self.x), test_x=test_x)


def _fingerprint(x: Tensor, y: Tensor, n_classes: int) -> str:
    digest = hashlib.sha256(json.dumps([list(x.shape), n_classes]).encode())
    for tensor, dtype in ((x, "<f4"), (y, "<i8")):
        array = np.ascontiguousarray(tensor.cpu().numpy(), dtype=dtype)
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def from_file(
    path: Path,
    name: str,
    x: npt.NDArray[np.generic],
    y: npt.ArrayLike,
    classes: Sequence[str] | None = None,
    *,
    like: npt.NDArray[np.generic] | None = None,
) -> Dataset:
    """Return :meth:`Dataset.from_arrays`, with errors that name the file.

    Raises:
        DataError: the arrays are no data set.
    """
    try:
        return Dataset.from_arrays(name, x, y, classes, like=like)
    except InputError as error:
        raise DataError(f"{path}: {error}") from None


def split_indices(
    y: Tensor,
    n_classes: int,
    train: int,
    validation: int,
    seed: int,
    classes: Sequence[str] | None = None,
) -> tuple[Tensor, Tensor]:
    """Draw training and validation examples: disjoint, and each balanced over the classes.

    Every example gets two random numbers. The first ranks it within its class: validation takes
    the lowest ranks and training the next, so the validation set is the same for every training
    size. The second gives the order, which therefore tells nothing of the class.

    Args:
        y: labels ``[N]``.
        n_classes: number of classes.
        train: number of training examples; where it is no multiple of ``n_classes``, class counts
            differ by at most one.
        validation: number of validation examples, likewise.
        seed: draws which examples, and their order.
        classes: class names, for the error.

    Returns:
        Indices into ``y`` of the training and of the validation examples.

    Raises:
        InputError: a size below zero, no training example, or a class with too few examples.
    """
    if train < 1 or validation < 0:
        raise InputError(
            f"cannot draw {train} training and {validation} validation examples: "
            "ask for at least 1 and 0"
        )
    labels = y.cpu().numpy()
    rng = generator("subset", seed)
    rank, order = rng.random(len(labels)), rng.random(len(labels))
    extra = rng.permutation(n_classes)
    # Odd examples of the two parts go to different classes, so that no class must give two.
    for_training = _shares(train, extra)
    for_validation = _shares(validation, extra[::-1])
    _require(labels, for_training, for_validation, classes)

    by_class = np.lexsort((rank, labels))
    starts = np.searchsorted(labels[by_class], np.arange(n_classes))
    place = np.arange(len(labels)) - starts[labels[by_class]]
    held, wanted = for_validation[labels[by_class]], for_training[labels[by_class]]
    parts = (by_class[(place >= held) & (place < held + wanted)], by_class[place < held])
    first, second = (torch.from_numpy(part[np.argsort(order[part])]) for part in parts)
    return first, second


def _shares(size: int, extra: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    shares = np.full(len(extra), size // len(extra))
    shares[extra[: size % len(extra)]] += 1
    return shares


def _require(
    labels: npt.NDArray[np.int64],
    for_training: npt.NDArray[np.int64],
    for_validation: npt.NDArray[np.int64],
    classes: Sequence[str] | None,
) -> None:
    has = np.bincount(labels, minlength=len(for_training))
    needs = for_training + for_validation
    short = np.flatnonzero(has < needs)
    if not len(short):
        return
    worst = int(short[np.argmax((needs - has)[short])])
    name = classes[worst] if classes else str(worst)
    raise InputError(
        f"class '{name}' has {has[worst]} examples but {needs[worst]} are needed"
        + (
            f" ({for_training[worst]} for training, {for_validation[worst]} for validation)"
            if for_validation.any()
            else ""
        )
        + ": ask for fewer examples"
    )
