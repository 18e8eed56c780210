"""One table of byheart and its peers: `python -m benchmarks [ROW ...]`."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import rows


def modules() -> list[str]:
    """Return the names of the modules that hold rows."""
    return sorted(module.name for module in pkgutil.iter_modules(rows.__path__))


def measured(module: str, pairs: int) -> Iterator[dict[str, Any]]:
    """Run a module's duels one after the other."""
    for duel in importlib.import_module(f"benchmarks.rows.{module}").duels():
        row = duel.run(pairs)
        print(sentence(row), flush=True)
        yield row


def sentence(row: dict[str, Any]) -> str:
    """Say what a row has come to."""
    if row["peer"] is None:
        return (
            f"{row['row']}: {row['ours_seconds']:.3g} s, wanted {row['wanted_seconds']:g}; "
            f"{row['peak_bytes'] / 2**30:.2f} GiB, wanted {row['wanted_bytes'] / 2**30:g}; "
            f"{row['agreement']}"
        )
    ratio, fraction = row["ratio"], row["limit_fraction"]
    words = [
        f"{row['row']} against {row['peer']}: {row['ours_seconds']:.3g} s, "
        f"peer {row['peer_seconds']:.3g} s, ratio {ratio['median']:.3g} "
        f"({ratio['low']:.3g} to {ratio['high']:.3g}), wanted {row['wanted']:g}"
    ]
    if fraction is not None:
        wanted = f", wanted {row['wanted_of_limit']:.0%}" if row["wanted_of_limit"] else ""
        words.append(f"{fraction:.0%} of the machine's limit{wanted}")
    return "; ".join([*words, row["agreement"], *filter(None, [row["note"]])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="ROW", help=f"some of {', '.join(modules())}")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("out/bench.json"))
    parser.add_argument("--here", action="store_true", help="in this process, one module")
    options = parser.parse_args()
    chosen = options.modules or modules()
    if unknown := set(chosen) - set(modules()):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(modules())}")
    failed = []
    if options.here:
        table = [row for module in chosen for row in measured(module, options.pairs)]
    else:
        parts = {module: apart(module, options.pairs) for module in chosen}
        table = [row for part in parts.values() for row in part or []]
        failed = [module for module, part in parts.items() if part is None]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
    if failed:
        raise SystemExit(f"error: {', '.join(failed)} failed; {options.out} has the other rows")


def apart(module: str, pairs: int) -> list[dict[str, Any]] | None:
    """Measure a module in a process of its own, so that its memory and caches are its own.

    Returns:
        Its rows, or None if it failed: it has said why, and the other modules go on.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks", module, "--here"]
        ended = subprocess.run([*command, "--pairs", str(pairs), "--out", str(out)], check=False)
        if ended.returncode:
            return None
        return list(json.loads(out.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()
