"""``byheart study``: train what is missing, judge the claims, write the page."""

from __future__ import annotations

from pathlib import Path

import typer

from byheart.cli import options
from byheart.cli.console import results, tell, write_json
from byheart.cli.verdicts import print_verdicts


def study(
    claims: options.Claims = None,
    preset: options.PresetName = "quick",
    data: options.DataSource = None,
    model: options.Model = None,
    learning_rate: options.LearningRate = None,
    seeds: options.Seeds = None,
    runner: options.RunnerName = "processes",
    workers: options.Workers = None,
    address: options.Address = None,
    hang_after: options.HangAfter = options.PATIENCE,
    device: options.Device = "cpu",
    out: options.Out = None,
    as_json: options.AsJson = False,
) -> None:
    """Decide the papers' claims: train what is missing, judge, and write the page."""
    from byheart.report.session import report_session
    from byheart.runners import make_progress
    from byheart.store import Store
    from byheart.studies.request import make_request
    from byheart.studies.session import load_session, run_session

    how = options.make_runner(runner, workers, address, hang_after)
    where = options.find_device(device, how)
    request = make_request(
        claims or (),
        preset=preset,
        source=data,
        seeds=seeds,
        model=model,
        learning_rate=learning_rate,
    )
    options.say_own_network(request.own_network)
    folder = out or Path("out", preset)
    with Store.open(folder) as store:
        result = run_session(
            request.studies,
            request.claims,
            request.setting,
            request.dataset,
            store,
            how,
            device=where,
            progress=make_progress(),
            command=request.command("--out", str(folder)),
            own_network=request.own_network,
        )
        page = report_session(folder, load_session(store), result.records, result.findings)
    if as_json:
        write_json([finding.as_json() for finding in result.findings])
    else:
        print_verdicts(result.findings, results())
        tell(page)
    if result.failed:
        raise typer.Exit(1)
