"""Stores from strangers: every way to read one gives what was written, or one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.hostile.mutations import damaged, fuzzed
from tests.hostile.refusing import answer
from tests.hostile.stores import CELLS, SCHEMAS, VALUES, a_store, changed, set_cell, write
from tests.store.examples import a_record, a_trial

from byheart.cli.main import main
from byheart.store import Store
from byheart.studies.folder import load_session

TRIALS = [a_trial(seed) for seed in range(2)]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return a_store(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stranger")


def opened(folder: Path, ask: Callable[[Store], Any], *, create: bool = False) -> Any:
    with Store.open(folder, create) as store:
        return ask(store)


def read_all_ways(folder: Path) -> None:
    """Read a store in every way there is."""
    ways: tuple[Callable[[Store], Any], ...] = (
        Store.verify,
        Store.list,
        Store.last_run,
        load_session,
        lambda store: store.records(TRIALS),
        lambda store: store.missing(TRIALS),
        lambda store: store.export(folder / "csv", "csv"),
        lambda store: store.export(folder / "npz", "npz"),
    )
    for ask in ways:
        answer(lambda ask=ask: opened(folder, ask))
    for words in (["store", "list", str(folder)], ["store", "verify", str(folder)]):
        assert main(words) in (0, 2)


def write_all_ways(folder: Path) -> None:
    """Take over what a store holds, and go on with it."""
    into = write(folder.parent / "into", b"")
    answer(lambda: opened(into, lambda store: store.merge(folder), create=True))
    again = [a_record(trial) for trial in TRIALS]
    answer(lambda: opened(folder, lambda store: store.add(again), create=True))


@fuzzed
@given(data=st.data())
def test_files_that_are_damaged_anywhere(sound: bytes, folder: Path, data: st.DataObject) -> None:
    write(folder, data.draw(damaged([sound])))
    read_all_ways(folder)
    write_all_ways(folder)


@fuzzed
@given(cell=st.sampled_from(CELLS), value=VALUES, sealed=st.booleans())
def test_cells_that_hold_anything(
    sound: bytes, folder: Path, cell: tuple[str, str], value: Any, sealed: bool
) -> None:
    write(folder, sound)
    changed(folder, lambda connection: set_cell(connection, cell, value, sealed=sealed))
    read_all_ways(folder)
    write_all_ways(folder)


@pytest.mark.parametrize("script", SCHEMAS)
def test_tables_that_were_changed(sound: bytes, tmp_path: Path, script: str) -> None:
    write(tmp_path / "store", sound)
    changed(tmp_path / "store", lambda connection: connection.executescript(script))
    read_all_ways(tmp_path / "store")
    write_all_ways(tmp_path / "store")


def test_an_index_that_leads_to_another_record_is_damage(sound: bytes, tmp_path: Path) -> None:
    key = TRIALS[0].key.encode()
    other = key[:5] + bytes(8) + key[13:]
    for at in (i for i in range(len(sound)) if sound.startswith(key, i)):
        write(tmp_path, sound[:at] + other + sound[at + len(key) :])
        answer(lambda: opened(tmp_path, lambda store: store.records(TRIALS)))


def test_what_users_add_beside_the_tables_is_theirs(sound: bytes, tmp_path: Path) -> None:
    write(tmp_path, sound)
    changed(tmp_path, lambda connection: connection.executescript("; ".join(SCHEMAS[1:3])))
    assert opened(tmp_path, lambda store: len(store.records(TRIALS))) == 2
