"""How a user's own network is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from byheart.errors import InputError
from byheart.networks.examine import Examined
from byheart.networks.foreign import Source, called
from byheart.networks.vmapped import ModulePack
from byheart.seeds import generator
from byheart.training.examples import Examples
from byheart.training.loop import Hook, TrainingLoop
from byheart.training.regularizers.base import Regularizer
from byheart.training.step import AutogradStep
from byheart.trial import Algorithm, Foreign


@dataclass(frozen=True)
class Recipe:
    """How the user's network is trained: SGD with momentum, PyTorch's convention.

    Attributes:
        epochs: passes over the data.
        learning_rate: step size.
        momentum: from 0 to below 1.
        weight_decay: L2 coefficient.
        batch_size: examples per step.
        device: "cpu", "cuda" or "mps".
    """

    epochs: int
    learning_rate: float
    momentum: float
    weight_decay: float
    batch_size: int
    device: str

    def __post_init__(self) -> None:
        if not 0 < self.learning_rate < float("inf"):
            raise InputError(f"learning_rate must be a number above 0, got {self.learning_rate!r}")
        if not (0 <= self.momentum < 1 and 0 <= self.weight_decay < float("inf")):
            raise InputError(
                "momentum must be from 0 to below 1 and weight_decay 0 or more, got "
                f"{self.momentum!r} and {self.weight_decay!r}"
            )

    @torch.no_grad()
    def loop(
        self,
        network: ModulePack,
        algorithms: Sequence[Algorithm],
        examples: Examples,
        seeds: Sequence[int],
        *,
        regularizer: Regularizer | None = None,
        hooks: Sequence[Hook] = (),
    ) -> TrainingLoop:
        """Return the loop that trains a pack of the user's network.

        Args:
            network: the replicas.
            algorithms: one per replica.
            examples: examples of the replicas.
            seeds: seeds of the replicas: draw the order of their examples.
            regularizer: regularizer of all replicas.
            hooks: see :class:`TrainingLoop`.
        """
        return TrainingLoop(
            AutogradStep(network, algorithms, seeds, regularizer=regularizer),
            examples,
            [generator("shuffle", seed) for seed in seeds],
            batch_size=self.batch_size,
            even=True,
            hooks=hooks,
        )

    def algorithm(self, source: Source, examined: Examined) -> Algorithm:
        """Return the same as the facts that the engine takes."""
        return Algorithm(
            network=Foreign(factory=called(source), fingerprint=examined.fingerprint),
            learning_rate=self.learning_rate,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
            epochs=self.epochs,
        )
