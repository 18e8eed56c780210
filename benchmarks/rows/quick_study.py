"""The quick study as `make study` runs it: all claims, in a process of its own, timed and weighed.

Memory is the proportional set size (PSS) of the whole process tree, sampled from /proc every fifth
of a second, at its peak: pages that processes share (torch, the data set) count once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.duel import Agreement, Alone, Measured
from byheart.studies.registry import claims

EVERY = 0.2
"""Seconds between two looks at memory."""
WORKERS = 2


def tree(root: int) -> list[int]:
    """Return a process and all that descend from it, as /proc shows them now."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold spaces.
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    found = [root]
    for process in found:
        found += children.get(process, [])
    return found


def proportional_bytes(process: int | str, part: str = "Pss") -> int:
    """Return the proportional set size of a process ("self" for this one); 0 if it has ended.

    Args:
        process: its number.
        part: "Pss" for all, "Pss_Anon" for what no file is behind, and other processes' coming and
            going does not change.
    """
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{part}:")), 0)


def watched(command: list[str]) -> tuple[float, int]:
    """Run a command to its end; return its seconds and the peak of its tree's memory.

    Raises:
        SystemExit: it failed, or there is no /proc.
    """
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("error: the row 'quick study' reads memory from /proc: run it on Linux")
    started, peak = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(proportional_bytes, tree(process.pid))))
            time.sleep(EVERY)
        seconds = time.perf_counter() - started
        assert process.stderr is not None
        said = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise SystemExit(f"error: {' '.join(command)} ended with {process.returncode}: {said}")
    return seconds, peak


def study() -> Measured:
    """Run the quick study in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["study", "--preset", "quick", "--workers", str(WORKERS), "--out", folder]
        seconds, peak = watched([sys.executable, "-m", "byheart", *words])
        findings = json.loads(Path(folder, "findings.json").read_text(encoding="utf-8"))
    judged = sum(finding["verdict"] != "not-run" for finding in findings)
    every = len(claims())
    return Measured(seconds, peak, Agreement(judged == every, f"{judged} of {every} claims judged"))


def duels() -> Iterator[Alone]:
    yield Alone(
        row="quick study",
        work=f"byheart study --preset quick, {WORKERS} workers: every claim, and the page",
        measure=study,
        wanted_seconds=120,
        wanted_bytes=1.5 * 2**30,
    )
