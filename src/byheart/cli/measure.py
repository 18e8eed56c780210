"""``byheart measure``: the papers' measures on your network."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from byheart.cli import options
from byheart.cli.console import say, tell, write_json

if TYPE_CHECKING:
    from torch import Tensor, nn

MOMENTS = 20
"""Number of evaluation times over which loss-sensitivity is averaged."""

app = typer.Typer(help="Measure your network.", no_args_is_help=False)

Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="Weights: torch.save(model.state_dict(), ...), or a .safetensors file.",
    ),
]


@app.command("critical")
def critical(
    checkpoint: Checkpoint,
    model: options.Model,
    data: options.Data,
    examples: options.Examples = None,
    radius: Annotated[
        str,
        typer.Option("--radius", help="Radius of the box around an input: 0.01 or 3/255."),
    ] = "0.3/255",
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Count the examples with another predicted class within the radius."""
    from byheart.measures.critical.lass import NOISE_PER_RADIUS, STEP_PER_RADIUS
    from byheart.measures.critical.single import critical_samples

    r = options.parse_ratio(radius, "--radius")
    network, x, _ = _prepared(model, checkpoint, data, examples, seed)
    result = critical_samples(
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
                "lower": result.lower,
                "upper": result.upper,
                "control": result.control,
                "radius": r,
                "examples": len(x),
                "critical": result.critical.nonzero().squeeze(1).tolist(),
                "certified": result.certified.nonzero().squeeze(1).tolist(),
                "uncertified_layer": result.uncertified_layer,
            }
        )
    else:
        if result.uncertified_layer:
            say(f"no upper bound: the certificate cannot bound {result.uncertified_layer}")
        tell(
            f"critical sample ratio at r = {radius}: between {result.lower:.4g} and "
            f"{result.upper:.4g} ({int(result.critical.sum())} of {len(x)} examples have a "
            f"witness, {int(result.certified.sum())} are proved to have none)"
        )


@app.command("sharpness")
def sharpness(
    checkpoint: Checkpoint,
    model: options.Model,
    data: options.Data,
    examples: options.Examples = None,
    tolerance: Annotated[
        float, typer.Option("--tolerance", help="Largest relative residual of the eigenvalue.")
    ] = 1e-3,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Compute the eigenvalue of largest magnitude of the loss's Hessian."""
    from byheart.measures.sharpness import sharpness as measure

    network, x, y = _prepared(model, checkpoint, data, examples, seed)
    result = measure(network, x, y, tolerance=tolerance, seed=seed)
    if as_json:
        write_json({"measure": "sharpness", "examples": len(x), **asdict(result)})
    else:
        reached = "" if result.converged else ", NOT within the tolerance"
        tell(
            f"largest Hessian eigenvalue: {result.eigenvalue:.6g} (relative residual "
            f"{result.residual:.2g} after {result.iterations} Hessian-vector products{reached})"
        )


@app.command("sensitivity")
def sensitivity(
    checkpoint: Checkpoint,
    model: options.Model,
    data: options.Data,
    examples: options.Examples = None,
    updates: Annotated[int, typer.Option("--updates", help="SGD steps to train.")] = 500,
    batch_size: options.BatchSize = 32,
    learning_rate: options.LearningRate = 0.01,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Train further, and measure how sensitive the loss is to each example."""
    from byheart.measures.sensitivity import loss_sensitivity, shuffled_batches
    from byheart.statistics.gini import gini

    network, x, y = _prepared(model, checkpoint, data, examples, seed)
    batches = shuffled_batches(len(x), batch_size, updates, seed=seed)
    times = sorted({updates * step // MOMENTS for step in range(1, MOMENTS + 1)} - {0})
    sensitivities = loss_sensitivity(
        network,
        x,
        y,
        batches=batches,
        learning_rate=learning_rate,
        evaluate_at=times,
    ).mean(0)
    spread = gini(sensitivities.tolist())
    if as_json:
        write_json(
            {
                "measure": "sensitivity",
                "examples": len(x),
                "evaluate_at": times,
                "gini": spread,
                "sensitivity": sensitivities.tolist(),
            }
        )
    else:
        most = sensitivities.topk(min(5, len(sensitivities)))
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
