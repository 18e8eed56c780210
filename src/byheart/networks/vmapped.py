"""Evaluate R copies of a user's module: together by ``torch.func.vmap``, or one after another."""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from byheart.networks.foreign import logits_of
from byheart.seeds import seed

State = dict[str, Tensor]

SHIFT, SCALE = "shift", "scale"

RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU)
ACTIVATIONS = (*RECTIFIERS, nn.SiLU, nn.Mish, nn.Hardswish, nn.Softplus, nn.Tanh, nn.Sigmoid)
DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


class ModulePack(ABC):
    """R copies of a user's module, whose parameters and buffers are stacked.

    Args:
        modules: one per replica; under vmap only the first is used.
        trained: parameters by name, each [R, ...].
        kept: buffers and frozen parameters by name, each [R, ...].
        takes: shape of an input that the module expects, without the batch.
        shape: shape of an input in the data set.
        seeds: one per replica.
        steps: number of training steps so far.

    Attributes:
        module_per_replica: every replica needs its own module.
    """

    module_per_replica: ClassVar[bool]

    def __init__(
        self,
        modules: Sequence[nn.Module],
        trained: State,
        kept: State,
        *,
        takes: tuple[int, ...],
        shape: tuple[int, ...],
        seeds: Sequence[int],
        steps: int = 0,
    ) -> None:
        self._modules = list(modules if self.module_per_replica else modules[:1])
        self._trained = trained
        self._kept = kept
        self._takes = takes
        self._shape = shape
        self._seeds = list(seeds)
        self._steps = steps
        # The modules return their logits within something else.
        self._wrapped = False

    @classmethod
    def stacked(
        cls,
        modules: Sequence[nn.Module],
        *,
        takes: tuple[int, ...],
        shape: tuple[int, ...],
        seeds: Sequence[int],
    ) -> Self:
        """Return a pack of copies of modules that share architecture, dtype and device."""
        trained, kept = zip(*(_state(module) for module in modules), strict=True)
        return cls(modules, _stack(trained), _stack(kept), takes=takes, shape=shape, seeds=seeds)

    @property
    def replicas(self) -> int:
        """Number of replicas R."""
        return len(self._seeds)

    def parameters(self) -> Sequence[Tensor]:
        """Return the trained parameters, each [R, ...]; see :class:`TrainableNetwork`."""
        return list(self._trained.values())

    def untrained_tensors(self) -> Sequence[Tensor]:
        """Return frozen parameters and buffers, each [R, ...]."""
        return list(self._kept.values())

    def perturb_hidden(self, shift: Tensor | None, scale: Tensor | None) -> None:
        """Shift and scale hidden units, each [R, B, units], in the next training batch.

        The modules must be :class:`PerturbedModule`.
        """
        for name, values in ((SHIFT, shift), (SCALE, scale)):
            if values is not None:
                self._kept[name] = values

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [R, N, classes] in eval mode; see :class:`PackNetwork`."""
        return self._logits(self._to_module_shape(x), training=False)

    def training_logits(self, x: Tensor) -> Tensor:
        """Return logits [R, N, classes] in train mode; see :class:`TrainableNetwork`."""
        logits = self._logits(self._to_module_shape(x), training=True)
        self._steps += 1
        return logits

    def select(self, replicas: Tensor) -> Self:
        """Return a copy of some replicas, by index or mask."""
        rows = torch.arange(self.replicas)[replicas.cpu()].tolist()
        modules = [self._modules[row] for row in rows] if self.module_per_replica else self._modules
        return type(self)(
            modules,
            {name: values.detach()[replicas] for name, values in self._trained.items()},
            {name: values[replicas] for name, values in self._kept.items()},
            takes=self._takes,
            shape=self._shape,
            seeds=[self._seeds[row] for row in rows],
            steps=self._steps,
        )

    def state(self) -> dict[str, Any]:
        """Return everything that training changes: tensors and plain values."""
        return {"trained": self._trained, "kept": self._kept, "steps": self._steps}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Any]) -> None:
        """Load a state that :meth:`state` returned, in place."""
        for current, loaded in ((self._trained, state["trained"]), (self._kept, state["kept"])):
            for name, values in current.items():
                values.copy_(loaded[name])
        self._steps = state["steps"]

    def finite(self) -> Tensor:
        """Return for each replica whether all its parameters are finite, bool [R]."""
        finite = [torch.isfinite(p).reshape(self.replicas, -1).all(1) for p in self.parameters()]
        return torch.stack(finite).all(0)

    @torch.no_grad()
    def module(self, replica: int) -> nn.Module:
        """Return one replica as an ordinary module; see :class:`PackNetwork`."""
        module = copy.deepcopy(self._modules[replica if self.module_per_replica else 0])
        tensors = dict(module.named_parameters()) | dict(module.named_buffers())
        for name, values in (self._trained | self._kept).items():
            tensors[name].copy_(values[replica])
        as_it_is = self._takes == self._shape and not self._wrapped
        return (module if as_it_is else Reshaped(module, self._takes)).eval()

    def _forward(self, module: nn.Module, state: State, x: Tensor) -> Tensor:
        """Return the logits of a module with other tensors."""
        output = functional_call(module, state, (x,))
        self._wrapped = not isinstance(output, Tensor)
        logits: Tensor = logits_of(output)
        return logits

    @abstractmethod
    def _logits(self, x: Tensor, *, training: bool) -> Tensor:
        """Return logits [R, N, classes] of inputs [R, N, *takes]."""

    def _to_module_shape(self, x: Tensor) -> Tensor:
        x = x.expand(self.replicas, *x.shape[-2:])
        return x.reshape(*x.shape[:2], *self._takes)


class VmappedNetwork(ModulePack):
    """Replicas evaluated together, by vmap."""

    module_per_replica = False

    def _logits(self, x: Tensor, *, training: bool) -> Tensor:
        (module,) = self._modules
        _set_mode(module, training)

        def replica(trained: State, kept: State, x: Tensor) -> tuple[Tensor, State]:
            state = trained | kept
            return self._forward(module, state, x), {name: state[name] for name in kept}

        # No random layers: under vmap, a replica's random numbers would depend on its pack.
        logits, after = vmap(replica, randomness="error")(self._trained, self._kept, x)
        if training:
            _copy_reassigned(after, self._kept)
        return logits


class SeparateNetworks(ModulePack):
    """Replicas evaluated one after another, if vmap cannot evaluate the module.

    Random numbers in training depend only on the replica's seed and the number of steps so far.
    """

    module_per_replica = True

    def _logits(self, x: Tensor, *, training: bool) -> Tensor:
        # One unbind: an index per replica would allocate a full-size gradient for each of them.
        trained, kept = (
            _by_replica(self._trained, self.replicas),
            _by_replica(self._kept, self.replicas),
        )
        logits = []
        for module, seed_, weights, buffers, inputs in zip(
            self._modules, self._seeds, trained, kept, x, strict=True
        ):
            _set_mode(module, training)
            state = weights | buffers
            if training:
                with seeded_randomness(seed_, self._steps, x.device):
                    logits.append(self._forward(module, state, inputs))
                _copy_reassigned({name: state[name] for name in buffers}, buffers)
            else:
                logits.append(self._forward(module, state, inputs))
        return torch.stack(logits)


class ChannelsLastNetworks(SeparateNetworks):
    """Replicas evaluated one after another, on images whose channels stand last in memory.

    On CPUs, convolutions are up to 1.6 times as fast that way.
    """

    def _to_module_shape(self, x: Tensor) -> Tensor:
        x = super()._to_module_shape(x)
        images = x.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        return images.view(x.shape)


class Reshaped(nn.Module):
    """A module that reshapes its inputs first, and returns a tensor."""

    def __init__(self, model: nn.Module, takes: tuple[int, ...]) -> None:
        super().__init__()
        self.model = model
        self.takes = takes

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits of inputs [N, *shape]."""
        logits: Tensor = logits_of(self.model(x.reshape(x.shape[0], *self.takes)))
        return logits


class PerturbedModule(nn.Module):
    r"""A network whose hidden units can be shifted and scaled in training.

    Formula: h <- (h + shift) * scale after every activation layer, in train mode only. The layers
    read consecutive column ranges of the two buffers, in order of evaluation.

    Args:
        model: the user's network. Its activation layers (such as ``nn.ReLU``) get a hook; if it has
            none, its dropout layers do.

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
        self.units_per_layer: list[int] = []
        for layer in noise_layers(model):
            layer.register_forward_hook(_Hook(self))

    def forward(self, x: Tensor) -> Tensor:
        """Return the model's logits of inputs [B, *takes]."""
        self.units_per_layer = []
        logits: Tensor = self.model(x)
        return logits

    def perturb_hidden(self, h: Tensor) -> Tensor:
        """Return a layer's outputs [B, ...], shifted and scaled in train mode."""
        start = sum(self.units_per_layer)
        self.units_per_layer.append(math.prod(h.shape[1:]))
        columns = slice(start, start + self.units_per_layer[-1])
        if self.training and self.shift.dim():
            h = h + self.shift[:, columns].reshape(h.shape)
        if self.training and self.scale.dim():
            h = h * self.scale[:, columns].reshape(h.shape)
        return h


class _Hook:
    """Shifts and scales the outputs of a layer; copied together with its network."""

    def __init__(self, owner: PerturbedModule) -> None:
        self.owner = owner

    def __call__(self, layer: nn.Module, inputs: Any, h: Tensor) -> Tensor:
        return self.owner.perturb_hidden(h)


def noise_layers(model: nn.Module) -> Sequence[nn.Module]:
    """Return the activation layers (if none, the dropout layers) of a network."""

    def of(kinds: tuple[type[nn.Module], ...]) -> Iterator[nn.Module]:
        return (layer for layer in model.modules() if isinstance(layer, kinds))

    return list(of(ACTIVATIONS)) or list(of(DROPOUTS))


def noise_layer_types(model: nn.Module) -> tuple[str, ...]:
    """Return the names in ``torch.nn`` of the types of :func:`noise_layers`."""
    layers = noise_layers(model)
    kinds = (*ACTIVATIONS, *DROPOUTS)
    return tuple(k.__name__ for k in kinds if any(isinstance(layer, k) for layer in layers))


@torch.no_grad()
def hidden_units(model: nn.Module, x: Tensor) -> tuple[int, str]:
    """Return the number of hidden units that :class:`PerturbedModule` reaches, and why if it is 0.

    Args:
        model: the user's network; it stays in eval mode.
        x: [N, *takes] inputs.
    """
    if not noise_layers(model):
        return 0, (
            "the network has no layer such as nn.ReLU or nn.Dropout to add it after: "
            "make its activations modules"
        )
    batch_sizes: set[int] = set()
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, h: batch_sizes.add(len(h)))
        for layer in noise_layers(model)
    ]
    model.eval()(x)
    for hook in hooks:
        hook.remove()
    if batch_sizes != {len(x)}:
        return 0, "its activation layers do not see one row per example"
    perturbed = PerturbedModule(model).eval()
    perturbed(x)
    return sum(perturbed.units_per_layer), ""


@contextmanager
def seeded_randomness(seed_: int, step: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Make torch's random numbers depend only on a replica's seed and its training step."""
    device, drawn = torch.device(device), seed("noise", seed_, step)
    if device.type == "cpu":
        # What follows does the same for all devices, in ten times the time.
        generator = torch.default_generator
        before = generator.get_state()
        generator.manual_seed(drawn)
        try:
            yield
        finally:
            generator.set_state(before)
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(drawn)
        yield


def _state(module: nn.Module) -> tuple[State, State]:
    """Return a module's trained parameters, and its other tensors, by name."""
    parameters = dict(module.named_parameters())
    trained = {name: p.detach() for name, p in parameters.items() if p.requires_grad}
    frozen = {name: p.detach() for name, p in parameters.items() if not p.requires_grad}
    return trained, {**frozen, **{name: b.detach() for name, b in module.named_buffers()}}


def _stack(states: Sequence[State]) -> State:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _by_replica(state: State, replicas: int) -> list[State]:
    """Split a stacked state into one per replica; the tensors are views."""
    columns = {name: values.unbind(0) for name, values in state.items()}
    return [{name: rows[r] for name, rows in columns.items()} for r in range(replicas)]


@torch.no_grad()
def _copy_reassigned(after: Mapping[str, Tensor], kept: State) -> None:
    """Copy buffers that a module reassigned; buffers changed in place need no copy."""
    for name, values in after.items():
        if values.data_ptr() != kept[name].data_ptr():
            kept[name].copy_(values)


def _set_mode(module: nn.Module, training: bool) -> None:
    if module.training != training:
        module.train(training)
