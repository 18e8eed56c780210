"""``byheart plan``: what a study would take. Trains nothing."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from byheart.cli import options
from byheart.cli.console import results, write_json
from byheart.runners import ProcessesRunner
from byheart.runners.timeleft import in_words
from byheart.studies.accelerators import UTILISATION, Accelerator, find_accelerator
from byheart.studies.estimate import Share

UNITS = (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9))
Gpu = Annotated[
    str | None,
    typer.Option(
        "--gpu",
        metavar="NAME|TFLOPS",
        help="Plan for a GPU that need not be here: its name (A100, H100, ...) or its float32 "
        "speed in TFLOP/s.",
    ),
]


def plan(
    claims: options.Claims = None,
    preset: options.PresetName = "quick",
    data: options.DataSource = None,
    model: options.Model = None,
    learning_rate: options.LearningRate = None,
    seeds: options.Seeds = None,
    runner: options.RunnerName = "processes",
    workers: options.Workers = None,
    device: options.Device = "cpu",
    gpu: Gpu = None,
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what a study would take on this machine; train nothing."""
    from byheart.store import Store
    from byheart.studies.estimate import estimate
    from byheart.studies.request import make_request
    from byheart.studies.session import at_most, missing_packs, stored_records
    from byheart.training.device import find_device

    how, accelerator = options.make_runner(runner, workers), gpu and find_accelerator(gpu)
    where = "cuda" if accelerator else find_device(device)
    request = make_request(
        claims or (),
        preset=preset,
        source=data,
        seeds=seeds,
        model=model,
        learning_rate=learning_rate,
    )
    options.say_own_network(own := request.own_network)
    folder, trials = out or Path("out", preset), request.trials
    missing = trials
    if (folder / "results.sqlite").exists():
        with Store.open(folder, create=False) as store:
            known = stored_records(request.studies, request.setting, store)
            trials = at_most(request.studies, request.setting, known)
            missing = store.missing(trials)
    keys = {trial.key for trial in missing}
    packs = missing_packs(trials, keys, request.setting, device=where)
    speed = accelerator.speed if accelerator else None
    shares = estimate(packs, request.setting.data, device=where, speed=speed)
    side_by_side = 1
    if isinstance(how, ProcessesRunner) and not accelerator:
        side_by_side = min(how.workers, len(packs))
    seconds = sum(share.seconds for share in shares) / max(1, side_by_side)
    if as_json:
        write_json(
            {
                "command": request.command(),
                "network": own.about if own else None,
                "left_out": own.left_out if own else {},
                "trials": len(trials),
                "stored": len(trials) - len(missing),
                "packs": len(packs),
                "flops": sum(share.flops for share in shares),
                "bytes_per_pack": max((share.bytes_per_pack for share in shares), default=0),
                "side_by_side": side_by_side,
                "hours": seconds / 3600,
                "gpu": asdict(accelerator) | {"utilisation": UTILISATION} if accelerator else None,
                "shapes": [asdict(share) for share in shares],
            }
        )
        return
    results().print(_table(shares))
    stored = f", {len(trials) - len(missing)} of them stored already" if missing != trials else ""
    print(f"\n{len(trials)} trials on {request.setting.data.name}{stored}; {len(packs)} packs")
    if accelerator:
        print(_on_accelerator(accelerator, seconds, shares))
        return
    print(f"at most {_long(seconds)} with {side_by_side} at a time, at the speed measured here")


def _on_accelerator(accelerator: Accelerator, seconds: float, shares: list[Share]) -> str:
    largest = max((share.bytes_per_pack for share in shares), default=0)
    if accelerator.gib is not None and largest > accelerator.gib * 2**30:
        memory = f"; its {accelerator.gib} GiB do not hold the largest pack"
    else:
        memory = ""
    return (
        f"at most {_long(seconds)} on one {accelerator.name}, at {UTILISATION:.0%} of its "
        f"{accelerator.tflops:g} TFLOP/s{memory}; more GPUs divide it"
    )


def _table(shares: list[Share]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("network", "n", "trials", "packs", "FLOP", "MiB/pack", "time"):
        table.add_column(name, justify="left" if name == "network" else "right", no_wrap=True)
    for share in shares:
        table.add_row(
            share.network,
            str(share.train),
            str(share.trials),
            str(share.packs),
            _operations(share.flops),
            f"{share.bytes_per_pack / 2**20:.0f}",
            _long(share.seconds),
        )
    return table


def _operations(count: float) -> str:
    """Return a count with three digits and a unit: 10^9 G, 10^12 T, 10^15 P, 10^18 E."""
    unit, size = next((one for one in UNITS if count >= one[1]), UNITS[-1])
    return f"{float(f'{count / size:.3g}'):g} {unit}"


def _long(seconds: float) -> str:
    """Return a time in words; minutes are lost in hundreds of hours."""
    return f"{seconds / 3600:,.0f} h" if seconds >= 100 * 3600 else in_words(seconds)
