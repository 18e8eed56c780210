"""A whole study in seconds: the real claims and the real engine, on next to no data.

As a script it is the driver that tests interrupt: ``python -m tests.studies.tiny DIR RUNNER``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import torch

from byheart.data.dataset import Dataset
from byheart.runners.base import InlineRunner, Progress
from byheart.runners.processes import ProcessesRunner
from byheart.store import Store
from byheart.studies.base import Setting, SourceFacts
from byheart.studies.presets import QUICK
from byheart.studies.registry import chosen_claims, studies_of
from byheart.studies.session import run_session
from byheart.studies.settings import CapacitySetting, ExampleSetting, SharpnessSetting, TimeSetting
from byheart.training import engine

CLAIMS = chosen_claims(["easy-examples", "time-size", "capacity-noise", "csr-noise"])


def tiny_dataset() -> Dataset:
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(400) % 4
    x = (0.5 + 0.3 * torch.randn(4, 9, generator=draw)[y]).clamp(0.2, 0.8)
    return Dataset.from_arrays("tiny", x + 0.1 * torch.rand(400, 9, generator=draw), y)


_SHORT = {"train": 40, "learning_rate": 0.1, "batch_size": 32}
_ONE_LAYER = {**_SHORT, "hidden": (8,), "levels": (0.0, 0.5, 1.0)}
TINY = QUICK.model_copy(
    update={
        "name": "tiny",
        "seeds": 3,
        "examples": ExampleSetting(**_SHORT, hidden=(8,), initialisations=10),
        "dynamics": QUICK.dynamics.model_copy(
            update={
                **_ONE_LAYER, "validation": 40, "epochs": 8, "checkpoints": 4, "max_steps": 5,
                "critical_checkpoints": 3, "critical_examples": 20, "certified_examples": 10,
            }
        ),
        "time": TimeSetting(
            **_SHORT, epochs=10, levels=(0.0, 0.5, 1.0), widths=(4, 8), width_train=40,
            sizes=(20, 40), width=8,
        ),
        "sharpness": SharpnessSetting(
            **_ONE_LAYER, epochs=4, limit=10, loss=1.0, tolerance=1e-3, max_iterations=50,
            online_iterations=5,
        ),
        "capacity": CapacitySetting(
            **_SHORT, widths=(4, 8), width_epochs=10, smallest=10, largest=60, rounds=3, width=8,
            size_epochs=12,
        ),
    }
)  # fmt: skip
"""The quick preset, but most studies take a moment."""


def tiny_setting(dataset: Dataset, *, seeds: int = 3) -> Setting:
    return Setting(TINY, SourceFacts.of(dataset), seeds)


def train(pack, dataset, *, device, on_epoch):
    """Train for real, but leave time to be killed, and note which trials were begun."""
    log = os.environ.get("TRAINED")
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(
                json.dumps({"pid": os.getpid(), "keys": [t.key for t in pack.trials]}) + "\n"
            )
        time.sleep(0.1)
    return engine.train(pack, dataset, device=device, on_epoch=on_epoch)


def run(folder: Path, runner, **options):
    dataset = tiny_dataset()
    with Store.open(folder) as store:
        return run_session(
            studies_of(CLAIMS), CLAIMS, tiny_setting(dataset), dataset, store, runner, **options
        )


def without_timings(findings) -> str:
    rows = [finding.as_json() for finding in findings]
    for row in rows:
        del row["seconds"]
    return json.dumps(rows, indent=2)


def main() -> None:
    folder, kind = Path(sys.argv[1]), sys.argv[2]
    name = "tests.studies.tiny:train"
    runner = InlineRunner(1, name) if kind == "inline" else ProcessesRunner(2, train=name)
    result = run(folder, runner, progress=Progress())
    (folder / "findings.json").write_text(without_timings(result.findings), encoding="utf-8")
    print(result.trained)


if __name__ == "__main__":
    main()
