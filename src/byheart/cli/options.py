"""The options that `study` and `plan` share: declared, explained and checked in one place."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from byheart.texts import visible

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
