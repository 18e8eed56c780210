"""Training with a stopwatch on each kind of work: what ``benchmarks.experience`` lets a runner do.

It reaches behind the engine's public names on purpose: the engine itself carries no clocks.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from byheart.record import Record
from byheart.training import engine, probe_critical, probes
from byheart.training.paces import clock
from byheart.training.packs import Pack

TRAIN = "benchmarks.timed:train"
FOLDER = "BYHEART_TIMED"
"""Environment variable: the folder that takes a file per pack, seconds by kind of work."""

_seconds: Counter[str] = Counter()


def _timed(module: Any, name: str, kind: str) -> None:
    real: Callable[..., Any] = getattr(module, name)

    def timed(*args: Any, **options: Any) -> Any:
        started = clock()
        try:
            return real(*args, **options)
        finally:
            _seconds[kind] += clock() - started

    setattr(module, name, timed)


for _module, _name, _kind in (
    (probe_critical, "lass", "search"),
    (probe_critical, "verified", "search"),
    (probe_critical, "_prove", "certificate"),
    (probes, "pack_sharpness", "curvature"),
    (probes, "pack_online_sharpness", "online"),
    (probes, "_accuracy", "forward"),
    (probes, "_correct", "forward"),
):
    _timed(_module, _name, _kind)


def train(
    pack: Pack, dataset: Any, *, device: str, on_epoch: Callable[[int, int], None]
) -> Sequence[Record]:
    """Train a pack, and leave the seconds of each kind of work in a file."""
    _seconds.clear()
    started = clock()
    records = engine.train(pack, dataset, device=device, on_epoch=on_epoch)
    whole = clock() - started
    seconds = dict(_seconds) or {"sweep" if _is_sweep(pack) else "training": whole}
    path = Path(os.environ[FOLDER], f"{pack.key}.json")
    path.write_text(json.dumps(seconds | {"whole": whole}), encoding="utf-8")
    return records


def _is_sweep(pack: Pack) -> bool:
    return any(probe.name == "sensitivity" for probe in pack.trials[0].probes)
