"""``byheart store``: look into the records of an output folder, verify them, take them out."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from byheart.cli import options
from byheart.cli.console import plain, results, say, tell, write_json
from byheart.errors import StoreError

if TYPE_CHECKING:
    from byheart.store import Store, Summary

app = typer.Typer(help="Verify, list and export stored records.", no_args_is_help=False)

_STUDY = ["byheart", "study"]


@app.command("verify")
def verify(
    folder: options.Folder,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Delete damaged records; the next study retrains them."),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Check that every record is what was written; say what to run where one is not."""
    from byheart.store import Store

    with Store.open(folder, create=repair) as store:
        trials, problems = len(store), store.verify()
        damaged = {problem.key for problem in problems if problem.key}
        if repair:
            store.forget(damaged)
            problems = store.verify()
        again = _command(store)
    if as_json:
        write_json([asdict(problem) for problem in problems])
    else:
        for problem in problems:
            tell(f"{problem.key or 'file'}: {problem.what}: {problem.remedy}")
    if problems:
        repairing = "" if repair else f"`byheart store verify {folder} --repair`, then "
        raise StoreError(
            f"{len(problems)} things in {folder} are not what was written: run {repairing}`{again}`"
        )
    forgotten = f", {len(damaged)} damaged ones forgotten: run `{again}`" if damaged else ""
    say(f"{trials} trials in {folder} verified{forgotten}")


def _command(store: Store) -> str:
    """Return the command that trains missing trials: that of the last run if it was a study."""
    try:
        words = (store.last_run() or {}).get("command")
    except StoreError:
        words = None
    if isinstance(words, list) and words[:2] == _STUDY and all(isinstance(w, str) for w in words):
        return shlex.join(words)
    return shlex.join([*_STUDY, "--out", str(store.folder)])


@app.command("list")
def list_trials(folder: options.Folder, as_json: options.AsJson = False) -> None:
    """List the trials: what each was, and how it ended."""
    from byheart.store import Store

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
        table.add_row(*map(plain, _cells(trial)))
    results().print(table)
    for trial in trials:
        if trial.reason:
            say(f"{trial.key[:8]} {trial.outcome}: {trial.reason}")


@app.command("export")
def export(
    folder: options.Folder,
    to: Annotated[
        Path | None, typer.Option("--to", help="Folder to write to. Default: DIR/export.")
    ] = None,
    kind: Annotated[str, typer.Option("--format", help="csv, npz or parquet.")] = "csv",
) -> None:
    """Write trials and arrays to CSV, NPZ or Parquet files, for other tools."""
    from byheart.store import Store

    with Store.open(folder, create=False) as store:
        for path in store.export(to or folder / "export", kind):
            tell(path)


@app.command("merge")
def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="FROM...", help="Output folders to copy from.")
    ],
    into: Annotated[
        Path, typer.Argument(metavar="INTO", help="Output folder to copy to; made if missing.")
    ],
) -> None:
    """Copy the records of several stores into one; a record that is there already stays."""
    from byheart.store import Store

    complete = True
    with Store.open(into) as store:
        for source in sources:
            merged = store.merge(source)
            for key in merged.different:
                tell(f"{key}: the record of {source} differs: the one in {into} stays")
            for key in merged.damaged:
                tell(f"{key}: the record of {source} is damaged: not copied")
            if merged.unread:
                tell(f"file: a part of {source} cannot be read ({merged.unread})")
            say(f"{source}: {merged.added} records copied, {merged.kept} were there already")
            complete = complete and not merged.damaged and not merged.unread
        again = _command(store)
    if not complete:
        say(f"to train what is missing: `{again}` with --out {into}")
        raise typer.Exit(1)


def _cells(trial: Summary) -> tuple[str, ...]:
    try:
        facts = _facts_in_words(trial.facts)
    except (KeyError, TypeError, ValueError):  # of another version, or made up
        facts = ("?",) * 4
    ended = (trial.outcome, str(trial.epochs), f"{trial.seconds:.2f}")
    return (trial.key[:8], *facts, *ended)


def _facts_in_words(facts: dict[str, Any]) -> tuple[str, ...]:
    data = facts["data"]
    from pydantic import TypeAdapter

    from byheart.trial import Network

    network: TypeAdapter[Network] = TypeAdapter(Network)
    noise = [f"{what} {data[what]:.0%}" for what in ("inputs", "labels") if data[what]]
    return (
        network.validate_python(facts["algorithm"]["network"]).name,
        str(data["train"]),
        ", ".join(noise) or "none",
        f"{data['seed']}/{facts['seed']}",
    )
