"""``byheart advise``: which regularizer to take on data and a network of your own."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from byheart.cli.console import CutShortError, say, tell, write_json
from byheart.cli.options import AsJson, Device, command_of
from byheart.cli.progress import packs_trained
from byheart.errors import InputError

if TYPE_CHECKING:
    from byheart.advising.result import Advice

Source = Annotated[str, typer.Argument(metavar="SOURCE", help="As --data of `byheart study`.")]
Model = Annotated[
    str, typer.Option("--model", metavar="MODULE:FACTORY", help="Callable that makes the network.")
]
Examples = Annotated[
    int | None,
    typer.Option("--examples", "--size", help="Class-balanced subset; all if not given."),
]
Regularizers = Annotated[
    list[str] | None,
    typer.Option("--regularizer", help="To try; repeat for several, all if not given."),
]
Trusted = Annotated[
    Path | None,
    typer.Option(
        "--trusted",
        metavar="CSV",
        help="table.csv of `byheart audit`: adds accuracy on the examples that it did not flag.",
    ),
]
RoundSizes = Annotated[
    str | None,
    typer.Option(
        "--rounds",
        metavar="N,N,N",
        help="Seeds to explore, compare and confirm with, in place of --minutes.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for page, table and JSON, and for trainings, from which the same command "
        "goes on.",
    ),
]


def advise(
    context: typer.Context,
    source: Source,
    model: Model,
    minutes: Annotated[float, typer.Option("--minutes", help="That it may take.")] = 10.0,
    margin: Annotated[
        float, typer.Option("--margin", help="Accuracy that may be lost, as a share.")
    ] = 0.01,
    epochs: Annotated[int, typer.Option("--epochs", help="Of each training.")] = 40,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of SGD.")] = 0.05,
    momentum: Annotated[float, typer.Option("--momentum", help="From 0 to below 1.")] = 0.9,
    weight_decay: Annotated[
        float, typer.Option("--weight-decay", help="Of every training, L2.")
    ] = 0.0,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Examples per step.")] = 32,
    regularizer: Regularizers = None,
    examples: Examples = None,
    trusted: Trusted = None,
    rounds: RoundSizes = None,
    seed: Annotated[int, typer.Option("--seed", help="Of all that is drawn.")] = 0,
    device: Device = "cpu",
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Find the regularizer that stops memorization on your data at no cost in accuracy."""
    from byheart.advising.advise import advise as find
    from byheart.advising.output import write_advice
    from byheart.advising.trusted import read_trusted
    from byheart.data import load_dataset
    from byheart.files import require_writable

    if out is not None:
        require_writable(out)
    sizes = _sizes(rounds)
    command = command_of(context)
    dataset = load_dataset(source, size=examples, seed=seed)
    try:
        found = find(
            model,
            dataset,
            minutes=minutes,
            margin=margin,
            epochs=epochs,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            regularizers=regularizer,
            trusted=None if trusted is None else read_trusted(trusted, dataset),
            rounds=sizes,
            seed=seed,
            device=device,
            keep=out,
            command=shlex.split(command),
            on_pack=packs_trained(),
        )
    except KeyboardInterrupt:
        raise CutShortError(
            "interrupted: nothing was kept; give --out to go on another time"
            if out is None
            else f"interrupted: what was trained is kept in {out}, and the same command goes on"
        ) from None
    written = [] if out is None else write_advice(out, found, {"Command": command})
    if as_json:
        write_json(found.as_json())
    else:
        _print(found)
        for path in written[-1:]:
            tell(path)


def _sizes(text: str | None) -> tuple[int, int, int] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"--rounds is '{text}': write three whole numbers, as 2,5,8")
    explore, compare, confirm = map(int, parts)
    return explore, compare, confirm


def _print(found: Advice) -> None:
    compared = found.table[found.table["stage"] == "compared"]
    for row in compared.to_dict(orient="records"):
        strength = "" if row["verdict"] == "" else f" {row['strength']:g}"
        tell(
            f"{row['regularizer'] + strength:44} memorizes {100 * row['memorization']:5.1f}%  "
            f"accuracy {100 * row['accuracy']:5.1f}%  {row['verdict']}"
        )
    for note in found.notes:
        say(note)
    tell(found.why)
    if found.code:
        tell(found.code)
