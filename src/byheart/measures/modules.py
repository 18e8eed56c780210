"""A user's module: in eval mode, by its layers, and as a pack of one replica."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from byheart.errors import InputError
from byheart.measures.training_loss import AutogradLoss, PackData
from byheart.networks.mlp import ReplicatedMLP

ROUNDINGS = 100
"""Two passes over the same inputs may differ by this many roundings of the largest logit."""
SYMMETRIC = 1e-3
"""Largest relative difference of u.Hv and v.Hu: a correct second derivative differs by rounding."""
TRIED = 32
"""Examples on which the symmetry of the Hessian is checked."""


def require_logits(logits: object, examples: int) -> Tensor:
    """Return what a model made of N inputs, if it is logits [N, classes] of 2 classes or more.

    Raises:
        InputError: it is not. One output z has no second class to compare with.
    """
    if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != examples:
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"the model must map [N, ...] to logits [N, classes]: for N = {examples} it "
            f"returned {got}"
        )
    if logits.shape[1] < 2:
        raise InputError(
            f"the model has {logits.shape[1]} output, and each class needs one: for an output z of "
            "two classes, wrap the model so that it returns torch.cat([torch.zeros_like(z), z], 1)"
        )
    return logits


class _WeightNorm(TorchFunctionMode):
    """Computes weight normalization by operations whose second derivatives are right.

    That of ``torch._weight_norm`` is not (torch 2.13): sharpness and loss-sensitivity are 16% off.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if function is torch._weight_norm:
            v, g, dim = (*args, 0)[:3]
            return v * (g / torch.norm_except_dim(v, 2, dim))
        return function(*args, **(kwargs or {}))


@contextmanager
def twice_differentiable(model: nn.Module) -> Iterator[None]:
    """Let a model compute with operations that have a second derivative, and a right one."""
    with ExitStack() as stack:
        # Fused attention kernels have no second derivative; the plain one has.
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        if any(_has_weight_norm(module) for module in model.modules()):
            stack.enter_context(_WeightNorm())
        yield


def _has_weight_norm(module: nn.Module) -> bool:
    hooks = module._forward_pre_hooks.values()
    return any("WeightNorm" in type(part).__name__ for part in (module, *hooks))


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

    @property
    def names(self) -> list[str]:
        """Names of the trainable parameters."""
        return list(self._values)

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
        with twice_differentiable(self._model):
            logits = functional_call(self._model, state, (x[0].to(self.parameters()[0].device),))
        return require_logits(logits, x.shape[1])[None]

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


class _Rows(nn.Module):
    """A model of mappings as a model of row numbers [N, 1], which it looks up."""

    def __init__(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.model = model
        self._inputs = inputs

    def forward(self, rows: Tensor) -> Any:
        """Return what the model makes of the rows."""
        chosen = rows[:, 0]
        return self.model({name: values[chosen] for name, values in self._inputs.items()})


def require_gradients_by_inputs(logits: Tensor, x: Tensor) -> None:
    """Refuse a network whose logits do not depend on its inputs by derivatives.

    Args:
        logits: [N, classes] of x.
        x: [N, *shape] inputs that require gradients.
    """
    by_x = None
    if logits.requires_grad:
        (by_x,) = torch.autograd.grad(logits.sum(), x, allow_unused=True, retain_graph=True)
    if by_x is None:
        raise InputError(
            "the model's logits have no derivative by x, as where it looks up embeddings: give the "
            "embedded inputs as x, and the layers after the embedding as the model"
        )


def as_inputs(x: object) -> Tensor:
    """Return inputs as a tensor; refuse a mapping, which has no single derivative."""
    if isinstance(x, Mapping):
        raise InputError(
            "x is a mapping: give the tensor to differentiate by, and a model that takes it alone"
        )
    return torch.as_tensor(x)


def require_type(model: nn.Module, x: Tensor) -> None:
    """Refuse inputs that are not of the type of the model's parameters."""
    parameter = next((p for p in model.parameters() if p.is_floating_point()), None)
    if parameter is not None and parameter.dtype != x.dtype:
        raise InputError(
            f"x is {x.dtype}, the model {parameter.dtype}: give x.to({parameter.dtype})"
        )


def pack_of_one(
    model: nn.Module, x: Tensor | Mapping[str, Tensor], y: Tensor, *, batch_size: int
) -> tuple[ReplicatedMLP | SingleNetwork, PackData]:
    """Return a module and its training set as a pack of one, if they can be measured.

    A plain multilayer perceptron becomes a :class:`ReplicatedMLP`, whose derivatives are written
    out. The module must be in eval mode.

    Args:
        model: maps [N, *shape] to logits [N, classes].
        x: [N, *shape] inputs; or a mapping of such tensors, which the model then is called with.
        y: int64 [N] labels in 0..classes - 1.
        batch_size: examples in memory at once.

    Raises:
        InputError: no trainable parameter, inputs and labels that do not fit together or hold
            values out of range, or a model whose output is not finite logits [N, classes], differs
            from pass to pass or does not depend on the parameters.
    """
    if isinstance(x, Mapping):
        model, x = _Rows(model, x), _row_numbers(x)
    x, y = _checked_examples(x, y, batch_size)
    parameter = next(model.parameters(), None)
    if parameter is not None and x.is_floating_point():
        x = x.to(parameter.dtype)
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
    if isinstance(network, SingleNetwork):
        require_symmetry(network, data)
    return network, data


def require_symmetry(network: SingleNetwork, data: PackData) -> None:
    """Refuse a model whose Hessian is not symmetric: an operation has a wrong second derivative.

    Formula: u.Hv = v.Hu, for random u and v, on the first examples.
    """
    few = PackData(data.pool, data.rows[:, :TRIED], data.y[:, :TRIED])
    loss = AutogradLoss(network, few, chunk=TRIED)
    draw = torch.Generator().manual_seed(0)
    u, v = (torch.randn(loss.theta.shape, generator=draw).to(loss.theta) for _ in range(2))
    if _symmetric(loss, u, v):
        return
    start = 0
    for name, value in zip(network.names, network.parameters(), strict=True):
        only = torch.zeros_like(u)
        only[:, start : start + value.numel()] = 1
        start += value.numel()
        if not _symmetric(loss, u * only, v * only):
            layer = name.split(".parametrizations.")[0].rpartition(".")[0] or name
            raise InputError(
                f"layer '{layer}' has an operation with a wrong second derivative (the Hessian is "
                "not symmetric): replace it, or remove its parametrization"
            )
    raise InputError(
        "the model has an operation with a wrong second derivative (the Hessian is not symmetric)"
    )


def _symmetric(loss: AutogradLoss, u: Tensor, v: Tensor) -> bool:
    of_u, of_v = loss.product(u), loss.product(v)
    difference = float((u * of_v).sum() - (v * of_u).sum())
    size = max(float(of_u.norm()), float(of_v.norm()))
    return not abs(difference) > SYMMETRIC * size


def _fits(layers: Sequence[nn.Linear], x: Tensor) -> bool:
    """Say whether the inputs have the first layer's width, and the parameters' type and device."""
    alike = all(
        (p.dtype, p.device) == (x.dtype, x.device) for layer in layers for p in layer.parameters()
    )
    return x.dim() > 1 and alike and x[0].numel() == layers[0].in_features


def _row_numbers(x: Mapping[str, Tensor]) -> Tensor:
    """Return the numbers [N, 1] of the rows that all tensors of a mapping have."""
    counts = {name: len(values) for name, values in x.items()}
    if len(set(counts.values())) != 1:
        named = ", ".join(f"{name}: {count}" for name, count in counts.items()) or "nothing"
        raise InputError(f"x must hold tensors of equally many examples, got {named}")
    return torch.arange(next(iter(counts.values())))[:, None]


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
            logits = require_logits(network(x)[0], x.shape[1])
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
