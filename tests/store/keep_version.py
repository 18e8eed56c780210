"""Keep a store of the present schema version, with what lies in it: once for each release.

Run before a step is added to the schema: ``python -m tests.store.keep_version``. What it writes is
never written again: the tests of migrations read it for ever.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tests.store.examples import a_record, a_trial

from byheart.record import Record
from byheart.store import Store
from byheart.store.schema import VERSION

DATA = Path(__file__).parent / "data"


def kept_file(version: int) -> Path:
    return DATA / f"version-{version}.sqlite"


def what_is_in(folder: Path) -> dict:
    """Return all that a reader of results can see, as JSON values."""
    with Store.open(folder, create=False) as store:
        trials, run = [asdict(trial) for trial in store.list()], store.last_run()
    connection = sqlite3.connect(folder / "results.sqlite")
    query = "SELECT key, name, dtype, shape, data FROM arrays ORDER BY key, name"
    arrays = [[*facts, data.hex()] for *facts, data in connection.execute(query)]
    connection.close()
    return {"trials": trials, "run": run, "arrays": arrays}


def fill(folder: Path) -> None:
    odd = {"odd": np.array([np.nan, -0.0, np.inf, 0.1])}
    with Store.open(folder) as store:
        store.add([a_record(a_trial(0)), a_record(a_trial(1, labels=0.5), "diverged")])
        store.add([a_record(a_trial(2), "failed", reason="out of memory")])
        store.add([Record(a_trial(3), "converged", 2, odd, seconds=0.3, threads=4)])
        store.save_run({"claims": ["time-size"], "radius": 0.3 / 255})


def main() -> None:
    path = kept_file(VERSION)
    if path.exists():
        sys.exit(f"{path} is kept already: it is never written again")
    DATA.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        fill(Path(folder))
        content = what_is_in(Path(folder))
        shutil.copy(Path(folder, "results.sqlite"), path)
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
