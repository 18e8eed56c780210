"""``byheart measure``: the papers' measures on a network of your own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from byheart.cli.console import say, tell, write_json
from byheart.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

MOMENTS = 20
"""Evaluation times over which loss-sensitivity is averaged."""

app = typer.Typer(help="Measure a network of your own.", no_args_is_help=False)

Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="Weights: torch.save(model.state_dict(), ...), or a .safetensors file.",
    ),
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
    from byheart.measures.critical.bracket import critical_samples
    from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS

    r = parse_ratio(radius)
    network, x, _ = _prepared(model, checkpoint, data, examples, seed)
    found = critical_samples(
        network,
        x,
        radius=r,
        step=STEP_PER_RADIUS * r,
        noise=NOISE_PER_RADIUS * r,
        control=as_json,
        seed=seed,
    )
    if as_json:
        write_json(
            {
                "measure": "critical",
                "lower": found.lower,
                "upper": found.upper,
                "control": found.control,
                "radius": r,
                "examples": len(x),
                "critical": found.critical.nonzero().squeeze(1).tolist(),
                "certified": found.certified.nonzero().squeeze(1).tolist(),
                "uncertified_layer": found.uncertified_layer,
            }
        )
    else:
        if found.uncertified_layer:
            say(f"no upper bound: the certificate does not know {found.uncertified_layer}")
        tell(
            f"critical sample ratio at r = {radius}: between {found.lower:.4g} and "
            f"{found.upper:.4g} ({int(found.critical.sum())} of {len(x)} examples have a "
            f"witness, {int(found.certified.sum())} are proved to have none)"
        )


@app.command("sharpness")
def sharpness(
    checkpoint: Checkpoint,
    model: Model,
    data: DataSource,
    examples: Examples = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Largest residual, as a share of the eigenvalue.")
    ] = 1e-3,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Find the eigenvalue of largest magnitude of the Hessian of the loss."""
    from byheart.measures.sharpness import sharpness as measure

    network, x, y = _prepared(model, checkpoint, data, examples, seed)
    found = measure(network, x, y, tolerance=tolerance, seed=seed)
    if as_json:
        write_json({"measure": "sharpness", "examples": len(x), **asdict(found)})
    else:
        reached = "" if found.converged else ", NOT within the tolerance"
        tell(
            f"largest Hessian eigenvalue: {found.eigenvalue:.6g} (residual {found.residual:.2g} of "
            f"it after {found.iterations} products{reached})"
        )


@app.command("sensitivity")
def sensitivity(
    checkpoint: Checkpoint,
    model: Model,
    data: DataSource,
    examples: Examples = None,
    updates: Annotated[int, typer.Option("--updates", help="Steps of SGD to train.")] = 500,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Examples per step.")] = 32,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of plain SGD.")] = 0.01,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Train on from the checkpoint, and find how much the loss hangs on each example."""
    from byheart.measures.sensitivity import loss_sensitivity, shuffled_batches
    from byheart.statistics.gini import gini

    network, x, y = _prepared(model, checkpoint, data, examples, seed)
    batches = shuffled_batches(len(x), batch_size, updates, seed=seed)
    times = sorted({updates * step // MOMENTS for step in range(1, MOMENTS + 1)} - {0})
    found = loss_sensitivity(
        network,
        x,
        y,
        batches=batches,
        learning_rate=learning_rate,
        evaluate_at=times,
    ).mean(0)
    spread = gini(found.tolist())
    if as_json:
        write_json(
            {
                "measure": "sensitivity",
                "examples": len(x),
                "evaluate_at": times,
                "gini": spread,
                "sensitivity": found.tolist(),
            }
        )
    else:
        most = found.topk(min(5, len(found)))
        named = ", ".join(
            f"{i} ({v:.3g})"
            for i, v in zip(most.indices.tolist(), most.values.tolist(), strict=True)
        )
        tell(
            f"Gini of the loss-sensitivity over {updates} updates: {spread:.4g}; most sensitive "
            f"examples: {named}"
        )


def _prepared(
    model: str, checkpoint: Path, data: str, examples: int | None, seed: int
) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a user's network, inputs in the shape that it takes, and their labels."""
    from byheart.data import load_dataset
    from byheart.networks.examine import EXAMPLES, shape_it_takes
    from byheart.networks.foreign import make_model

    dataset = load_dataset(data, size=examples, seed=seed)
    network = make_model(model, checkpoint)
    takes = shape_it_takes(model, network, dataset.x[:EXAMPLES], len(dataset.classes))
    return network, dataset.x.reshape(len(dataset), *takes), dataset.y


def parse_ratio(text: str, option: str = "--radius") -> float:
    """Return the number that "0.01" or "3/255" stands for.

    Args:
        text: as it was written.
        option: by which it came.

    Raises:
        InputError: it stands for none.
    """
    numerator, slash, denominator = text.partition("/")
    try:
        return float(numerator) / (float(denominator) if slash else 1.0)
    except (ValueError, ZeroDivisionError) as error:
        raise InputError(f"{option} is '{text}': write a number like 0.01 or 3/255") from error
