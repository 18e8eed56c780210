"""What a preset spends: `python -m benchmarks.experience PRESET` runs it with a stopwatch.

Writes what `byheart plan` goes by (`studies/presets/experience.json`): for trials that may stop
early the epochs they took, and for searches and proofs the share of their limits that they cost,
both as seen in one run of the preset. Run it on a quiet machine, and again when a preset or the
speed of a probe has changed.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any

import byheart.studies.presets
from benchmarks.timed import FOLDER, TRAIN
from byheart.record import Record
from byheart.runners import ProcessesRunner, make_progress
from byheart.store import Store
from byheart.studies.experience import spent_by
from byheart.studies.rehearsing import rehearse
from byheart.studies.request import Request, make_request
from byheart.studies.session import missing_packs, run_session, stored_records
from byheart.training.cost import work
from byheart.training.packs import Pack

OUT = Path(byheart.studies.presets.__file__).with_name("experience.json")


def timed_run(request: Request, folder: Path, runner: ProcessesRunner) -> Mapping[str, Record]:
    """Run a study with a stopwatch, and return its records."""
    os.environ[FOLDER] = str(folder)
    with Store.open(folder) as store:
        result = run_session(
            request.studies,
            request.claims,
            request.setting,
            request.dataset,
            store,
            runner.doing(TRAIN),
            progress=make_progress(),
        )
    return result.records


def shares(request: Request, folder: Path, packs: list[Pack], runner: ProcessesRunner) -> Any:
    """Return by kind of work and stop what it cost, over its limit at the rehearsed pace."""
    rehearsal = rehearse(packs, request.dataset, runner, "cpu")
    data = request.setting.data
    cost, limit = Counter[str](), Counter[str]()
    for pack in packs:
        path = folder / f"{pack.key}.json"
        if not path.exists():
            continue  # Of a later round, and cut otherwise there.
        seconds, stop = json.loads(path.read_text("utf-8")), pack.trials[0].algorithm.stop
        paces = rehearsal.of(pack).kinds
        for trial in pack.trials:
            for kind, count in work(trial, data.shape, len(data.classes)).items():
                limit[f"{kind}, {stop}"] += paces.get(kind, 0.0) * count
        for kind in paces:
            cost[f"{kind}, {stop}"] += seconds.get(kind, 0.0)
    return {name: round(cost[name] / limit[name], 3) for name in sorted(cost) if limit[name]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("preset")
    parser.add_argument("claims", nargs="*", help="run these alone, and keep what others gave")
    parser.add_argument("--seeds", type=int, help="the preset's own if not given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; a new one")
    parser.add_argument("--spent", type=Path, help="take epochs from this finished study instead")
    options = parser.parse_args()
    runner = ProcessesRunner(options.workers)
    request = make_request(options.claims, preset=options.preset, seeds=options.seeds)
    records = timed_run(request, options.out, runner)
    trials = [record.trial for record in records.values()]
    packs = missing_packs(trials, set(records), request.setting)
    found = {"shares": shares(request, options.out, packs, runner)}
    if options.spent is not None:
        whole = make_request(preset=options.preset)
        with Store.open(options.spent, create=False) as store:
            records = stored_records(whole.studies, whole.setting, store)
    found["spent"] = {name: astuple(own) for name, own in spent_by(records.values()).items()}
    known = json.loads(OUT.read_text("utf-8"))
    if options.claims:
        old = known[options.preset]
        found = {part: dict(sorted((old[part] | own).items())) for part, own in found.items()}
    OUT.write_text(_lines(known | {options.preset: found}), encoding="utf-8")


def _lines(known: Mapping[str, Any]) -> str:
    """Return JSON with a condition per line."""
    presets = []
    for preset, found in sorted(known.items()):
        parts = []
        for part, values in sorted(found.items()):
            rows = ",\n".join(
                f"   {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()
            )
            parts.append(f'  "{part}": {{\n{rows}\n  }}')
        presets.append(f' "{preset}": {{\n' + ",\n".join(parts) + "\n }")
    return "{\n" + ",\n".join(presets) + "\n}\n"


if __name__ == "__main__":
    main()
