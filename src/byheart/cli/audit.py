"""``byheart audit``: what a network knows by heart of a data set, and whose labels look wrong."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from byheart.cli import options
from byheart.cli.console import CutShortError, plain, results, say, tell, write_json
from byheart.cli.measure import parse_ratio
from byheart.cli.progress import epochs_trained
from byheart.errors import InputError

if TYPE_CHECKING:
    from byheart.auditing.condition import Condition
    from byheart.auditing.examples import Examples
    from byheart.auditing.result import Audit
    from byheart.networks.foreign import Source

KEPT = "kept"
"""Folder beside the files of an audit, while it is under way."""
SHOWN = 12
"""Examples in the table of the terminal."""

DataSource = Annotated[str, typer.Argument(metavar="SOURCE", help="As --data of `byheart study`.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="MODULE:FACTORY",
        help="Callable that makes your network; a multilayer perceptron if not given.",
    ),
]
Size = Annotated[
    int | None,
    typer.Option("--examples", "--size", help="Class-balanced subset; all if not given."),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Output folder.")]
FailIf = Annotated[
    str | None,
    typer.Option(
        "--fail-if",
        metavar="EXPR",
        help="Exit with code 1 if it holds, as 'flagged > 0.05 or conflicts > 0'.",
    ),
]


def audit(
    context: typer.Context,
    source: DataSource,
    model: Model = None,
    size: Size = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Of each training.")] = 20,
    seeds: Annotated[int, typer.Option("--seeds", help="Trainings, 2 or more.")] = 4,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of SGD.")] = 0.05,
    momentum: Annotated[float, typer.Option("--momentum", help="From 0 to below 1.")] = 0.0,
    weight_decay: Annotated[float, typer.Option("--weight-decay", help="L2 coefficient.")] = 0.0,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Examples per step.")] = 32,
    precision: Annotated[
        float, typer.Option("--precision", help="Wanted of the list of flagged examples.")
    ] = 0.9,
    planted: Annotated[
        float | None,
        typer.Option(
            "--planted",
            help="Share of labels to flip, 0 flags nothing; 600 in all, 6% at most, if not given.",
        ),
    ] = None,
    critical_radius: Annotated[
        str | None,
        typer.Option("--critical-radius", help="Add the column `critical`: 0.01 or 3/255."),
    ] = None,
    subsets: Annotated[
        int, typer.Option("--subsets", help="Add Feldman and Zhang's estimates: 0, or 10 and more.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of all that is drawn.")] = 0,
    device: options.Device = "cpu",
    out: Out = Path("out/audit"),
    fail_if: FailIf = None,
    as_json: options.AsJson = False,
) -> None:
    """Find what a network knows by heart, and whose labels look wrong; write table and page."""
    from byheart.auditing.examples import STAND_IN, load_examples, stand_in
    from byheart.auditing.keeping import forget
    from byheart.auditing.output import PARQUET, write_audit
    from byheart.auditing.summary import quantities, summary
    from byheart.files import require_writable
    from byheart.runners.signals import exit_on_sigterm

    condition = _condition(fail_if, planted)
    radius = None if critical_radius is None else parse_ratio(critical_radius, "--critical-radius")
    require_writable(out)
    kept = out / KEPT
    with _one_line(kept), exit_on_sigterm():
        examples = load_examples(source, size=size, seed=seed)
        if model is None:
            say(f"no --model given: {STAND_IN} stands in; yours may know other examples by heart")
        found = _train(
            examples,
            model or stand_in(examples.dataset),
            epochs=epochs,
            seeds=seeds,
            learning_rate=learning_rate,
            momentum=momentum,
            weight_decay=weight_decay,
            batch_size=batch_size,
            precision=precision,
            planted=planted,
            critical_radius=radius,
            subsets=subsets,
            seed=seed,
            device=device,
            keep=kept,
        )
    about = {
        "Network": model or STAND_IN,
        "Optimizer": f"SGD, learning rate {learning_rate:g}, momentum {momentum:g}, weight decay "
        f"{weight_decay:g}, batches of {batch_size}",
        "Fingerprint": examples.dataset.fingerprint,
        "Command": options.command_of(context),
    }
    verdict = _decide(condition, found)
    numbers = summary(found) | {"run": about, "fail_if": verdict}
    written = write_audit(out, found, numbers, about)
    forget(kept)
    if PARQUET not in {path.name for path in written}:
        say(f"no {PARQUET}, which needs pyarrow (pip install 'byheart[parquet]'): see table.csv")
    if as_json:
        write_json(numbers)
    else:
        _print(found)
        tell(written[-1])
    if condition is not None and condition.holds(quantities(found)):
        raise typer.Exit(1)


def _train(examples: Examples, network: Source, **settings: Any) -> Audit:
    """Run the audit with its progress on stderr; rows of its table say where they come from."""
    from byheart.auditing.audit import audit as run
    from byheart.auditing.keeping import kept_in

    if kept_in(settings["keep"]):
        say(f"goes on from {settings['keep']}, as far as that is of the same audit")
    with epochs_trained() as on_epoch:
        found = run(network, examples.dataset, on_epoch=on_epoch, **settings)
    return examples.named_in(found)


@contextlib.contextmanager
def _one_line(kept: Path) -> Iterator[None]:
    """Say of an interruption what became of the trainings, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise CutShortError(f"interrupted: {_left(kept)}") from None
    except SystemExit as stop:
        if stop.code == 128 + signal.SIGTERM:
            say(f"ended by SIGTERM: {_left(kept)}")
        raise


def _left(kept: Path) -> str:
    from byheart.auditing.keeping import kept_in

    before = f"the files in {kept.parent} are as they were"
    if not kept_in(kept):
        return f"nothing had been trained for long enough to be kept, and {before}"
    return f"{before}; what was trained is kept in {kept}, and the same command goes on from there"


def _condition(text: str | None, planted: float | None) -> Condition | None:
    """Read a condition before anything is trained, and see that it will be decided."""
    from byheart.auditing.condition import read_condition
    from byheart.auditing.summary import QUANTITIES

    if text is None:
        return None
    condition = read_condition(text, [one.name for one in QUANTITIES])
    by_flips = [one.name for one in QUANTITIES if one.by_flips and one.name in condition.names]
    if by_flips and planted == 0:
        raise InputError(
            f"--fail-if asks about {by_flips[0]}, which is estimated from planted flips: leave out "
            "--planted 0"
        )
    return condition


def _decide(condition: Condition | None, found: Audit) -> dict[str, Any] | None:
    """Return what became of a condition, for the file; None for ``holds`` if it is not known."""
    from byheart.auditing.summary import quantities

    if condition is None:
        return None
    values = quantities(found)
    named = {name: values[name] for name in sorted(condition.names)}
    if None in named.values():
        return {"condition": condition.text, "holds": None}
    holds = condition.holds(values)
    if holds:
        known = ", ".join(f"{name} = {value:.4g}" for name, value in named.items())
        say(f"failed: {condition.text}" + (f" ({known})" if known else ""))
    return {"condition": condition.text, "holds": holds}


def _print(found: Audit) -> None:
    from byheart.auditing.alerts import alerts
    from byheart.report.numbers import sentence

    console = results()
    signs = {"warning": ("!", "yellow"), "good": ("✓", "green"), "note": ("·", "dim")}
    for alert in alerts(found):
        console.print(Text.assemble(signs[alert.kind], " ", plain(sentence(alert.text))))
    worst = found.flagged.head(SHOWN)
    if len(worst):
        console.print(_worst(found, worst))


def _worst(found: Audit, rows: Any) -> Table:
    from byheart.report.numbers import chance

    origin = "file" if "file" in rows else "row" if "row" in rows else None
    table = Table(box=None, pad_edge=False)
    for title in (origin or "id", "labelled", "looks like", "P(wrong)", "suspicion", "verdict"):
        table.add_column(title, justify="right" if title in ("P(wrong)", "suspicion") else "left")
    for i, row in rows.iterrows():
        table.add_row(
            plain(row[origin] if origin else i),
            plain(found.classes[int(row["label"])]),
            plain(found.classes[int(row["suggested"])]) if row["suggested"] >= 0 else "",
            chance(row["p_wrong"]),
            f"{row['suspicion']:.2f}",
            row["verdict"],
        )
    return table
