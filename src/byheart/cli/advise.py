"""``byheart advise``: which regularizer stops memorization on your data."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from byheart.cli import options
from byheart.cli.console import CutShortError, say, tell, write_json
from byheart.cli.progress import packs_trained

if TYPE_CHECKING:
    from byheart.advising.result import Advice

Regularizers = Annotated[
    list[str] | None,
    typer.Option("--regularizer", help="Regularizer to try; repeat for several. Default: all."),
]
Trusted = Annotated[
    Path | None,
    typer.Option(
        "--trusted",
        metavar="CSV",
        help="table.csv of `byheart audit`. Adds the accuracy on examples that were not flagged.",
    ),
]
RoundSizes = Annotated[
    str | None,
    typer.Option(
        "--rounds",
        metavar="N,N,N",
        help="Seeds for exploring, comparing and confirming, in place of --minutes.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Output folder. It also keeps the trained networks: the same command continues an "
        "interrupted one. Default: write nothing.",
    ),
]


def advise(
    context: typer.Context,
    source: options.Source,
    model: options.DefaultModel = None,
    minutes: Annotated[float, typer.Option("--minutes", help="Time limit in minutes.")] = 10.0,
    margin: Annotated[
        float, typer.Option("--margin", help="Accuracy that may be lost, as a share.")
    ] = 0.01,
    optimizer: options.Optimizer = None,
    learning_rate: options.Rate = None,
    schedule: options.Schedule = None,
    epochs: options.Epochs = None,
    batch_size: options.Batch = None,
    augment: options.Augment = None,
    momentum: options.Momentum = None,
    weight_decay: options.WeightDecay = None,
    warm_up: options.WarmUp = None,
    label_smoothing: options.LabelSmoothing = None,
    class_weights: options.ClassWeights = None,
    device: options.AutoDevice = None,
    regularizer: Regularizers = None,
    label: options.Label = None,
    text: options.Text = None,
    resize: options.Resize = None,
    examples: options.Examples = None,
    trusted: Trusted = None,
    rounds: RoundSizes = None,
    seed: options.Seed = 0,
    out: Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Find the regularizer that stops memorization on your data at no cost in accuracy."""
    from byheart.advising.advise import advise as find_advice
    from byheart.advising.examples import read_trusted
    from byheart.advising.result import write_advice
    from byheart.data import load_dataset
    from byheart.files import require_folder

    if out is not None:
        require_folder(out, "advise")
    round_sizes = None if rounds is None else options.parse_counts(rounds, "--rounds")
    recipe, command = options.recipe_of(context), options.command_of(context)
    dataset = load_dataset(source, size=examples, seed=seed, label=label, text=text, resize=resize)
    options.say_prepared(dataset)
    options.say_network(model, dataset)
    try:
        advice = find_advice(
            model,
            dataset,
            minutes=minutes,
            margin=margin,
            recipe=recipe,
            regularizers=regularizer,
            trusted=None if trusted is None else read_trusted(trusted, dataset),
            rounds=round_sizes,
            seed=seed,
            keep=out,
            command=shlex.split(command),
            on_pack=packs_trained(),
        )
    except KeyboardInterrupt:
        raise CutShortError(
            "interrupted: nothing was kept; with --out DIR you could continue later"
            if out is None
            else f"interrupted: networks are kept in {out}; give the same command to continue"
        ) from None
    written = [] if out is None else write_advice(out, advice, {"Command": command})
    if as_json:
        write_json(advice.as_json())
    else:
        _print(advice)
        for path in written[-1:]:
            tell(path)


def _print(advice: Advice) -> None:
    compared = advice.table[advice.table["stage"] == "compared"]
    for row in compared.to_dict(orient="records"):
        strength = "" if row["verdict"] == "" else f" {row['strength']:g}"
        tell(
            f"{row['regularizer'] + strength:44} memorizes {100 * row['memorization']:5.1f}%  "
            f"accuracy {100 * row['accuracy']:5.1f}%  {row['verdict']}"
        )
    for note in advice.notes:
        say(note)
    tell(advice.why)
    if advice.code:
        tell(advice.code)
