"""A user's network whose hidden layers can be disturbed while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

SHIFT, SCALE = "shift", "scale"

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU)
ACTIVATIONS = (*RECTIFIERS, nn.SiLU, nn.Mish, nn.Hardswish, nn.Softplus, nn.Tanh, nn.Sigmoid)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


class Disturbed(nn.Module):
    r"""A network in which each activation layer may be shifted and scaled, unit by unit.

    Formula: h <- (h + shift) * scale after every activation, in train mode alone. All layers take
    their columns from two buffers of one row per example, in the order in which they compute.

    Args:
        model: the user's; its activation layers (``nn.ReLU`` and the like) get a hook, or where it
            has none its dropout layers.

    Attributes:
        shift: [B, units], or [] for none.
        scale: [B, units], or [] for none.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.register_buffer(SHIFT, torch.zeros(()))
        self.register_buffer(SCALE, torch.ones(()))
        self.widths: list[int] = []
        for layer in places(model):
            layer.register_forward_hook(_Hook(self))

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits of inputs [B, *takes]."""
        self.widths = []
        logits: Tensor = self.model(x)
        return logits

    def disturb(self, h: Tensor) -> Tensor:
        """Return a layer [B, ...], disturbed if the network is in train mode."""
        start = sum(self.widths)
        self.widths.append(math.prod(h.shape[1:]))
        columns = slice(start, start + self.widths[-1])
        if self.training and self.shift.dim():
            h = h + self.shift[:, columns].reshape(h.shape)
        if self.training and self.scale.dim():
            h = h * self.scale[:, columns].reshape(h.shape)
        return h


class _Hook:
    """Disturbs what a layer returns; copied along with the network that it belongs to."""

    def __init__(self, owner: Disturbed) -> None:
        self.owner = owner

    def __call__(self, layer: nn.Module, inputs: Any, h: Tensor) -> Tensor:
        return self.owner.disturb(h)


def places(model: nn.Module) -> Sequence[nn.Module]:
    """Return the layers after which a network can be disturbed; none where there are none."""

    def of(kinds: tuple[type[nn.Module], ...]) -> Iterator[nn.Module]:
        return (layer for layer in model.modules() if isinstance(layer, kinds))

    return list(of(ACTIVATIONS)) or list(of(DROPOUTS))


def kinds_of_places(model: nn.Module) -> tuple[str, ...]:
    """Return the types of these layers, by their names in ``torch.nn``."""
    own = places(model)
    kinds = (*ACTIVATIONS, *DROPOUTS)
    return tuple(k.__name__ for k in kinds if any(isinstance(layer, k) for layer in own))


@torch.no_grad()
def hidden_units(model: nn.Module, x: Tensor) -> tuple[int, str]:
    """Return how many hidden units of a network can be disturbed, and why none if none.

    Args:
        model: the user's; it stays in eval mode.
        x: [N, *takes] some inputs.
    """
    if not places(model):
        return 0, (
            "the network has no layer such as nn.ReLU or nn.Dropout to put it after: "
            "make its activations modules"
        )
    rows: set[int] = set()
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, h: rows.add(len(h)))
        for layer in places(model)
    ]
    model.eval()(x)
    for hook in hooks:
        hook.remove()
    if rows != {len(x)}:
        return 0, "its activation layers do not see one row per example"
    disturbed = Disturbed(model).eval()
    disturbed(x)
    return sum(disturbed.widths), ""
