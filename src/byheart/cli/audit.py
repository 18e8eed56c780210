"""``byheart audit``: which examples a network memorizes, and which labels look wrong."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from byheart.cli import options
from byheart.cli.console import CutShortError, plain, results, say, tell, write_json
from byheart.cli.progress import epochs_trained
from byheart.errors import InputError

if TYPE_CHECKING:
    from byheart.auditing.audit import Audit
    from byheart.auditing.fail_if import FailIf
    from byheart.data.dataset import Dataset
    from byheart.networks.foreign import Source

KEPT = "kept"
"""Folder beside the files of an audit, while it is under way."""
SHOWN = 12
"""Examples in the table of the terminal."""

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Output folder.")]
FailIfText = Annotated[
    str | None,
    typer.Option(
        "--fail-if",
        metavar="EXPR",
        help="Exit with code 1 if this is true: 'flagged > 0.05 or conflicts > 0'.",
    ),
]


def audit(
    context: typer.Context,
    source: options.Source,
    model: options.DefaultModel = None,
    label: options.Label = None,
    text: options.Text = None,
    resize: options.Resize = None,
    size: options.Examples = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Number of runs, 2 or more.")] = 4,
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
    precision: Annotated[
        float, typer.Option("--precision", help="Target precision of the flagged list.")
    ] = 0.9,
    planted: Annotated[
        float,
        typer.Option(
            "--planted",
            help="Share of labels that byheart changes on purpose in further runs, to bound the "
            "number of wrong labels without reviews. 0: none.",
        ),
    ] = 0.0,
    reviews: Annotated[
        list[Path] | None,
        typer.Option(
            "--reviews",
            metavar="FILE",
            help="Reviews of examples in to-review.csv of DIR, as CSV; once per reviewer. byheart "
            "estimates all numbers of the audit in DIR from them, without training.",
        ),
    ] = None,
    apply: Annotated[
        list[Path] | None,
        typer.Option(
            "--apply",
            metavar="FILE",
            help="Reviews whose corrections byheart applies to the data: it writes cleaned.csv or "
            "cleaned.npz and changes.csv to DIR, and trains nothing. Once per reviewer.",
        ),
    ] = None,
    export: Annotated[
        str | None,
        typer.Option(
            "--export",
            metavar="TOOL",
            help="Export flagged and reviewed examples of the audit in DIR, for label-studio or "
            "fiftyone, with the verdicts of --reviews or --apply. Trains nothing.",
        ),
    ] = None,
    critical_radius: Annotated[
        str | None,
        typer.Option(
            "--critical-radius",
            help="Add the column `critical`: is another class within this radius? 0.01 or 3/255.",
        ),
    ] = None,
    subsets: Annotated[
        int,
        typer.Option(
            "--subsets",
            help="Runs on random subsets, for Feldman and Zhang's estimates: 0, or 10 and more.",
        ),
    ] = 0,
    seed: options.Seed = 0,
    out: Out = Path("out/audit"),
    fail_if: FailIfText = None,
    as_json: options.AsJson = False,
) -> None:
    """List the examples that a network memorizes and the labels that look wrong.

    Writes a table, the numbers as JSON and a page to DIR.
    """
    from byheart.data import load_dataset
    from byheart.files import require_folder
    from byheart.runners.processes import exit_on_sigterm
    from byheart.store.checkpoints import remove_checkpoints

    condition = _condition(fail_if, bool(reviews))
    radius = (
        None
        if critical_radius is None
        else options.parse_ratio(critical_radius, "--critical-radius")
    )
    load = partial(
        load_dataset, source, size=size, seed=seed, label=label, text=text, resize=resize
    )
    if apply:
        _apply(load, apply, out)
    if export:
        _export(load, export, reviews or apply, out)
    if (apply or export) and not reviews:
        return
    require_folder(out, "audit")
    recipe = options.recipe_of(context)
    kept = out / KEPT
    if reviews:
        _review(load, reviews, out, condition, precision, as_json=as_json)
        return
    with _one_line(kept), exit_on_sigterm():
        dataset = load()
        options.say_prepared(dataset)
        options.say_network(model, dataset)
        result = _train(
            dataset,
            model,
            recipe=recipe,
            seeds=seeds,
            precision=precision,
            planted=planted,
            critical_radius=radius,
            subsets=subsets,
            seed=seed,
            keep=kept,
        )
    about = {
        **result.facts,
        "Fingerprint": dataset.fingerprint,
        "Command": options.command_of(context),
    }
    _write(out, result, about, condition, as_json=as_json)
    remove_checkpoints(kept)
    _exit(condition, result)


def _write(
    out: Path, result: Audit, about: dict[str, str], condition: FailIf | None, *, as_json: bool
) -> None:
    """Write the files of an audit, and print its results."""
    from byheart.auditing.files import PARQUET, summary, write_audit

    numbers = summary(result) | {"run": about, "fail_if": _decide(condition, result)}
    written = write_audit(out, result, numbers, about)
    if PARQUET not in {path.name for path in written}:
        say(f"{PARQUET} needs pyarrow (pip install 'byheart[parquet]'): wrote table.csv only")
    if as_json:
        write_json(numbers)
    else:
        _print(result)
        tell(written[-1])


def _exit(condition: FailIf | None, result: Audit) -> None:
    """Exit with code 1 if the condition is true."""
    from byheart.auditing.fail_if import quantities

    if condition is not None and condition.holds(quantities(result)):
        raise typer.Exit(1)


def _review(
    load: Callable[[], Dataset],
    reviews: list[Path],
    out: Path,
    condition: FailIf | None,
    precision: float,
    *,
    as_json: bool,
) -> None:
    """Estimate the numbers of the audit in a folder from reviews, and write its files again."""
    from byheart.auditing.files import read_audit

    stored, numbers = read_audit(out, load())
    result = stored.review(reviews, precision=precision)
    _write(out, result, numbers["run"], condition, as_json=as_json)
    _exit(condition, result)


def _apply(load: Callable[[], Dataset], reviews: list[Path], out: Path) -> None:
    """Write the data with the corrections of reviewers."""
    from byheart.auditing.exports import write_cleaned
    from byheart.auditing.reviews import read_reviews

    data = load()
    found = read_reviews(reviews, len(data), fingerprint=data.fingerprint, fewest=1)
    for path in write_cleaned(out, data, found):
        tell(path)


def _export(load: Callable[[], Dataset], tool: str, reviews: list[Path] | None, out: Path) -> None:
    """Export the audit in a folder for another tool, with the verdicts of reviewers."""
    from byheart.auditing.exports import export
    from byheart.auditing.files import read_audit
    from byheart.auditing.reviews import read_reviews

    data = load()
    stored, _ = read_audit(out, data)
    found = None
    if reviews:
        found = read_reviews(reviews, len(data), fingerprint=data.fingerprint, fewest=1)
    for path in export(stored, out, tool, found):
        tell(path)


def _train(dataset: Dataset, network: Source | None, **settings: Any) -> Audit:
    """Run the audit with its progress on stderr."""
    from byheart.auditing.run import audit as run
    from byheart.store.checkpoints import checkpoint_files

    if checkpoint_files(settings["keep"]):
        say(f"resuming from {settings['keep']}: runs of the same audit are not trained again")
    with epochs_trained() as on_epoch:
        return run(network, dataset, on_epoch=on_epoch, **settings)


@contextlib.contextmanager
def _one_line(kept: Path) -> Iterator[None]:
    """Say after an interruption what was kept, and how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        raise CutShortError(f"interrupted: {_left(kept)}") from None
    except SystemExit as stop:
        if stop.code == 128 + signal.SIGTERM:
            say(f"ended by SIGTERM: {_left(kept)}")
        raise


def _left(kept: Path) -> str:
    from byheart.store.checkpoints import checkpoint_files

    unchanged = f"the files in {kept.parent} are unchanged"
    if not checkpoint_files(kept):
        return f"nothing was kept yet, and {unchanged}"
    return f"{unchanged}; the runs are kept in {kept}, and the same command resumes them"


def _condition(text: str | None, reviewed: bool) -> FailIf | None:
    """Read the condition before anything is trained, and refuse one that cannot be decided."""
    from byheart.auditing.fail_if import QUANTITIES, read_fail_if

    if text is None:
        return None
    condition = read_fail_if(text, [quantity.name for quantity in QUANTITIES])
    unknown = [q.name for q in QUANTITIES if q.needs_reviews and q.name in condition.names]
    if unknown and not reviewed:
        raise InputError(
            f"--fail-if asks about {unknown[0]}, which is estimated from reviews: run the audit "
            "without --fail-if, review some examples of to-review.csv, and add --reviews FILE"
        )
    return condition


def _decide(condition: FailIf | None, result: Audit) -> dict[str, Any] | None:
    """Return the outcome of the condition for the file; None for ``holds`` if it is not known."""
    from byheart.auditing.fail_if import quantities

    if condition is None:
        return None
    values = quantities(result)
    named = {name: values[name] for name in sorted(condition.names)}
    if None in named.values():
        return {"condition": condition.text, "holds": None}
    holds = condition.holds(values)
    if holds:
        known = ", ".join(f"{name} = {value:.4g}" for name, value in named.items())
        say(f"failed: {condition.text}" + (f" ({known})" if known else ""))
    return {"condition": condition.text, "holds": holds}


def _print(result: Audit) -> None:
    from byheart.report.numbers import sentence

    console = results()
    signs = {"warning": ("!", "yellow"), "good": ("✓", "green"), "note": ("·", "dim")}
    for alert in result.alerts:
        console.print(Text.assemble(signs[alert.kind], " ", plain(sentence(alert.text))))
    worst = result.flagged.head(SHOWN)
    if len(worst):
        console.print(_worst(result, worst))


def _worst(result: Audit, rows: Any) -> Table:
    from byheart.report.numbers import chance

    origin = "file" if "file" in rows else "row" if "row" in rows else None
    table = Table(box=None, pad_edge=False)
    for title in (origin or "id", "labelled", "looks like", "P(wrong)", "suspicion", "verdict"):
        table.add_column(title, justify="right" if title in ("P(wrong)", "suspicion") else "left")
    for i, row in rows.iterrows():
        table.add_row(
            plain(row[origin] if origin else i),
            plain(result.classes[int(row["label"])]),
            plain(result.classes[int(row["suggested"])]) if row["suggested"] >= 0 else "",
            "" if math.isnan(row["p_wrong"]) else chance(row["p_wrong"]),
            f"{row['suspicion']:.2f}",
            row["verdict"],
        )
    return table
