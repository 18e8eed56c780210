"""A user's module: in eval mode, by its layers, and as a pack of one replica."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from byheart.errors import InputError
from byheart.measures.training_loss import PackData
from byheart.networks.mlp import ReplicatedMLP

ROUNDINGS = 100
"""Two passes over the same inputs may differ by this many roundings of the largest logit."""


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put every submodule into eval mode, and restore each one's own mode at the end.

    Otherwise the noise of dropout and batch norm would count as critical samples. Submodules may
    be in different modes (a frozen backbone), so ``model.train()`` alone cannot restore them.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def plain_layers(model: nn.Module, x: Tensor) -> list[nn.Linear] | None:
    """Return the linear layers of a plain multilayer perceptron, or None for any other model.

    A plain one is a ``nn.Sequential`` of linear layers with biases and ReLUs between them, after a
    ``nn.Flatten`` or on flat inputs. All its parameters are trainable, none is shared, and it has
    no hooks: hand-written formulas then give its derivatives.

    Args:
        model: any module.
        x: [N, *shape] its inputs.
    """
    layers = list(model) if type(model) is nn.Sequential else []
    flattens = bool(layers) and type(layers[0]) is nn.Flatten
    linears, relus = layers[flattens::2], layers[flattens + 1 :: 2]
    parameters = [p for linear in linears for p in linear.parameters()]
    plain = (
        len(linears) == len(relus) + 1
        and all(type(layer) is nn.Linear and layer.bias is not None for layer in linears)
        and all(type(layer) is nn.ReLU for layer in relus)
        and all(p.requires_grad for p in parameters)
        and len({id(p) for p in parameters}) == len(parameters)
        and (flattens or x.dim() == 2)
        and not any(_hooked(module) for module in (model, *layers))
    )
    return [layer for layer in linears if isinstance(layer, nn.Linear)] if plain else None


class SingleNetwork:
    """A module in eval mode as a pack of one; see :class:`byheart.networks.base.PackNetwork`.

    Frozen parameters and buffers are constants. No parameter, gradient or buffer of the module is
    written to.

    Args:
        model: maps [N, *shape] to logits [N, classes]. The logits of an example must not depend on
            the others in its batch (those of batch norm without running statistics do: the loss
            then belongs to the batch size).
        values: trainable parameters by name, each [1, ...]; those of the model if None.

    Raises:
        InputError: no trainable parameter.
    """

    replicas = 1

    def __init__(self, model: nn.Module, values: dict[str, Tensor] | None = None) -> None:
        if values is None:
            trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
            values = {name: p.detach()[None] for name, p in trainable.items()}
        if not any(value.numel() for value in values.values()):
            raise InputError(
                "the model has no trainable parameter: set requires_grad on those to be measured"
            )
        self._model = model
        self._values = values

    def parameters(self) -> Sequence[Tensor]:
        """Return the trainable parameters, each [1, ...]."""
        return list(self._values.values())

    def select(self, replicas: Tensor) -> SingleNetwork:
        """Return a copy."""
        copies = {name: value.detach().clone() for name, value in self._values.items()}
        return SingleNetwork(self._model, copies)

    def finite(self) -> Tensor:
        """Return whether all parameters are finite, bool [1]."""
        return torch.stack([torch.isfinite(p).all() for p in self.parameters()]).all()[None]

    def module(self, replica: int) -> nn.Module:
        """Return the user's module itself."""
        return self._model

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [1, N, classes] of inputs [1, N, *shape]."""
        # Buffers go in as copies: a module that counts its calls must not count ours.
        state = {name: buffer.clone() for name, buffer in self._model.named_buffers()}
        state |= {name: value.squeeze(0) for name, value in self._values.items()}
        # Fused attention kernels have no second derivative; the plain one has.
        with sdpa_kernel(SDPBackend.MATH):
            logits = functional_call(self._model, state, (x[0].to(self.parameters()[0].device),))
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != x.shape[1]:
            got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise InputError(
                f"the model must map [N, ...] to logits [N, classes]: for N = {x.shape[1]} it "
                f"returned {got}"
            )
        return logits[None]

    def checked_logits(self, x: Tensor) -> Tensor:
        """Return logits, and refuse a module without derivatives or with randomness."""
        with torch.enable_grad():
            again = self.select(torch.zeros(1))
            for parameter in again.parameters():
                parameter.requires_grad_()
            logits = again(x)
        if not logits.requires_grad:
            raise InputError(
                "the model's output does not depend on its trainable parameters: does its forward "
                "detach them or run under no_grad?"
            )
        logits, repeated = logits.detach(), self(x)
        allowed = ROUNDINGS * torch.finfo(logits.dtype).eps * logits.abs().max()
        if bool(((logits - repeated).abs() > allowed).any()):
            raise InputError(
                "the model is not deterministic in eval mode (two passes over the same inputs "
                "differ): take the randomness out of its forward"
            )
        return logits


def pack_of_one(
    model: nn.Module, x: Tensor, y: Tensor, *, batch_size: int
) -> tuple[ReplicatedMLP | SingleNetwork, PackData]:
    """Return a module and its training set as a pack of one, if they can be measured.

    A plain multilayer perceptron becomes a :class:`ReplicatedMLP`, whose derivatives are written
    out. The module must be in eval mode.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] inputs.
        y: int64 [N] labels in 0..classes - 1.
        batch_size: examples in memory at once.

    Raises:
        InputError: no trainable parameter, inputs and labels that do not fit together or hold
            values out of range, or a model whose output is not finite logits [N, classes], differs
            from pass to pass or does not depend on the parameters.
    """
    x, y = _checked_examples(x, y, batch_size)
    layers = plain_layers(model, x)
    rows = torch.arange(len(x), device=x.device)[None]
    network: ReplicatedMLP | SingleNetwork
    if layers is not None and _fits(layers, x):
        data = PackData(x.flatten(1), rows, y[None])
        network = ReplicatedMLP(
            [layer.weight.detach().T[None].contiguous() for layer in layers],
            [layer.bias.detach()[None, None] for layer in layers],
        )
    else:
        data = PackData(x, rows, y[None])
        network = SingleNetwork(model)
    _check_logits(network, data, batch_size)
    return network, data


def _fits(layers: Sequence[nn.Linear], x: Tensor) -> bool:
    """Say whether the inputs have the first layer's width, and the parameters' type and device."""
    alike = all(
        (p.dtype, p.device) == (x.dtype, x.device) for layer in layers for p in layer.parameters()
    )
    return x.dim() > 1 and alike and x[0].numel() == layers[0].in_features


def _checked_examples(x: Tensor, y: Tensor, batch_size: int) -> tuple[Tensor, Tensor]:
    x, y = torch.as_tensor(x).detach(), torch.as_tensor(y).detach()
    if x.dim() < 1 or not len(x):
        raise InputError(f"x must hold inputs [N, *shape] with N >= 1, got {tuple(x.shape)}")
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        raise InputError("x holds values that are not finite: replace or drop those inputs")
    if y.dim() != 1 or y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
        raise InputError(f"y must be integer labels [N], got {y.dtype} {tuple(y.shape)}")
    if len(y) != len(x):
        raise InputError(f"x and y must be of one length, got {len(x)} inputs and {len(y)} labels")
    if batch_size < 1:
        raise InputError(f"batch_size must be 1 or more, got {batch_size}")
    return x, y.long().to(x.device)


def _check_logits(network: ReplicatedMLP | SingleNetwork, data: PackData, chunk: int) -> None:
    total = 0.0
    for x, y in data.chunks(chunk):
        if isinstance(network, SingleNetwork):
            logits = network.checked_logits(x)[0]
        else:
            logits = network(x)[0]
        labels = y[0].to(logits.device)
        if not bool(torch.isfinite(logits).all()):
            raise InputError("the model returns logits that are not finite: check its weights")
        if not bool(((labels >= 0) & (labels < logits.shape[1])).all()):
            raise InputError(
                f"labels must lie in 0..{logits.shape[1] - 1} for a model with {logits.shape[1]} "
                f"outputs, got {int(labels.min())}..{int(labels.max())}"
            )
        total += float(functional.cross_entropy(logits, labels, reduction="sum"))
    if not math.isfinite(total):
        raise InputError("the loss is not finite: check the model's weights and the inputs")


def _hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks)
