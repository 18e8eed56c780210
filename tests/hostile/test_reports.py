"""Studies from strangers, with every checksum right: their report is drawn, or refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hostile.mutations import EXAMPLES, fuzzed
from tests.hostile.stores import changed, seal_anew, set_cell, write
from tests.studies.tiny import run

from byheart.charts import vega
from byheart.cli.main import main
from byheart.errors import StoreError
from byheart.report.study import redraw
from byheart.runners.base import InlineRunner
from byheart.store import Store, codec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**40) | st.floats(-1e9, 1e9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=6,
)
ARRAYS = st.sampled_from(
    [
        np.zeros(0),
        np.array(np.nan),
        np.full((3, 2), np.inf),
        np.arange(7, dtype=np.int16),
        np.zeros((1, 1, 1), bool),
        np.full(40, -1e300),
    ]
)
dear = settings(fuzzed, max_examples=max(EXAMPLES // 12, 1))
"""Each report draws all figures of its claims, which takes seconds."""


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("study")
    run(folder, InlineRunner())
    return (folder / "results.sqlite").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def each_chart_once() -> Iterator[None]:
    """Draw equal charts once: most charts of a report do not hold what was forged."""
    drawn: dict[str, str] = {}

    def remember(declaration: dict[str, Any], title: str, reading: str) -> str:
        facts = json.dumps([declaration, title, reading])
        if facts not in drawn:
            drawn[facts] = draw(declaration, title, reading)
        return drawn[facts]

    draw = vega.to_svg
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vega, "to_svg", remember)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stranger")


def test_a_sound_one_is_drawn(study: bytes, tmp_path: Path) -> None:
    write(tmp_path, study)
    assert main(["report", str(tmp_path)]) == 0
    assert (tmp_path / "report.html").stat().st_size > 10_000


@dear
@given(array=ARRAYS, at=st.floats(0, 1), every=st.booleans())
def test_arrays_that_hold_anything(
    study: bytes, folder: Path, array: np.ndarray, at: float, every: bool
) -> None:
    stored = codec.encode(array)

    def forge(connection: Any) -> None:
        names = [name for (name,) in connection.execute("SELECT DISTINCT name FROM arrays")]
        name = names[min(int(at * len(names)), len(names) - 1)]
        which = "" if every else "LIMIT 1"
        connection.execute(
            "UPDATE arrays SET dtype = ?, shape = ?, data = ? WHERE rowid IN "
            f"(SELECT rowid FROM arrays WHERE name = ? {which})",
            (stored.dtype, stored.shape, stored.data, name),
        )
        seal_anew(connection)

    write(folder, study)
    changed(folder, forge)
    assert main(["report", str(folder)]) in (0, 2)


@dear
@given(value=JSON, data=st.data())
def test_facts_of_a_run_that_say_anything(
    study: bytes, folder: Path, value: Any, data: st.DataObject
) -> None:
    write(folder, study)

    def forge(connection: Any) -> None:
        (text,) = connection.execute("SELECT facts FROM runs").fetchone()
        facts = json.loads(text)
        facts[data.draw(st.sampled_from(sorted(facts)))] = value
        set_cell(connection, ("runs", "facts"), json.dumps(facts), sealed=True)

    changed(folder, forge)
    assert main(["report", str(folder)]) in (0, 2)


def test_arrays_that_no_trial_leaves_are_named_with_the_remedy(
    study: bytes, tmp_path: Path
) -> None:
    write(tmp_path, study)
    stored = codec.encode(np.zeros((2, 2, 2)))

    def forge(connection: Any) -> None:
        connection.execute(
            "UPDATE arrays SET dtype = ?, shape = ?, data = ?",
            (stored.dtype, stored.shape, stored.data),
        )
        seal_anew(connection)

    changed(tmp_path, forge)
    with (
        Store.open(tmp_path, create=False) as store,
        pytest.raises(StoreError, match="its records are not what this version's trials leave"),
    ):
        redraw(tmp_path, store)
