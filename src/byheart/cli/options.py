"""The options that `study` and `plan` share: declared, explained and checked in one place."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from typing import Annotated

import typer

from byheart.cli.console import say
from byheart.errors import InputError, choose
from byheart.runners import InlineRunner, ProcessesRunner, RayRunner, Runner
from byheart.runners.ray_cluster import require_ray
from byheart.runners.silence import HANG_AFTER
from byheart.studies.own_network import OwnNetwork
from byheart.texts import visible

RUNNERS = ("inline", "processes", "ray")
PATIENCE = HANG_AFTER / 60
"""Minutes without a sign of life that a pack is given, unless it is said otherwise."""

Claims = Annotated[
    list[str] | None,
    typer.Argument(metavar="[CLAIM]...", help="Ids from `byheart claims`; all if none is given."),
]
PresetName = Annotated[str, typer.Option("--preset", help="Size: quick, desk or paper.")]
DataSource = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SOURCE",
        help="digits, mnist, fashion-mnist, cifar10, a folder of IDX files or of images by class, "
        "an .npz with x and y, or hf:owner/name; the preset's own if not given.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:FACTORY",
        help="Callable that makes a network of your own; the preset's networks if not given.",
    ),
]
LearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", help="Of your own network; the preset's if not given."),
]
Seeds = Annotated[
    int | None, typer.Option("--seeds", help="Independent repetitions; the preset's if not given.")
]
RunnerName = Annotated[str, typer.Option("--runner", help="inline, processes or ray.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Packs trained at a time; one per core if not given."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Of a Ray cluster, with --runner ray: auto, or HOST:PORT of its head; this machine "
        "alone if not given.",
    ),
]
HangAfter = Annotated[
    float,
    typer.Option(
        "--hang-after",
        metavar="MINUTES",
        help="A pack that reports no epoch and uses no processor for so long is ended and tried "
        "once more; 0 waits for ever.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or mps.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Output folder; out/<preset> if not given."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def command_of(context: typer.Context) -> str:
    """Return a command as a reader types it again: with options that differ from the default."""
    words = context.command_path.split()
    for one in context.command.params:
        value = context.params.get(one.name or "")
        if value is None or value == one.default or value is False:
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            if one.param_type_name == "option":
                words.append(one.opts[0])
            if each is not True:
                words.append(str(each))
    return visible(shlex.join(words))


def say_own_network(own: OwnNetwork | None) -> None:
    """Say on stderr how a user's network trains, and which claims it cannot decide."""
    if own is None:
        return
    say(own.about)
    needs: dict[str, list[str]] = {}
    for claim, need in own.left_out.items():
        needs.setdefault(need, []).append(claim)
    for need, claims in needs.items():
        say(f"left out, since they need {need}: {', '.join(claims)}")


def make_runner(
    name: str, workers: int | None, address: str | None = None, hang_after: float = PATIENCE
) -> Runner:
    """Return the runner of that name.

    Args:
        name: inline, processes or ray.
        workers: packs trained at a time; None for one per core.
        address: of a Ray cluster.
        hang_after: minutes without a sign of life after which a pack is ended; 0 never ends one.

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
    from byheart.training import device

    if runner.name == "ray":
        return choose("device", name, ("cpu", "cuda"))
    return device.find_device(name)
