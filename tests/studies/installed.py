"""Packages with studies of their own, as pip leaves them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from byheart.studies import registry

Install = Callable[[str, Mapping[str, str], Mapping[str, str]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Yield a function that installs a package: its name, files, and entry points."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "_added", [])

    def install(name: str, files: Mapping[str, str], points: Mapping[str, str]) -> None:
        for file, text in files.items():
            (tmp_path / file).write_text(text)
            monkeypatch.delitem(sys.modules, Path(file).stem, raising=False)
        facts = tmp_path / f"{name.replace('-', '_')}-0.1.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
        lines = "\n".join(f"{key} = {value}" for key, value in points.items())
        (facts / "entry_points.txt").write_text(f"[{registry.GROUP}]\n{lines}\n")
        registry._installed.cache_clear()

    yield install
    registry._installed.cache_clear()
