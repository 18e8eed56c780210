"""``byheart plan``: estimate a study's compute, memory and time; train nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from byheart.cli import options
from byheart.cli.console import plain, results, say, tell, write_json
from byheart.runners.hangs import PATIENCE
from byheart.runners.timeleft import in_words

if TYPE_CHECKING:
    from byheart.record import Record
    from byheart.studies.estimate import Accelerator, CostEstimate, Share
    from byheart.studies.request import Request

UNITS = (("E", 1e18), ("P", 1e15), ("T", 1e12), ("G", 1e9))
Gpu = Annotated[
    str | None,
    typer.Option(
        "--gpu",
        metavar="NAME|TFLOPS",
        help="GPU to plan for, here or elsewhere: its name (A100, H100, ...) or its float32 speed "
        "in TFLOP/s.",
    ),
]


def plan(
    claims: options.Claims = None,
    preset: options.PresetName = "quick",
    data: options.PresetData = None,
    model: options.PresetModel = None,
    network: options.NetworkName = None,
    learning_rate: options.PresetLearningRate = None,
    seeds: options.Seeds = None,
    runner: options.RunnerName = "processes",
    workers: options.Workers = None,
    address: options.Address = None,
    hang_after: options.HangAfter = PATIENCE,
    device: options.Device = "cpu",
    gpu: Gpu = None,
    out: options.PresetOut = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what a study would take on this machine; train nothing."""
    from byheart.charts.drawn import drawing_pace
    from byheart.runners.make import find_device, make_runner
    from byheart.studies.estimate import UTILISATION, estimate, find_accelerator
    from byheart.studies.registry import problems
    from byheart.studies.request import make_request

    for line in problems():
        say(line)
    how = make_runner(runner, workers, address, hang_after)
    accelerator = gpu and find_accelerator(gpu)
    where = "cuda" if accelerator else find_device(device, how)
    request = make_request(
        claims or (),
        preset=preset,
        source=data,
        seeds=seeds,
        model=model,
        network=network,
        learning_rate=learning_rate,
    )
    own_network = request.own_network
    for line in own_network.lines() if own_network else ():
        say(line)
    records = _stored(out or Path("out", preset), request)
    cost = estimate(
        request.studies,
        request.setting,
        request.dataset,
        records,
        how,
        device=where,
        speed=accelerator.speed if accelerator else None,
    )
    drawing = drawing_pace().page(len(request.claims))
    expected, at_most = cost.seconds.expected + drawing, cost.seconds.at_most + drawing
    if as_json:
        write_json(
            {
                "command": request.command(),
                "network": own_network.about if own_network else None,
                "left_out": own_network.left_out if own_network else {},
                "trials": cost.trials,
                "stored": cost.stored,
                "packs": cost.packs,
                "flops": cost.flops,
                "flops_at_most": cost.flops_at_most,
                "bytes_per_pack": cost.bytes_per_pack,
                "side_by_side": cost.workers,
                "hours": expected / 3600,
                "hours_at_most": at_most / 3600,
                "drawing_seconds": drawing,
                "gpu": asdict(accelerator) | {"utilisation": UTILISATION} if accelerator else None,
                "shapes": [asdict(share) for share in cost.shares],
            }
        )
        return
    results().print(_table(cost.shares))
    stored = f", {cost.stored} of them stored already" if cost.stored else ""
    tell(f"\n{cost.trials} trials on {request.setting.data.name}{stored}; {cost.packs} packs")
    time = f"about {_long(expected)}, at most {_long(at_most)}"
    if accelerator:
        tell(f"{time} {_on_accelerator(accelerator, cost)}")
    else:
        tell(f"{time}, with {cost.workers} at a time, at the speeds measured here")


def _stored(folder: Path, request: Request) -> Mapping[str, Record]:
    """Return the records that the output folder already holds, by trial key."""
    from byheart.store import Store
    from byheart.studies.rounds import stored_records

    if not (folder / "results.sqlite").exists():
        return {}
    with Store.open(folder, create=False) as store:
        return stored_records(request.studies, request.setting, store)


def _on_accelerator(accelerator: Accelerator, cost: CostEstimate) -> str:
    from byheart.studies.estimate import UTILISATION

    if accelerator.gib is not None and cost.bytes_per_pack > accelerator.gib * 2**30:
        memory = f"; its {accelerator.gib} GiB do not hold the largest pack"
    else:
        memory = ""
    return (
        f"on one {accelerator.name}, at {UTILISATION:.0%} of its "
        f"{accelerator.tflops:g} TFLOP/s{memory}; more GPUs divide it"
    )


def _table(shares: Sequence[Share]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("network", "n", "trials", "packs", "FLOP", "at most", "MiB", "time", "at most"):
        table.add_column(name, justify="left" if name == "network" else "right", no_wrap=True)
    for share in shares:
        table.add_row(
            plain(share.network),
            str(share.train),
            str(share.trials),
            str(share.packs),
            _with_si_prefix(share.flops),
            _with_si_prefix(share.flops_at_most),
            f"{share.bytes_per_pack / 2**20:.0f}",
            _short(share.seconds),
            _short(share.at_most),
        )
    return table


def _with_si_prefix(count: float) -> str:
    """Return a count with three digits and a unit: 10^9 G, 10^12 T, 10^15 P, 10^18 E."""
    unit, size = next((unit for unit in UNITS if count >= unit[1]), UNITS[-1])
    return f"{float(f'{count / size:.3g}'):g} {unit}"


def _long(seconds: float) -> str:
    """Return a time in words; from 100 hours on without minutes."""
    return f"{seconds / 3600:,.0f} h" if seconds >= 100 * 3600 else in_words(seconds)


def _short(seconds: float) -> str:
    """Return a time for a table: two or three digits and a unit."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:,.0f} h"
