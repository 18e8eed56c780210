"""A Ray cluster: the library, the connection, and what nodes have and packs need."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from byheart.errors import InputError
from byheart.training.packs import Pack

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset

PROCESS_BYTES = 500 * 2**20
"""Memory of a process that has torch and ray loaded, beside the pack."""
_CONTEXT_BYTES = 600 * 2**20
"""Memory of a GPU that a process takes before it has trained anything."""
_MOST_PER_GPU = 8
"""Packs on one GPU: more of them only wait for each other."""
_ENVIRONMENT = {
    # No usage statistics without consent.
    "RAY_USAGE_STATS_ENABLED": "0",
    # What later versions do by default: without it, this version warns.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
_TIMEOUT = 10.0
"""Seconds in which a cluster must answer."""


@dataclass(frozen=True)
class Resources:
    """What a task asks of a node, or what a node has.

    Attributes:
        cpus: cores.
        gpus: GPUs; a part of one where several packs share it.
        memory: bytes.
    """

    cpus: float
    gpus: float
    memory: float

    def capped(self, nodes: Iterable[Resources]) -> Resources:
        """Return the same with no more memory than the largest node has."""
        most = max((node.memory for node in nodes), default=self.memory)
        return replace(self, memory=min(self.memory, most))


def resources_of(
    pack: Pack, dataset: Dataset, *, threads: int, gpu_bytes: int | None = None
) -> Resources:
    """Return what a pack needs.

    Args:
        pack: is to be trained.
        dataset: the clean source.
        threads: CPU threads.
        gpu_bytes: memory of a GPU; None trains on the CPU.
    """
    from byheart.training.cost import pack_bytes

    bytes_of_pack = pack_bytes(pack, dataset.shape, dataset.n_classes)
    if gpu_bytes is None:
        return Resources(threads, 0.0, PROCESS_BYTES + bytes_of_pack)
    packs_per_gpu = gpu_bytes // (_CONTEXT_BYTES + bytes_of_pack)
    return Resources(threads, 1 / min(_MOST_PER_GPU, max(1, packs_per_gpu)), PROCESS_BYTES)


def tasks_at_once(nodes: Iterable[Resources], needs: Resources) -> int:
    """Return how many tasks with the same needs these nodes can run at once."""
    return sum(_tasks_on(node, needs) for node in nodes)


def _tasks_on(node: Resources, needs: Resources) -> int:
    pairs = ((node.cpus, needs.cpus), (node.gpus, needs.gpus), (node.memory, needs.memory))
    # The tolerance lets three thirds of a GPU make a whole one.
    return min((int(has / need + 1e-6) for has, need in pairs if need), default=0)


def require_ray() -> Any:
    """Return the ray module.

    Raises:
        InputError: it is not installed.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "--runner ray needs Ray: pip install 'byheart[ray]', or use --runner processes"
        ) from error
    return ray


def connect(address: str | None, cores: int) -> Any:
    """Connect to a cluster, or start one on this machine; return the ray module.

    An existing connection is used again.

    Args:
        address: "auto" (the cluster this machine is a node of) or "HOST:PORT" of its head; None for
            what ``RAY_ADDRESS`` names, or else this machine alone.
        cores: of this machine, where it is alone.

    Raises:
        InputError: there is no Ray here, or no cluster there, or one of another version.
    """
    ray = require_ray()
    if ray.is_initialized():
        return ray
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    options: dict[str, Any] = {"address": where}
    if where == "local":
        options |= {"num_cpus": cores, "include_dashboard": False}
    try:
        _require_answer(where)
        ray.init(log_to_driver=False, logging_level="ERROR", configure_logging=False, **options)
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"cannot reach a Ray cluster at {where} ({reason[:200]}): start one there with `ray "
            "start --head`, or leave --address out to use this machine alone"
        ) from error
    return ray


def _require_answer(address: str) -> None:
    """Raise an OSError if nothing listens at an address: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT).close()


def nodes(ray: Any) -> list[Resources]:
    """Return what each living node has, used or not."""
    resources = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [
        Resources(has["CPU"], has.get("GPU", 0.0), has.get("memory", 0.0))
        for has in resources
        if has.get("CPU")
    ]


def gpu_bytes(ray: Any) -> int:
    """Return the memory of a GPU of the cluster.

    Raises:
        InputError: no node has one.
    """
    if not any(node.gpus for node in nodes(ray)):
        raise InputError("no node of the Ray cluster has a GPU: use --device cpu")
    return int(ray.get(ray.remote(num_cpus=0, num_gpus=0.01)(_first_gpu).remote()))


def _first_gpu() -> int:
    import torch

    return int(torch.cuda.get_device_properties(0).total_memory)
