"""Convert a module to nodes for bound propagation, or name the unsupported layer."""

from __future__ import annotations

import copy
import itertools
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from byheart.measures.critical.arithmetic import Arithmetic
from byheart.measures.critical.bends import Curve, Leaky, MaxPool, Relu
from byheart.measures.critical.steps import Add, Affine, Flatten, Kernel, Node, Step, transpose_of

IDENTITY_IN_EVAL = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
"""Layers that change nothing in eval mode."""
CURVES: dict[type[nn.Module], float] = {
    nn.Sigmoid: 0.0963,
    nn.Tanh: 0.77,
    nn.SiLU: 0.501,
    nn.GELU: 1.0,
}
"""Smooth activations, and what their second derivative never exceeds."""
KNOWN = (
    *IDENTITY_IN_EVAL,
    *CURVES,
    nn.ReLU,
    nn.LeakyReLU,
    nn.Flatten,
    nn.Linear,
    nn.Conv2d,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.MaxPool2d,
    nn.ZeroPad2d,
)
"""Layers with bounds. Subclasses are excluded, since their forward may compute anything."""
ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
RELUS = (functional.relu, functional.relu_, torch.relu, torch.relu_, "relu", "relu_")
LAYERS: dict[Any, type[nn.Module]] = {
    functional.max_pool2d: nn.MaxPool2d,
    functional.avg_pool2d: nn.AvgPool2d,
    functional.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    functional.leaky_relu: nn.LeakyReLU,
    functional.gelu: nn.GELU,
    functional.silu: nn.SiLU,
    functional.tanh: nn.Tanh,
    functional.sigmoid: nn.Sigmoid,
    torch.tanh: nn.Tanh,
    torch.sigmoid: nn.Sigmoid,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
"""Functions whose arguments after the input are those of the layer's constructor."""
SUMS = (*ADDITIONS, operator.sub, torch.sub, "sub")
PRODUCTS = (operator.mul, torch.mul, "mul")
QUOTIENTS = (operator.truediv, torch.div, "div")
SHAPES = (torch.flatten, torch.reshape, "flatten", "reshape", "view")
FREE_OF_INPUTS = (
    *(getattr, operator.getitem, "size", "dim"),
    *(*SUMS, *PRODUCTS, *QUOTIENTS, "view", "reshape", "unsqueeze"),
)
"""Functions with which a forward may compute sizes of tensors, or constants from buffers."""
IN_PLACE = (operator.iadd, functional.relu_, torch.relu_, "add_", "relu_")


class UnknownLayerError(Exception):
    """An unsupported layer; the message names it."""


def trace_nodes(
    model: nn.Module, x: Tensor, arithmetic: Arithmetic, dtype: torch.dtype = torch.float64
) -> list[Node]:
    """Return the nodes of a network, in the order of their evaluation.

    The forward methods of a user's modules are traced symbolically: they may call supported layers,
    add tensors, and use ReLU, pooling and flatten as functions.

    Args:
        model: in eval mode.
        x: [N, *shape] inputs, to learn the shapes between layers.
        arithmetic: rounding errors of the model's own floating-point format.
        dtype: format in which bounds are computed.

    Raises:
        UnknownLayerError: a layer is not supported, is patched or hooked, or cannot be traced.
    """
    for name, module in model.named_modules():
        # A hook or a patched method may compute anything.
        if module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module):
            raise UnknownLayerError(
                _display_name(name, module) + " with a hook or a patched forward"
            )
    root = nn.Sequential(model) if isinstance(model, KNOWN) else model
    probe = torch.cat([x[:1], x[:1]])  # two rows: a forward may merge them
    converter = _GraphConverter(root, root is not model, arithmetic, dtype)
    # Copies, since layers may work in place.
    result = converter.run(_Tracer().trace(root), probe.clone())
    if not torch.allclose(converter.values[result], model(probe.clone()), rtol=1e-3, atol=1e-5):
        raise UnknownLayerError(_display_name("", model) + " whose forward cannot be traced")
    return pooled_first(converter.nodes[: converter.node_number[result]])


def pooled_first(nodes: list[Node]) -> list[Node]:
    """Return the nodes with each ReLU behind the max pool that alone takes it.

    The largest of rectified values is the rectified largest: there are fewer.
    """
    users = [sum(node.inputs.count(value) for node in nodes) for value in range(len(nodes) + 1)]
    nodes = list(nodes)
    for number, (node, after) in enumerate(itertools.pairwise(nodes)):
        alone = after.inputs == (number + 1,) and users[number + 1] == 1
        if isinstance(node.step, Relu) and isinstance(after.step, MaxPool) and alone:
            nodes[number] = Node(after.step, node.inputs)
            nodes[number + 1] = Node(node.step, after.inputs)
    return nodes


class _Tracer(fx.Tracer):
    """Traces a user's modules; layers of PyTorch are leaves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, KNOWN) or super().is_leaf_module(m, module_qualified_name)

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        try:
            return super().trace(root, concrete_args)
        except UnknownLayerError:
            raise
        except Exception as reason:
            raise _untraceable("", root) from reason

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        try:
            return super().call_module(m, forward, args, kwargs)
        except UnknownLayerError:
            raise
        except Exception as reason:
            raise _untraceable(self.path_of_module(m), m) from reason


def _untraceable(name: str, module: nn.Module) -> UnknownLayerError:
    return UnknownLayerError(_display_name(name, module) + " whose forward cannot be traced")


def _display_name(name: str, module: nn.Module) -> str:
    kind = type(module).__name__
    return f"{name} ({kind})" if name else kind


@dataclass
class _GraphConverter:
    """Converts a traced graph in one pass, with the actual tensor of each node.

    Attributes:
        root: the traced module.
        root_is_wrapper: ``root`` wraps a single layer, since fx does not trace a layer itself.
        arithmetic: see :func:`trace_nodes`.
        dtype: see :func:`trace_nodes`.
        nodes: the nodes so far.
        values: the tensor, or the size, that each node of the graph computes.
        node_number: number of ``nodes`` up to the one that computes a tensor; 0 for the input.
    """

    root: nn.Module
    root_is_wrapper: bool
    arithmetic: Arithmetic
    dtype: torch.dtype
    nodes: list[Node] = field(default_factory=list)
    values: dict[fx.Node, Any] = field(default_factory=dict)
    node_number: dict[fx.Node, int] = field(default_factory=dict)

    def run(self, graph: fx.Graph, x: Tensor) -> fx.Node:
        """Convert the graph of inputs ``x``; return its last node."""
        for node in graph.nodes:
            if node.op == "placeholder" and not self.node_number:
                self.values[node], self.node_number[node] = x, 0
            elif node.op == "get_attr":
                self.values[node] = _attribute(self.root, str(node.target))
            elif node.op == "call_module":
                self._module(node)
            elif node.op in ("call_function", "call_method"):
                self._function(node)
            elif node.op == "output" and node.args[0] in self.node_number:
                result: fx.Node = node.args[0]
                return result
            else:
                raise UnknownLayerError(f"{_display_name('', self.root)} ({node.op} {node.target})")
        raise AssertionError("a graph without an output")

    def _module(self, node: fx.Node) -> None:
        module = self.root.get_submodule(str(node.target))
        layer_name = _display_name("" if self.root_is_wrapper else str(node.target), module)
        source = self._source(node, layer_name)
        # Checked before it runs: an unsupported layer may compute anything.
        if not is_supported(module) or len(node.args) != 1 or node.kwargs:
            raise UnknownLayerError(layer_name)
        if getattr(module, "inplace", False):
            self._refuse_overwrite(source, node, layer_name)
        if type(module) in IDENTITY_IN_EVAL:
            self._pass_through(node, source)
        else:
            self._layer(node, module, layer_name)

    def _function(self, node: fx.Node) -> None:
        target: Any = node.target
        layer_name = f"{getattr(target, '__name__', target)} (a function)"
        extra = {name: value for name, value in node.kwargs.items() if name != "inplace"}
        if target in FREE_OF_INPUTS and self._is_free_of_inputs(node):
            arguments = fx.node.map_arg(node.args, lambda used: self.values[used])
            method = getattr(arguments[0], target) if isinstance(target, str) else None
            self.values[node] = method(*arguments[1:]) if method else target(*arguments)
            return
        if self._with_constant(node, layer_name):
            return
        source = self._source(node, layer_name)
        if target in IN_PLACE or node.kwargs.get("inplace", False):
            self._refuse_overwrite(source, node, layer_name)
        if target in ADDITIONS and len(node.args) == 2 and not node.kwargs:
            self._addition(node, source, node.args[1], layer_name)
        elif target in RELUS and len(node.args) == 1 and not extra:
            self._append(
                node, Node(Relu(), (self.node_number[source],)), self.values[source].relu()
            )
        elif target in SHAPES:
            self._shape(node, source, layer_name)
        elif target in LAYERS and len(node.args) <= 5:
            rest = fx.node.map_arg((node.args[1:], node.kwargs), lambda used: self.values[used])
            self._layer(node, LAYERS[target](*rest[0], **rest[1]), layer_name)
        elif target is functional.dropout and _training(node) is False:
            self._pass_through(node, source)
        else:
            raise UnknownLayerError(layer_name)

    def _is_free_of_inputs(self, node: fx.Node) -> bool:
        """Return whether a node computes sizes, or a tensor that no input changes."""
        first = node.args[0]
        if first in self.node_number:
            asks_shape = node.target is getattr and node.args[1] == "shape"
            return asks_shape or node.target in ("size", "dim")
        used = [*node.all_input_nodes]
        return bool(used) and not node.kwargs and all(v not in self.node_number for v in used)

    def _source(self, node: fx.Node, layer_name: str) -> fx.Node:
        source = node.args[0] if node.args else None
        if not isinstance(source, fx.Node) or source not in self.node_number:
            raise UnknownLayerError(layer_name)
        return source

    def _refuse_overwrite(self, source: fx.Node, node: fx.Node, layer_name: str) -> None:
        """Raise if an in-place layer overwrites memory that a later node reads."""
        memory = self.values[source].untyped_storage().data_ptr()
        for value in self.node_number:
            shared = self.values[value].untyped_storage().data_ptr() == memory
            if shared and any(user > node for user in value.users):
                raise UnknownLayerError(f"{layer_name} in place, on a value that is used again")

    def _append(self, node: fx.Node, step: Node, after: Tensor) -> None:
        self.nodes.append(step)
        self.node_number[node], self.values[node] = len(self.nodes), after

    def _pass_through(self, node: fx.Node, source: fx.Node) -> None:
        self.node_number[node], self.values[node] = self.node_number[source], self.values[source]

    def _layer(self, node: fx.Node, module: nn.Module, layer_name: str) -> None:
        source: Any = node.args[0]
        before = self.values[source]
        after = module(before)
        step = step_of(module, before, after, self.arithmetic, self.dtype)
        if step is None:
            raise UnknownLayerError(layer_name)
        self._append(node, Node(step, (self.node_number[source],)), after)

    def _addition(self, node: fx.Node, source: fx.Node, addend: Any, layer_name: str) -> None:
        if not isinstance(addend, fx.Node) or addend not in self.node_number:
            raise UnknownLayerError(layer_name)
        left, right = self.values[source], self.values[addend]
        if left.shape != right.shape or left.dtype != right.dtype:
            raise UnknownLayerError(layer_name)
        inputs = (self.node_number[source], self.node_number[addend])
        self._append(node, Node(Add(self.arithmetic), inputs), left + right)

    def _with_constant(self, node: fx.Node, layer_name: str) -> bool:
        """Append a sum, product or quotient of a value and a constant; return if it is one."""
        target: Any = node.target
        if target not in (*SUMS, *PRODUCTS, *QUOTIENTS) or len(node.args) != 2 or node.kwargs:
            return False
        first, second = (self._constant(argument) for argument in node.args)
        if (first is None) == (second is None) or (first is not None and target in QUOTIENTS):
            return False
        source: Any = node.args[0] if first is None else node.args[1]
        if target in IN_PLACE:
            self._refuse_overwrite(source, node, layer_name)
        before = self.values[source]
        constant = cast(Tensor, second if first is None else first)
        function = getattr(torch, target) if isinstance(target, str) else target
        after = function(before, constant) if first is None else function(constant, before)
        if constant.dim() == before.dim() and len(constant) == 1:
            constant = constant.squeeze(0)
        same = after.shape == before.shape and after.dtype == before.dtype
        if not same or constant.dim() >= before.dim() or not bool(torch.isfinite(after).all()):
            raise UnknownLayerError(layer_name)
        factor = torch.ones((), dtype=torch.float64, device=before.device)
        scale, bias = factor, torch.zeros_like(factor)
        if target in PRODUCTS:
            scale = constant.double()
        elif target in QUOTIENTS:
            scale = 1.0 / constant.double()
        else:
            minus = target in SUMS[len(ADDITIONS) :]
            bias = -constant.double() if minus and first is None else constant.double()
            scale = -factor if minus and first is not None else factor
        step = _elementwise(scale, bias, bias.abs(), self.arithmetic, self.dtype)
        self._append(node, Node(step, (self.node_number[source],)), after)
        return True

    def _constant(self, argument: Any) -> Tensor | None:
        """Return a number or a tensor that does not depend on the input; None if it does."""
        if isinstance(argument, fx.Node) and argument not in self.node_number:
            argument = self.values.get(argument)
        if isinstance(argument, Tensor):
            return argument
        if isinstance(argument, int | float) and not isinstance(argument, bool):
            device = next(iter(self.values.values())).device
            return torch.tensor(float(argument), dtype=torch.float64, device=device)
        return None

    def _shape(self, node: fx.Node, source: fx.Node, layer_name: str) -> None:
        target: Any = node.target
        value = self.values[source]
        rest = fx.node.map_arg((node.args[1:], node.kwargs), lambda used: self.values[used])
        method = getattr(value, target if isinstance(target, str) else target.__name__)
        after = method(*rest[0], **rest[1])
        if not isinstance(after, Tensor) or len(after) != len(value) or after.dtype != value.dtype:
            raise UnknownLayerError(layer_name)
        self._append(node, Node(Flatten(after.shape[1:]), (self.node_number[source],)), after)


def _attribute(root: nn.Module, path: str) -> Tensor:
    """Return a parameter or buffer of a module."""
    value: Any = root
    for name in path.split("."):
        value = getattr(value, name)
    if not isinstance(value, Tensor):
        raise UnknownLayerError(f"{_display_name('', root)} (get_attr {path})")
    return value.detach()


def _training(node: fx.Node) -> Any:
    """Return the argument ``training`` of ``functional.dropout``."""
    return node.args[2] if len(node.args) > 2 else node.kwargs.get("training", True)


def is_supported(module: nn.Module) -> bool:
    """Return whether bounds may exist for a layer; batch norm must have running statistics."""
    # Layers without the attribute count as having them.
    return type(module) in KNOWN and getattr(module, "running_mean", module) is not None


def step_of(
    module: nn.Module, x: Tensor, after: Tensor, arithmetic: Arithmetic, dtype: torch.dtype
) -> Step | None:
    """Return the bound-propagation step of a supported layer; None if there is none.

    Args:
        module: in eval mode, and not one of :data:`IDENTITY_IN_EVAL`.
        x: [batch, *shape] inputs.
        after: the layer's outputs for them.
        arithmetic: see :func:`trace_nodes`.
        dtype: see :func:`trace_nodes`.
    """
    kind = type(module)
    if kind is nn.ReLU:
        return Relu()
    if kind is nn.LeakyReLU:
        slope = cast(nn.LeakyReLU, module).negative_slope
        return Leaky(slope, arithmetic.unit) if 0.0 <= slope <= 1.0 else None
    if kind in CURVES:
        return Curve(module, CURVES[kind], arithmetic.unit)
    if kind is nn.Flatten and module.start_dim == 1:
        return Flatten(after.shape[1:])
    if kind is nn.Linear and x.dim() == 2:
        return _linear(cast(nn.Linear, module), arithmetic, dtype)
    if kind is nn.Conv2d and after.dim() == 4 and module.padding_mode == "zeros":
        return _convolution(cast(nn.Conv2d, module), arithmetic, dtype)
    if kind in (nn.BatchNorm1d, nn.BatchNorm2d):
        return _normalisation(cast(nn.BatchNorm2d, module), x.dim(), arithmetic, dtype)
    if kind is nn.AvgPool2d and module.divisor_override is None and after.dim() == 4:
        height, width = _pair(module.kernel_size)
        pool = cast(nn.AvgPool2d, module)
        return _pooling_step(module, height * width, arithmetic, _average(pool, x, dtype))
    if kind is nn.ZeroPad2d and after.dim() == 4:
        return _pooling_step(module, 1, arithmetic, _padding(module, x, dtype))
    if kind is nn.AdaptiveAvgPool2d and after.dim() == 4:
        (height, width), (rows, columns) = x.shape[2:], after.shape[2:]
        if height % rows or width % columns:
            # Windows overlap: one takes part of up to two places more than it fills.
            terms = (height // rows + 2) * (width // columns + 2)
            return _pooling_step(module, terms, arithmetic, None)
        window = (height // rows, width // columns)
        average = nn.AvgPool2d(window)
        kernel = _average(average, x, dtype)
        return _pooling_step(average, window[0] * window[1], arithmetic, kernel)
    if kind is nn.MaxPool2d and after.dim() == 4:
        pool = cast(nn.MaxPool2d, module)
        if not pool.ceil_mode and not pool.return_indices:
            pooling = (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
            return MaxPool(*(_pair(size) for size in pooling))
    return None


def _linear(module: nn.Linear, arithmetic: Arithmetic, dtype: torch.dtype) -> Affine:
    weight = module.weight.detach().to(dtype)
    bias = _bias_or_zero(module.bias, weight)
    magnitude = weight.abs()
    return Affine(
        apply=lambda z: functional.linear(z, weight),
        absolute=lambda z: functional.linear(z, magnitude),
        transpose=lambda coefficients, shape: coefficients @ weight,
        bias=bias,
        offset=bias.abs(),
        terms=(module.in_features, module.out_features),
        arithmetic=arithmetic,
        weight=weight,
    )


def _convolution(module: nn.Conv2d, arithmetic: Arithmetic, dtype: torch.dtype) -> Affine:
    apply = copy.deepcopy(module).to(dtype).requires_grad_(False)
    bias = _bias_or_zero(module.bias, apply.weight)
    bias = bias.reshape(-1, 1, 1) if bias.dim() else bias
    apply.bias = None
    absolute = copy.deepcopy(apply)
    absolute.weight.abs_()
    area = module.kernel_size[0] * module.kernel_size[1]
    kernel = None
    transpose = transpose_of(apply)
    if not isinstance(module.padding, str):
        stride, padding, dilation = map(_pair, (module.stride, module.padding, module.dilation))
        kernel = Kernel(apply.weight.detach(), stride, padding, dilation, module.groups)
        transpose = kernel.transpose
    return Affine(
        apply=apply,
        absolute=absolute,
        transpose=transpose,
        bias=bias,
        offset=bias.abs(),
        terms=(module.in_channels * area, module.out_channels * area),
        arithmetic=arithmetic,
        kernel=kernel,
    )


def _normalisation(
    module: nn.BatchNorm2d, dimensions: int, arithmetic: Arithmetic, dtype: torch.dtype
) -> Affine:
    mean, variance = cast(Tensor, module.running_mean), cast(Tensor, module.running_var)
    mean, variance = mean.double(), variance.double()
    scale = (variance + module.eps).rsqrt()
    shift = torch.zeros_like(mean)
    if module.weight is not None:
        scale = scale * module.weight.detach().double()
        shift = module.bias.detach().double()
    bias, offset = shift - mean * scale, shift.abs() + mean.abs() * scale.abs()
    shape = (-1, *[1] * (dimensions - 2))
    scale, bias, offset = (value.reshape(shape) for value in (scale, bias, offset))
    return _elementwise(scale, bias, offset, arithmetic, dtype)


def _elementwise(
    scale: Tensor, bias: Tensor, offset: Tensor, arithmetic: Arithmetic, dtype: torch.dtype
) -> Affine:
    """Return the step that multiplies each value by ``scale`` and adds ``bias``."""
    scale, bias, offset = (value.to(dtype) for value in (scale, bias, offset))
    magnitude = scale.abs()
    return Affine(
        apply=lambda z: z * scale,
        absolute=lambda z: z * magnitude,
        transpose=lambda coefficients, _: coefficients * scale,
        bias=bias,
        offset=offset,
        terms=(1, 1),
        arithmetic=arithmetic,
        scale=scale,
    )


def _pooling_step(
    module: nn.Module, terms: int, arithmetic: Arithmetic, kernel: Kernel | None
) -> Affine:
    """Return the step of a layer that sums ``terms`` inputs, with weights >= 0 and no bias."""
    zero = torch.zeros(())
    return Affine(
        apply=module,
        absolute=module,
        transpose=transpose_of(module),
        bias=zero,
        offset=zero,
        terms=(terms, terms),
        arithmetic=arithmetic,
        kernel=kernel,
    )


def _average(module: nn.AvgPool2d, x: Tensor, dtype: torch.dtype) -> Kernel | None:
    """Return an average pool as a convolution; None if its edges have other weights."""
    height, width = _pair(module.kernel_size)
    padding = _pair(module.padding)
    if module.ceil_mode or (any(padding) and not module.count_include_pad):
        return None
    channels = x.shape[1]
    weight = x.new_full((channels, 1, height, width), 1.0 / (height * width), dtype=dtype)
    return Kernel(weight, _pair(module.stride), padding, groups=channels)


def _padding(module: nn.Module, x: Tensor, dtype: torch.dtype) -> Kernel | None:
    """Return a padding of zeros, or a crop, as a convolution; None if its sides differ."""
    left, right, top, bottom = cast(nn.ZeroPad2d, module).padding
    if left != right or top != bottom:
        return None
    weight = x.new_ones(x.shape[1], 1, 1, 1, dtype=dtype)
    return Kernel(weight, padding=(top, left), groups=x.shape[1])


def _bias_or_zero(bias: Tensor | None, weight: Tensor) -> Tensor:
    return weight.new_zeros(()) if bias is None else bias.detach().to(weight)


def _pair(size: int | tuple[int, ...]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])
