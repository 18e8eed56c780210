"""Long load: a study of 2,000 small packs through the processes runner, and its page.

``python -m benchmarks.load [PACKS]`` writes out/load.json: the driver's own memory and its
processor time for each result, in the first and the last quarter; the page's size, and how long it
takes Chromium to open it.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.rows.quick_study import proportional_bytes
from byheart.data import load_dataset
from byheart.record import Record
from byheart.report.study import write_report
from byheart.runners.processes import ProcessesRunner
from byheart.runners.progress import PlainProgress
from byheart.store import Store
from byheart.studies.base import Setting, SourceFacts
from byheart.studies.folder import load_session
from byheart.studies.presets import QUICK
from byheart.studies.registry import chosen_claims, studies_of
from byheart.studies.rounds import missing_packs, plan
from byheart.studies.session import run_session
from byheart.studies.settings import DynamicsSetting, ExampleSetting, TimeSetting
from byheart.training import packs

PACKS = 2000
WORKERS = 2
VISITS = 5
CLAIMS = chosen_claims(["easy-examples", "time-size", "csr-noise"])
PRESET = QUICK.model_copy(
    update={
        "name": "load",
        "examples": ExampleSetting(
            train=40, hidden=(8,), learning_rate=0.1, batch_size=32, initialisations=10
        ),
        "dynamics": DynamicsSetting(
            train=40,
            validation=40,
            hidden=(8,),
            learning_rate=0.1,
            batch_size=32,
            epochs=8,
            levels=(0.0, 0.5, 1.0),
            checkpoints=4,
            radii=(1 / 765, 1 / 255, 3 / 255),
            radius=1 / 255,
            critical_checkpoints=3,
            critical_examples=10,
            certified_examples=5,
            max_steps=5,
        ),
        "time": TimeSetting(
            learning_rate=0.1,
            batch_size=32,
            epochs=10,
            levels=(0.0, 0.5, 1.0),
            widths=(4, 8),
            width_train=40,
            train=40,
            sizes=(20, 40),
            width=8,
        ),
    }
)


class WeighedStore(Store):
    """Notes the driver's processor time and memory after each result."""

    seconds: list[float]
    weights: list[int]

    def add(self, records: Sequence[Record]) -> None:
        """Store, and take note."""
        super().add(records)
        self.seconds.append(time.process_time())
        self.weights.append(proportional_bytes("self", "Pss_Anon"))


def setting_of(wanted: int) -> Setting:
    """Return a setting with as many seeds as it takes to come to so many packs."""
    dataset = load_dataset("digits")
    facts = SourceFacts(
        name=dataset.name,
        fingerprint=dataset.fingerprint,
        examples=len(dataset),
        shape=dataset.shape,
        classes=dataset.classes,
        smallest_class=dataset.smallest_class,
    )
    one = Setting(PRESET, facts, 1)
    seeds = -(-wanted // len(plan(studies_of(CLAIMS), one)))
    return replace(one, seeds=seeds)


def trained(folder: Path, wanted: int) -> dict[str, Any]:
    """Run the study and return what its driver took."""
    # One trial a pack: the load is in how many there are.
    packs.FOOTPRINTS["cpu"] = replace(packs.FOOTPRINTS["cpu"], replicas=1)
    setting = setting_of(wanted)
    trials = plan(studies_of(CLAIMS), setting)
    count = len(missing_packs(trials, {trial.key for trial in trials}, setting))
    with WeighedStore.open(folder) as store:
        store.seconds, store.weights = [], []
        result = run_session(
            studies_of(CLAIMS),
            CLAIMS,
            setting,
            load_dataset("digits"),
            store,
            ProcessesRunner(WORKERS),
            progress=PlainProgress(),
        )
        started = time.process_time()
        page = write_report(
            folder, load_session(store), result.folder_records, result.folder_findings
        )
        drawn = time.process_time() - started
    if len(store.seconds) != count or result.failed:
        raise SystemExit(f"error: {len(store.seconds)} of {count} packs, {result.failed}")
    each = [b - a for a, b in zip(store.seconds, store.seconds[1:], strict=False)]
    quarter = len(each) // 4
    return {
        "packs": count,
        "first_quarter_ms": 1000 * statistics.fmean(each[:quarter]),
        "last_quarter_ms": 1000 * statistics.fmean(each[-quarter:]),
        "bytes_after_tenth": store.weights[count // 10],
        "bytes_at_end": store.weights[-1],
        "store_bytes": (folder / "results.sqlite").stat().st_size,
        "page_bytes": page.stat().st_size,
        "drawing_seconds": drawn,
        "page": str(page),
    }


def opened(page: Path) -> dict[str, float]:
    """Return how long Chromium takes to open a page: until it is loaded, and until it has drawn.

    Also the processor time of the page's thread until then, which other work on the machine does
    not lengthen.
    """
    from playwright.sync_api import sync_playwright

    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    loaded, drawn, used = [], [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(VISITS):
            tab = browser.new_page()
            tools = tab.context.new_cdp_session(tab)
            tools.send("Performance.enable", {"timeDomain": "threadTicks"})
            begun = time.perf_counter()
            tab.goto(page.as_uri(), wait_until="load")
            loaded.append(time.perf_counter() - begun)
            tab.wait_for_selector("html[data-charts=drawn]")
            drawn.append(time.perf_counter() - begun)
            metrics = tools.send("Performance.getMetrics")["metrics"]
            used.append(next(m["value"] for m in metrics if m["name"] == "TaskDuration"))
            tab.close()
        browser.close()
    return {
        "load_seconds": statistics.median(loaded),
        "drawn_seconds": statistics.median(drawn),
        "drawn_processor_seconds": statistics.median(used),
    }


def main() -> None:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else PACKS
    with tempfile.TemporaryDirectory(prefix="byheart-load-") as folder:
        found = trained(Path(folder), wanted)
        found |= opened(Path(found.pop("page")))
    Path("out").mkdir(exist_ok=True)
    Path("out/load.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
