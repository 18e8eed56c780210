"""The way to a Ray cluster: the library, the connection, the nodes."""

from __future__ import annotations

import os
import socket
from typing import Any

from byheart.errors import InputError
from byheart.runners.needs import Needs

_QUIET = {
    # Nobody who trains on a laptop has agreed to tell anyone.
    "RAY_USAGE_STATS_ENABLED": "0",
    # What later versions do anyway, without the warning that they will.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}

_ANSWER = 10.0
"""Seconds in which a cluster must answer."""


def require_ray() -> Any:
    """Return the ray module.

    Raises:
        InputError: it is not installed.
    """
    for name, value in _QUIET.items():
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

    A connection that is there already is used.

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
    """Raise an OSError where nobody listens: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER).close()


def nodes(ray: Any) -> list[Needs]:
    """Return what each living node has to give: not what is free of it at the moment."""
    found = []
    for node in ray.nodes():
        has = node["Resources"]
        if node["Alive"] and has.get("CPU"):
            found.append(Needs(has["CPU"], has.get("GPU", 0.0), has.get("memory", 0.0)))
    return found


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
