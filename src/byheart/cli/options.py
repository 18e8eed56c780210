"""Every option that more than one command has: declared and explained in one place."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from byheart.cli.console import say
from byheart.errors import InputError
from byheart.texts import visible

if TYPE_CHECKING:
    from byheart.data.dataset import Dataset
    from byheart.training.recipe import Recipe

# What to work on.
Claims = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[CLAIM]...", help="Ids from `byheart claims`. Default: all of the papers."
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Output folder of a study.")]
_SOURCES = (
    "digits, mnist, fashion-mnist, cifar10, a folder of IDX files or of images by class, an .npz "
    "file with x and y, a table (.csv, .parquet, .jsonl), or hf:owner/name."
)
Source = Annotated[str, typer.Argument(metavar="SOURCE", help=f"Data set: {_SOURCES}")]
Data = Annotated[str, typer.Option("--data", metavar="SOURCE", help=f"Data set: {_SOURCES}")]
PresetData = Annotated[
    str | None,
    typer.Option(
        "--data", metavar="SOURCE", help=f"Data set: {_SOURCES} Default: the preset's data set."
    ),
]
Label = Annotated[
    str | None,
    typer.Option("--label", metavar="COLUMN", help="Column of a table that has the labels."),
]
Text = Annotated[
    str | None,
    typer.Option(
        "--text", metavar="COLUMN", help="Column of a table that has texts, to learn from them."
    ),
]
Resize = Annotated[
    int | None,
    typer.Option(
        "--resize",
        metavar="N",
        help="Pixels on a side of images. Default: images of several sizes are brought to 64.",
    ),
]
Examples = Annotated[
    int | None,
    typer.Option(
        "--examples", "--size", help="Size of a class-balanced subset. Default: all examples."
    ),
]
Model = Annotated[
    str,
    typer.Option("--model", metavar="MODULE:FACTORY", help="Callable that returns your network."),
]
DefaultModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:FACTORY",
        help="Callable that returns your network. Default: a residual network for images, a "
        "multilayer perceptron for tables, a linear network for texts.",
    ),
]
PresetModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:FACTORY",
        help="Callable that returns your network. Default: the preset's networks.",
    ),
]

# How to train.
PresetName = Annotated[str, typer.Option("--preset", help="Size of the study: quick, desk, paper.")]
NetworkName = Annotated[
    str | None,
    typer.Option(
        "--network",
        metavar="mlp|cnn",
        help="Network of the studies. Default: cnn for colour images, else mlp.",
    ),
]
PresetLearningRate = Annotated[
    float | None,
    typer.Option("--learning-rate", help="Learning rate of your network. Default: the preset's."),
]
Seeds = Annotated[
    int | None,
    typer.Option("--seeds", help="Number of independent repetitions. Default: the preset's."),
]
UntilDecided = Annotated[
    bool,
    typer.Option(
        "--until-decided",
        help="Double the number of seeds for inconclusive claims, until they are decided or "
        "--most-seeds is reached. The error rate of the verdicts stays at 5%.",
    ),
]
MostSeeds = Annotated[
    int | None,
    typer.Option(
        "--most-seeds",
        help="Most seeds of a claim, for --until-decided. Default: four times the first number.",
    ),
]
LearningRate = Annotated[float, typer.Option("--learning-rate", help="Learning rate of SGD.")]
BatchSize = Annotated[int, typer.Option("--batch-size", help="Examples per step.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of all random draws.")]

# How a network trains in audit and advise: the values of byheart.Recipe, by its names. See
# `recipe_of`.
Optimizer = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        metavar="sgd|adamw",
        help="Optimizer. Default: adamw; sgd with --learning-rate or --momentum.",
    ),
]
Rate = Annotated[
    float | None,
    typer.Option("--learning-rate", help="Learning rate. Default: 0.05 for sgd, 0.003 for adamw."),
]
Schedule = Annotated[
    str | None,
    typer.Option(
        "--schedule",
        metavar="constant|cosine|step",
        help="Schedule of the learning rate. Default: cosine.",
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Epochs per run. Default: 20.")]
Batch = Annotated[int | None, typer.Option("--batch-size", help="Examples per step. Default: 32.")]
Augment = Annotated[
    list[str] | None,
    typer.Option(
        "--augment",
        metavar="flip|crop|colour|erasing",
        help="Random change of images, anew in every epoch; repeat for several. Default: none.",
    ),
]
Momentum = Annotated[
    float | None,
    typer.Option("--momentum", help="Momentum of sgd, from 0 to below 1. Default: 0.9."),
]
WeightDecay = Annotated[
    float | None,
    typer.Option("--weight-decay", help="Weight decay. Default: 0 for sgd, 0.01 for adamw."),
]
WarmUp = Annotated[
    int | None,
    typer.Option("--warm-up", help="Epochs in which the learning rate rises first. Default: 0."),
]
LabelSmoothing = Annotated[
    float | None,
    typer.Option(
        "--label-smoothing", help="Share of the label that goes to all classes alike. Default: 0."
    ),
]
ClassWeights = Annotated[
    str | None,
    typer.Option(
        "--class-weights",
        metavar="none|balanced",
        help="balanced: all classes count the same in the loss. Default: none.",
    ),
]
AutoDevice = Annotated[
    str | None,
    typer.Option(
        "--device", help="auto, cpu, cuda or mps. Default: auto, which is a GPU if there is one."
    ),
]
_RECIPE = (
    "optimizer", "learning_rate", "schedule", "epochs", "batch_size", "augment", "momentum",
    "weight_decay", "warm_up", "label_smoothing", "class_weights", "device",
)  # fmt: skip

# Where to train.
RunnerName = Annotated[str, typer.Option("--runner", help="inline, processes or ray.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", help="Number of packs trained at a time. Default: one per core."),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        help="Address of a Ray cluster, for --runner ray: auto, or HOST:PORT of its head. Default: "
        "Ray on this machine alone.",
    ),
]
HangAfter = Annotated[
    float,
    typer.Option(
        "--hang-after",
        metavar="MINUTES",
        help="Time after which a pack counts as hanging, if it reports no epoch and uses no "
        "processor. It is ended and tried once more. 0: wait forever.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]

# What to write.
PresetOut = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Output folder. Default: out/<preset>."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


def say_network(model: str | None, dataset: Dataset) -> None:
    """Say which network trains, if the user names none."""
    from byheart.networks.default import default_network

    if model is None:
        say(
            f"no --model given: byheart trains {default_network(dataset)}; your network may "
            "memorize other examples"
        )


def recipe_of(context: typer.Context) -> Recipe:
    """Return the recipe that the options of a command say: the default with their values."""
    from byheart.training.recipe import default_recipe

    given = {name: context.params[name] for name in _RECIPE}
    return default_recipe(**{name: value for name, value in given.items() if value != []})


def command_of(context: typer.Context) -> str:
    """Return a command as a reader would type it: with the options that are not the default."""
    words = context.command_path.split()
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if value is None or value == parameter.default or value is False:
            continue
        for item in value if isinstance(value, list | tuple) else [value]:
            if parameter.param_type_name == "option":
                words.append(parameter.opts[0])
            if item is not True:
                words.append(str(item))
    return visible(shlex.join(words))


def say_prepared(dataset: Dataset) -> None:
    """Say what was done to the source of a data set before training."""
    for note in () if dataset.prepared is None else dataset.prepared.notes:
        say(note)


def parse_ratio(text: str, option: str) -> float:
    """Return the number that "0.01" or "3/255" stands for.

    Args:
        text: as the user wrote it.
        option: the option that has this value.

    Raises:
        InputError: it is no number.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{option} is '{text}': write a number like 0.01 or 3/255") from error


def parse_counts(text: str, option: str) -> tuple[int, int, int]:
    """Return the three whole numbers that "2,5,8" stands for; arguments as for parse_ratio.

    Raises:
        InputError: it is something else.
    """
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"{option} is '{text}': write three whole numbers, like 2,5,8")
    first, second, third = map(int, parts)
    return first, second, third
