"""From the facts of a network to a pack of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from byheart.errors import InputError
from byheart.networks.cnn import ReplicatedCNN
from byheart.networks.examine import examine
from byheart.networks.foreign import initialised
from byheart.networks.mlp import ReplicatedMLP
from byheart.networks.vmapped import ModulePack
from byheart.trial import CNN, MLP, Foreign, Network


def build_pack(
    network: Network,
    shape: tuple[int, ...],
    classes: int,
    seeds: Sequence[int],
    *,
    dtype: torch.dtype = torch.float32,
    device: str | torch.device = "cpu",
) -> ReplicatedMLP | ReplicatedCNN | ModulePack:
    """Return one initialised replica per seed.

    Args:
        network: the architecture.
        shape: shape of one input as the network sees it.
        classes: number of outputs.
        seeds: one per replica.
        dtype: dtype of the parameters.
        device: their device.
    """
    match network:
        case MLP():
            sizes = (math.prod(shape), *network.hidden, classes)
            return ReplicatedMLP.initialised(sizes, seeds, dtype=dtype, device=device)
        case CNN():
            return ReplicatedCNN.initialised(
                network, shape, classes, seeds, dtype=dtype, device=device
            )
        case Foreign():
            return _foreign_pack(network, shape, classes, seeds, dtype=dtype, device=device)


def _foreign_pack(
    network: Foreign,
    shape: tuple[int, ...],
    classes: int,
    seeds: Sequence[int],
    *,
    dtype: torch.dtype,
    device: str | torch.device,
) -> ModulePack:
    examined = examine(network.factory, shape, classes)
    if examined.fingerprint != network.fingerprint:
        raise InputError(
            f"--model {network.factory}: it makes another network than when the study was planned: "
            "give the same command again"
        )
    modules = [initialised(network.factory, seed, dtype=dtype).to(device) for seed in seeds]
    return examined.pack.stacked(modules, takes=examined.takes, shape=shape, seeds=seeds)
