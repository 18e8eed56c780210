"""``byheart measure``: the papers' measures on a network of your own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from byheart.cli.console import write_json
from byheart.errors import InputError

app = typer.Typer(help="Measure a network of your own.", no_args_is_help=False)

Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="Weights: torch.save(model.state_dict(), ...).")
]
Model = Annotated[
    str, typer.Option("--model", metavar="MODULE:FACTORY", help="Callable that makes the network.")
]
DataSource = Annotated[
    str, typer.Option("--data", metavar="SOURCE", help="As for `byheart study`.")
]
Examples = Annotated[
    int | None, typer.Option("--examples", help="Class-balanced subset; all if not given.")
]
Seed = Annotated[int, typer.Option("--seed", help="Of the subset and of the measure.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, on stdout.")]


@app.command("critical")
def critical(
    checkpoint: Checkpoint,
    model: Model,
    data: DataSource,
    examples: Examples = None,
    radius: Annotated[
        str, typer.Option("--radius", help="Of the box, on inputs in [0, 1]: 0.01 or 3/255.")
    ] = "0.3/255",
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Count the samples with another predicted class close by."""
    from byheart.data import load_dataset
    from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS
    from byheart.measures.critical.search import critical_samples
    from byheart.networks.foreign import make_model

    r = parse_ratio(radius)
    dataset = load_dataset(data, size=examples, seed=seed)
    found = critical_samples(
        make_model(model, checkpoint),
        dataset.x,
        radius=r,
        step=STEP_PER_RADIUS * r,
        noise=NOISE_PER_RADIUS * r,
        seed=seed,
    )
    if as_json:
        write_json(
            {
                "measure": "critical",
                "lower": found.lower,
                "control": found.control,
                "radius": r,
                "examples": len(dataset),
                "critical": found.critical.nonzero().squeeze(1).tolist(),
            }
        )
    else:
        print(
            f"critical sample ratio at r = {radius}: at least {found.lower:.4g} "
            f"({int(found.critical.sum())} of {len(dataset)} examples; noise alone finds "
            f"{found.control:.4g})"
        )


def parse_ratio(text: str) -> float:
    """Return the number that "0.01" or "3/255" stands for.

    Raises:
        InputError: it stands for none.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"--radius is '{text}': write a number like 0.01 or 3/255") from error
