"""``byheart study``: train what is missing, judge the claims, write the page."""

from __future__ import annotations

import typer

from byheart.cli import options
from byheart.cli.console import results, tell, write_json
from byheart.cli.verdicts import print_verdicts
from byheart.runners.hangs import PATIENCE


def study(
    claims: options.Claims = None,
    preset: options.PresetName = "quick",
    data: options.PresetData = None,
    model: options.PresetModel = None,
    network: options.NetworkName = None,
    learning_rate: options.PresetLearningRate = None,
    seeds: options.Seeds = None,
    until_decided: options.UntilDecided = False,
    most_seeds: options.MostSeeds = None,
    runner: options.RunnerName = "processes",
    workers: options.Workers = None,
    address: options.Address = None,
    hang_after: options.HangAfter = PATIENCE,
    device: options.Device = "cpu",
    out: options.PresetOut = None,
    as_json: options.AsJson = False,
) -> None:
    """Decide the papers' claims: train what is missing, judge, and write the page."""
    from byheart import studying

    findings = studying.study(
        claims,
        preset=preset,
        data=data,
        model=model,
        network=network,
        learning_rate=learning_rate,
        seeds=seeds,
        until_decided=until_decided,
        most_seeds=most_seeds,
        runner=runner,
        workers=workers,
        address=address,
        hang_after=hang_after,
        device=device,
        out=out,
    )
    if as_json:
        write_json([finding.as_json() for finding in findings])
    else:
        print_verdicts(findings, results())
        tell(findings.page)
    if findings.failed:
        raise typer.Exit(1)
