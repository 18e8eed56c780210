"""The loss of any classifier, by written-out formulas where it is a plain multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from byheart.errors import InputError
from byheart.measures.hessian import TrainingLoss, checked, checked_loss, finite
from byheart.measures.mlp_loss import MLPLoss, without_idle_weights
from byheart.measures.pack_data import PackData
from byheart.measures.plain_mlp import plain_layers
from byheart.networks.mlp import ReplicatedMLP


def training_loss(
    model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int
) -> TrainingLoss | WrittenLoss:
    """Return the mean cross-entropy of a model as a function of its parameters.

    Args:
        model: as for :class:`byheart.measures.hessian.TrainingLoss`, as are the others.
        x: inputs.
        y: labels.
        batch_size: examples in memory at once.

    Raises:
        InputError: as :class:`byheart.measures.hessian.TrainingLoss`.
    """
    inputs = torch.as_tensor(x)
    layers = plain_layers(model, inputs)
    fits = (
        inputs.dim() > 1
        and len(inputs)
        and all((p.dtype, p.device) == (inputs.dtype, inputs.device) for p in model.parameters())
    )
    if layers is None or not fits or inputs[0].numel() != layers[0].in_features:
        return TrainingLoss(model, x, y, batch_size=batch_size)
    return WrittenLoss(layers, x, y, batch_size=batch_size)


class WrittenLoss:
    """The loss of a multilayer perceptron, as a pack of one; see :class:`MLPLoss`.

    Args:
        layers: with ReLUs between them.
        x: [N, *shape] inputs.
        y: int64 [N] labels.
        batch_size: examples in memory at once.

    Attributes:
        theta: [P] the parameters of which the Hessian has a row that is not zero for certain, layer
            after layer, weights transposed.

    Raises:
        InputError: inputs and labels that do not fit together, logits that are not finite.
    """

    def __init__(
        self, layers: Sequence[nn.Linear], x: Tensor, y: Tensor, *, batch_size: int
    ) -> None:
        x, y, batch_size = checked(x, y, batch_size)
        network = ReplicatedMLP(
            [layer.weight.detach().T[None].contiguous() for layer in layers],
            [layer.bias.detach()[None, None] for layer in layers],
        )
        flat, y = x.flatten(1), y.to(x.device)
        total = 0.0
        for inputs, labels in zip(
            torch.split(flat, batch_size), torch.split(y, batch_size), strict=True
        ):
            total += checked_loss(network(inputs)[0], labels)
        if not math.isfinite(total):
            raise InputError("the loss is not finite: check the model's weights and the inputs")
        rows = torch.arange(len(x), device=x.device)[None]
        narrow, data = without_idle_weights(network, PackData(flat, rows, y[None]))
        self._loss = MLPLoss(narrow, data, chunk=batch_size)
        self.theta = self._loss.theta[0]

    @torch.no_grad()
    def gradient(self) -> Tensor:
        """Return dL/dtheta, [P]."""
        return finite(self._loss.gradient()[0], "gradient")

    @torch.no_grad()
    def product(self, vector: Tensor) -> Tensor:
        """Return H v, [P]; see :meth:`TrainingLoss.product`."""
        return finite(self._loss.product(vector[None])[0], "Hessian")
