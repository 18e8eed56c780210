"""The runner of a name, and the device that it trains on."""

from __future__ import annotations

import math

from byheart.errors import InputError, choose
from byheart.runners.base import InlineRunner, Runner
from byheart.runners.hangs import PATIENCE
from byheart.runners.processes import ProcessesRunner
from byheart.runners.ray import RayRunner
from byheart.runners.ray_cluster import require_ray

RUNNERS = ("inline", "processes", "ray")


def make_runner(
    name: str, workers: int | None, address: str | None = None, hang_after: float = PATIENCE
) -> Runner:
    """Return the runner of that name.

    Args:
        name: inline, processes or ray.
        workers: packs trained at a time; None for one per core.
        address: of a Ray cluster.
        hang_after: minutes without an epoch or CPU use after which a pack is ended; 0: never.

    Raises:
        InputError: there is none, it cannot be used here, fewer than one worker is asked for, time
            that runs backwards, or an address that goes with another runner.
    """
    choose("runner", name, RUNNERS)
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}: ask for at least 1")
    if address is not None and name != "ray":
        raise InputError(f"--address goes with --runner ray, not with --runner {name}")
    if not 0 <= hang_after < math.inf:
        raise InputError(f"--hang-after is {hang_after:g}: give minutes, or 0 to wait for ever")
    patience = 60 * hang_after or None
    # One thread each, so that all give the same bits.
    if name == "inline":
        return InlineRunner(threads=1)
    if name == "ray":
        require_ray()
        return RayRunner(address, workers=workers, threads=1, hang_after=patience)
    return ProcessesRunner(workers=workers, threads=1, hang_after=patience)


def find_device(name: str, runner: Runner) -> str:
    """Return the name of a device that is there, or that the nodes of a cluster may have.

    Raises:
        InputError: byheart does not know it, or this machine, which would train, does not have it.
    """
    # Torch takes seconds to load, and a mistake in another option need not wait for it.
    from byheart.training import packs

    if runner.name == "ray":
        return choose("device", name, ("cpu", "cuda"))
    return packs.find_device(name)
