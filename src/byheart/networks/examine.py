"""A user's network, looked at once before it is trained: what it takes, and how it can train."""

from __future__ import annotations

import copy
import functools
import hashlib
import inspect
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from byheart.errors import InputError
from byheart.networks.foreign import Source, called, initialised, logits_of
from byheart.networks.size import NetworkSize
from byheart.networks.vmapped import (
    ChannelsLastNetworks,
    ModulePack,
    SeparateNetworks,
    VmappedNetwork,
    seeded_randomness,
)

EXAMPLES = 5
"""Random inputs that a network is tried on; one or three could be taken for channels."""
RELATIVE, ABSOLUTE = 1e-3, 1e-5
"""Largest difference by float32 rounding between a pack and separate networks."""
_ADDRESS = re.compile(r"0x[0-9a-f]+")


CONVOLUTIONS = 200_000
"""Multiply-adds per example from which networks of convolutions train faster one by one."""

Way = Literal["vmap", "one by one, channels last", "one by one"]
PACKS: Mapping[Way, type[ModulePack]] = {
    "vmap": VmappedNetwork,
    "one by one, channels last": ChannelsLastNetworks,
    "one by one": SeparateNetworks,
}
"""How replicas may train, in the order in which it is tried."""


@dataclass(frozen=True)
class Examined:
    """Results of examining a user's network.

    Attributes:
        takes: input shape that the network expects, without the batch: the shape of the data, or
            with a channel in front, or flat.
        way: replicas train together by ``torch.func.vmap``, or one by one; images may have their
            channels last in memory.
        reason: why they do not train together; empty if they do.
        fingerprint: fingerprint of the network; see :func:`fingerprint_of`.
        size: size of one replica.
        curvature: why its gradient cannot be differentiated once more; empty if it can.
    """

    takes: tuple[int, ...]
    way: Way
    reason: str
    fingerprint: str
    size: NetworkSize
    curvature: str

    @property
    def pack(self) -> type[ModulePack]:
        """Class of the packs in which replicas train."""
        return PACKS[self.way]


@functools.lru_cache(maxsize=64)
def examine(factory: Source, shape: tuple[int, ...], classes: int) -> Examined:
    """Try a user's network on random inputs.

    Args:
        factory: the user's, or "module:callable".
        shape: shape of one input.
        classes: number of outputs.

    Raises:
        InputError: it cannot be trained as it is; says why, and what would be right.
    """
    draw = torch.Generator().manual_seed(0)
    x = torch.rand(EXAMPLES, *shape, generator=draw)
    model, again, second = (initialised(factory, seed) for seed in (0, 0, 1))
    _require_own_weights(factory, model, again, second)
    takes = shape_it_takes(factory, model, x, classes)
    x = x.reshape(EXAMPLES, *takes)
    _require_fixed(factory, model, x)
    size = _size(model, x[:2])
    large = size.products >= CONVOLUTIONS and any(
        isinstance(layer, nn.modules.conv._ConvNd) for layer in model.modules()
    )
    way, reason = _way(factory, x, shape, classes, large=large)
    return Examined(takes, way, reason, fingerprint_of(model), size, _curvature(model, x))


def _require_own_weights(
    name: Source, model: nn.Module, again: nn.Module, second: nn.Module
) -> None:
    """Require that a seed determines the initial weights, and that no two networks share any."""
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise InputError(f"{called(name)}: the network has no parameters to train")
    shared = {id(p) for p in model.parameters()} & {id(p) for p in second.parameters()}
    if model is second or shared:
        raise InputError(
            f"{called(name)}: two calls returned the same object, or networks that share weights: "
            "make a new network in every call"
        )
    if fingerprint_of(model) != fingerprint_of(second):
        raise InputError(
            f"{called(name)}: two calls returned networks of different layers or shapes: return "
            "the same architecture in every call"
        )
    if not _equal(model, again):
        raise InputError(
            f"{called(name)}: its initial weights differ from call to call though "
            "torch.manual_seed was the same: draw them from torch's own random numbers"
        )
    if all(torch.equal(p, q) for p, q in zip(model.parameters(), second.parameters(), strict=True)):
        raise InputError(
            f"{called(name)}: every call returns the same initial weights, whatever the seed: draw "
            "them from torch's random numbers, and set no seed in the factory"
        )


def _equal(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(_tensors(first), _tensors(second), strict=True)
    return all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in pairs)


def _tensors(model: nn.Module) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


@torch.no_grad()
def shape_it_takes(name: Source, model: nn.Module, x: Tensor, classes: int) -> tuple[int, ...]:
    """Return the first shape of an input for which the network has one output per class.

    The network is put into eval mode.

    Raises:
        InputError: there is none; says what the network does instead.
    """
    shape = tuple(x.shape[1:])
    channel = [(1, *shape)] if len(shape) == 2 else []
    candidates = dict.fromkeys((shape, *channel, (math.prod(shape),)))
    problems = []
    model.eval()
    for takes in candidates:
        try:
            logits = logits_of(model(x.reshape(len(x), *takes)))
        except Exception as error:
            problems.append((2, f"does not take {_batch(takes)}: {one_line(error)}"))
            continue
        if not isinstance(logits, Tensor):
            kind = type(logits).__name__
            problems.append((1, f"returns a {kind} for {_batch(takes)}, not a tensor of logits"))
        elif logits.shape == (len(x), classes):
            return takes
        else:
            given = _batch(tuple(logits.shape[1:])) if len(logits) == len(x) else [*logits.shape]
            # Two dimensions are outputs per example, more are most likely of a shape misread.
            rank = 0 if logits.dim() == 2 else 1
            problems.append((rank, f"maps {_batch(takes)} to {given}"))
    _, problem = min(problems, key=lambda ranked: ranked[0])
    raise InputError(
        f"{called(name)}: the network {problem}; the data are {_batch(shape)}, and it must return "
        f"[N, {classes}]: one output per class"
    )


@torch.no_grad()
def _require_fixed(name: Source, model: nn.Module, x: Tensor) -> None:
    """Require finite outputs, and noise that ends with training and comes from torch."""
    model.eval()
    with seeded_randomness(0, 0):
        logits = logits_of(model(x))
    if not bool(torch.isfinite(logits).all()):
        raise InputError(
            f"{called(name)}: the network returns NaN or infinity with its initial weights, for "
            "random inputs in [0, 1]: see that it divides by nothing that may be 0"
        )
    with seeded_randomness(1, 0):
        if not torch.equal(logits_of(model(x)), logits):
            raise InputError(
                f"{called(name)}: the network is not deterministic in eval mode: equal inputs give "
                "different outputs; let dropout and noise end with self.training"
            )
    noisy = []
    for _ in range(2):
        with seeded_randomness(0, 0):
            try:
                noisy.append(logits_of(copy.deepcopy(model).train()(x)))
            except Exception as error:
                raise InputError(
                    f"{called(name)}: the network fails in train mode: {one_line(error)}"
                ) from error
    first, again = noisy
    if not torch.allclose(first, again, equal_nan=True):
        raise InputError(
            f"{called(name)}: torch.manual_seed cannot repeat its noise in train mode: draw it "
            "from torch's own random numbers"
        )


def _way(
    name: Source, x: Tensor, shape: tuple[int, ...], classes: int, *, large: bool
) -> tuple[Way, str]:
    """Return how replicas train, and why not by vmap: tried on two, against the plain modules.

    Large convolutions are not tried by vmap.
    """
    takes = tuple(x.shape[1:])
    x = torch.stack([x, x.flip(0)])
    y = torch.arange(2 * EXAMPLES).view(2, EXAMPLES) % classes
    wanted = [
        _step(initialised(name, seed), inputs, labels, seed)
        for seed, (inputs, labels) in enumerate(zip(x, y, strict=True))
    ]
    problem = "large convolutions are faster one by one" if large else ""
    ways: list[Way] = ["one by one"] if large else ["vmap", "one by one"]
    if large and len(takes) == 3:
        ways.insert(0, "one by one, channels last")
    for way in ways:
        kind = PACKS[way]
        modules = [initialised(name, seed) for seed in range(len(x))]
        pack = kind.stacked(modules, takes=takes, shape=shape, seeds=range(len(x)))
        try:
            with warnings.catch_warnings():
                # Where vmap only loops inside, a loop outside says so.
                warnings.filterwarnings("error", message="There is a performance drop")
                equal = _agrees(pack, x.flatten(2), y, wanted)
        except Exception as error:
            reason = _in_words(error)
        else:
            if equal:
                return way, problem
            reason = "by vmap it computes other numbers"
        problem = problem or reason
    raise InputError(
        f"{called(name)}: the network cannot be trained with weights that are handed to it "
        f"({reason}): give it parameters and buffers that torch.func.functional_call can replace"
    )


Step = tuple[Tensor, list[Tensor], list[Tensor], Tensor]
"""Logits in train mode, gradients, buffers after it, and logits in eval mode."""


def _step(model: nn.Module, x: Tensor, y: Tensor, seed: int) -> Step:
    """Return what one training step of a plain module computes."""
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad():
        with seeded_randomness(seed, 0):
            logits = logits_of(model(x))
        loss = functional.cross_entropy(logits, y)
        gradients = torch.autograd.grad(loss, trained, allow_unused=True, materialize_grads=True)
    untrained = [*(p for p in model.parameters() if not p.requires_grad), *model.buffers()]
    with torch.no_grad():
        return logits.detach(), list(gradients), untrained, logits_of(model.eval()(x))


def _agrees(pack: ModulePack, x: Tensor, y: Tensor, wanted: Sequence[Step]) -> bool:
    """Return whether a step of the pack is that of the plain modules."""
    trained = list(pack.parameters())
    for parameter in trained:
        parameter.requires_grad_(True)
    with torch.enable_grad():
        logits = pack.training_logits(x)
        loss = functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum")
        gradients = torch.autograd.grad(
            loss / y.shape[1], trained, allow_unused=True, materialize_grads=True
        )
    for parameter in trained:
        parameter.requires_grad_(False)
    with torch.no_grad():
        packed = (logits, gradients, pack.untrained_tensors(), pack(x))
    return all(
        _close(packed[0][r], alone[0])
        and all(_close(a[r], b) for a, b in zip(packed[1], alone[1], strict=True))
        and all(_close(a[r], b) for a, b in zip(packed[2], alone[2], strict=True))
        and _close(packed[3][r], alone[3])
        for r, alone in enumerate(wanted)
    )


def _close(values: Tensor, wanted: Tensor) -> bool:
    return torch.allclose(values, wanted, rtol=RELATIVE, atol=ABSOLUTE, equal_nan=True)


def fingerprint_of(model: nn.Module) -> str:
    """Return the hash of a network's parts, whatever its weights.

    In it go names, shapes and types of parameters and buffers, every layer's class and settings (a
    kernel size, a dropout rate), and the source text of classes that are not PyTorch's own, so
    that a changed ``forward`` is another network. A function that ``forward`` calls is not in it.

    Args:
        model: the network.
    """
    tensors = [*model.named_parameters(), *model.named_buffers()]
    facts = {
        "tensors": [(name, [*t.shape], str(t.dtype), t.requires_grad) for name, t in tensors],
        "layers": [
            (name, type(module).__qualname__, _ADDRESS.sub("", module.extra_repr()))
            for name, module in model.named_modules()
        ],
        "sources": sorted({_source(type(module)) for module in model.modules()}),
    }
    return hashlib.sha256(json.dumps(facts, separators=(",", ":")).encode()).hexdigest()[:32]


def _source(kind: type[nn.Module]) -> str:
    if kind.__module__.partition(".")[0] == "torch":
        return ""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""


def _size(model: nn.Module, x: Tensor) -> NetworkSize:
    """Return the size of a network that is only known by what it does.

    Args:
        model: it stays as it is.
        x: [N, *takes] inputs, at least two where it has batch norm.
    """
    model = copy.deepcopy(model).train()
    trained = [p for p in model.parameters() if p.requires_grad]
    with torch.enable_grad(), FlopCounterMode(display=False) as counter:
        logits = logits_of(model(x))
        forward = counter.get_total_flops()
        # Not autograd.grad, beside which the counter's own hooks cannot run.
        logits.sum().backward()
        both = counter.get_total_flops()
    with torch.no_grad(), _NumbersMade() as made:
        model.eval()(x)
    # A multiply-add counts as two operations. Forward and backward are three times as many as
    # forward alone, but for the gradient with respect to the input.
    products = forward // (2 * len(x))
    return NetworkSize(
        parameters=sum(p.numel() for p in trained),
        products=products,
        first_products=min(products, max(0, 3 * products - both // (2 * len(x)))),
        activations=x[0].numel() + made.numbers // len(x),
    )


class _NumbersMade(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the numbers in all tensors that operations make."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count what it makes; a view makes nothing."""
        made = func(*args, **(kwargs or {}))
        if not func.is_view:
            of = made if isinstance(made, tuple | list) else (made,)
            self.numbers += sum(value.numel() for value in of if isinstance(value, Tensor))
        return made


def _curvature(model: nn.Module, x: Tensor) -> str:
    trained = [p for p in model.parameters() if p.requires_grad]
    try:
        with torch.enable_grad():
            losses = functional.log_softmax(logits_of(model.eval()(x)), 1)[:, 0]
            slopes = torch.autograd.grad(
                losses.sum(), trained, create_graph=True, allow_unused=True
            )
            length = torch.stack([(slope**2).sum() for slope in slopes if slope is not None]).sum()
            torch.autograd.grad(length, trained, allow_unused=True)
    except RuntimeError as error:
        return one_line(error)
    return ""


def _in_words(error: Exception) -> str:
    """Return why vmap cannot, without advice that is meant for whoever calls vmap."""
    text = str(error)
    if "randomness" in text:
        return "it draws random numbers while it trains, and each replica draws its own"
    if "data-dependent control flow" in text or "calling .item()" in text:
        return "its control flow depends on the data"
    rule = re.search(r"batching rule.*?(aten::[\w.]+)", text, re.IGNORECASE)
    return f"vmap has no rule for {rule[1].rstrip('.')}" if rule else one_line(error)


def one_line(error: Exception) -> str:
    """Return the first sentence of what went wrong, with the kind of error."""
    text = " ".join(str(error).split()).partition(". ")[0]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _batch(shape: tuple[int, ...]) -> str:
    return f"[N, {', '.join(map(str, shape))}]" if shape else "[N]"
