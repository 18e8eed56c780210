"""``byheart store``: look into the records of an output folder, verify them, take them out."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter
from rich.table import Table

from byheart.cli.console import results, say, write_json
from byheart.errors import StoreError
from byheart.store import Store, Summary
from byheart.trial import Network

app = typer.Typer(help="Verify, list and export stored records.", no_args_is_help=False)

_NETWORK: TypeAdapter[Network] = TypeAdapter(Network)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="Output folder of a study.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout.")]


@app.command("verify")
def verify(
    folder: Folder,
    repair: Annotated[
        bool, typer.Option("--repair", help="Forget damaged records: the next study trains them.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Check that every record is what was written."""
    with Store.open(folder, create=repair) as store:
        trials, problems = len(store.list()), store.verify()
        damaged = {problem.key for problem in problems if problem.key}
        if repair:
            store.forget(damaged)
            problems = store.verify()
    if as_json:
        write_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            print(f"{problem.key or 'file'}: {problem.what}: {problem.remedy}")
    if problems:
        raise StoreError(
            f"{len(problems)} things in {folder} are not what was written: add --repair, then run "
            "the study again"
        )
    forgotten = f", {len(damaged)} damaged ones forgotten" if damaged else ""
    say(f"{trials} trials in {folder} verified{forgotten}")


@app.command("list")
def list_trials(folder: Folder, as_json: AsJson = False) -> None:
    """List the trials: what each was, and how it ended."""
    with Store.open(folder, create=False) as store:
        trials = store.list()
    if as_json:
        write_json([asdict(trial) for trial in trials])
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("key", "network", "n", "noise", "seeds", "ended", "epochs", "seconds"):
        right = name in ("n", "epochs", "seconds")
        table.add_column(name, justify="right" if right else "left", no_wrap=name == "key")
    for trial in trials:
        table.add_row(*_cells(trial))
    results().print(table)
    for trial in trials:
        if trial.reason:
            say(f"{trial.key[:8]} {trial.outcome}: {trial.reason}")


@app.command("export")
def export(
    folder: Folder,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to; DIR/export if not given.")
    ] = None,
    kind: Annotated[str, typer.Option("--format", help="Arrays as csv or npz.")] = "csv",
) -> None:
    """Write trials and arrays to CSV or NPZ files, for other tools."""
    with Store.open(folder, create=False) as store:
        for path in store.export(to or folder / "export", kind):
            print(path)


def _cells(trial: Summary) -> tuple[str, ...]:
    data, algorithm = trial.facts["data"], trial.facts["algorithm"]
    noise = [f"{what} {data[what]:.0%}" for what in ("inputs", "labels") if data[what]]
    return (
        trial.key[:8],
        _NETWORK.validate_python(algorithm["network"]).name,
        str(data["train"]),
        ", ".join(noise) or "none",
        f"{data['seed']}/{trial.facts['seed']}",
        trial.outcome,
        str(trial.epochs),
        f"{trial.seconds:.2f}",
    )
