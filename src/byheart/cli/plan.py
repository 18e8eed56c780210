"""``byheart plan``: what a study would take. Trains nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from rich.table import Table

from byheart.cli import options
from byheart.cli.console import results, write_json
from byheart.runners import ProcessesRunner
from byheart.runners.timeleft import in_words
from byheart.studies.estimate import Share


def plan(
    claims: options.Claims = None,
    preset: options.PresetName = "quick",
    data: options.DataSource = None,
    seeds: options.Seeds = None,
    runner: options.RunnerName = "processes",
    workers: options.Workers = None,
    device: options.Device = "cpu",
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what a study would take on this machine; train nothing."""
    from byheart.store import Store
    from byheart.studies.estimate import estimate
    from byheart.studies.request import make_request
    from byheart.studies.session import missing_packs
    from byheart.training.device import find_device

    where, how = find_device(device), options.make_runner(runner, workers)
    request = make_request(claims or (), preset=preset, source=data, seeds=seeds)
    folder, trials = out or Path("out", preset), request.trials
    missing = trials
    if (folder / "results.sqlite").exists():
        with Store.open(folder, create=False) as store:
            missing = store.missing(trials)
    keys = {trial.key for trial in missing}
    packs = missing_packs(trials, keys, request.setting, device=where)
    shares = estimate(packs, request.setting.data, device=where)
    side_by_side = min(how.workers, len(packs)) if isinstance(how, ProcessesRunner) else 1
    seconds = sum(share.seconds for share in shares) / max(1, side_by_side)
    if as_json:
        write_json(
            {
                "command": request.command(),
                "trials": len(trials),
                "stored": len(trials) - len(missing),
                "packs": len(packs),
                "flops": sum(share.flops for share in shares),
                "bytes_per_pack": max((share.bytes_per_pack for share in shares), default=0),
                "side_by_side": side_by_side,
                "hours": seconds / 3600,
                "shapes": [asdict(share) for share in shares],
            }
        )
        return
    results().print(_table(shares))
    stored = f", {len(trials) - len(missing)} of them stored already" if missing != trials else ""
    print(f"\n{len(trials)} trials on {request.setting.data.name}{stored}; {len(packs)} packs")
    print(f"at most {in_words(seconds)} with {side_by_side} at a time, at the speed measured here")


def _table(shares: list[Share]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("network", "n", "trials", "packs", "TFLOP", "MiB/pack", "time"):
        table.add_column(name, justify="left" if name == "network" else "right", no_wrap=True)
    for share in shares:
        table.add_row(
            share.network,
            str(share.train),
            str(share.trials),
            str(share.packs),
            f"{share.flops / 1e12:.3g}",
            f"{share.bytes_per_pack / 2**20:.0f}",
            in_words(share.seconds),
        )
    return table
