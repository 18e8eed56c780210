"""Stores of several machines become one; nothing is lost on the way, whatever happens."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from tests.store.examples import a_record, a_trial
from tests.store.keep_version import kept_file

from byheart.errors import StoreError
from byheart.store import Merged, Store, schema


def filled(folder, *records):
    with Store.open(folder) as store:
        store.add(records)
        store.save_run({"asked": folder.name})
    return folder


def content(folder):
    return (folder / "results.sqlite").read_bytes()


def merged(into, source):
    with Store.open(into) as store:
        result = store.merge(source)
        assert store.verify() == []
        return result


def keys_in(folder):
    with Store.open(folder, create=False) as store:
        return [row.key for row in store.list()]


def test_records_of_two_stores_become_one_and_the_sources_stay(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)), a_record(a_trial(1)))
    right = filled(tmp_path / "right", a_record(a_trial(1)), a_record(a_trial(2), "diverged"))
    before = content(left), content(right)
    assert merged(tmp_path / "both", left) == Merged(added=2)
    assert merged(tmp_path / "both", right) == Merged(added=1, kept=1)
    assert merged(tmp_path / "both", right) == Merged(kept=2)
    assert (content(left), content(right)) == before
    with Store.open(tmp_path / "both", create=False) as store:
        found = store.records([a_trial(seed) for seed in range(3)])
        assert [record.outcome for record in found.values()] == ["budget", "budget", "diverged"]
        for name, array in a_record(a_trial(0)).arrays.items():
            np.testing.assert_array_equal(found[a_trial(0).key].arrays[name], array, strict=True)
        assert store.last_run()["asked"] == "left"


def test_a_store_with_runs_of_its_own_keeps_them(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)))
    into = filled(tmp_path / "into", a_record(a_trial(1)))
    merged(into, left)
    with Store.open(into, create=False) as store:
        assert store.last_run()["asked"] == "into"


def test_a_finished_record_takes_the_place_of_a_failed_one_in_either_order(tmp_path):
    failed = filled(tmp_path / "failed", a_record(a_trial(0), "failed", reason="killed"))
    done = filled(tmp_path / "done", a_record(a_trial(0)))
    for name, first, second in (("one", failed, done), ("other", done, failed)):
        merged(tmp_path / name, first)
        merged(tmp_path / name, second)
        with Store.open(tmp_path / name, create=False) as store:
            assert store.missing([a_trial(0)]) == []


def test_a_record_that_differs_is_named_and_the_first_stays(tmp_path):
    first = a_record(a_trial(0))
    into = filled(tmp_path / "into", first)
    slower = filled(tmp_path / "slower", replace(first, seconds=99.0, threads=8, device="cuda"))
    assert merged(into, slower) == Merged(kept=1), "time and place are no difference"
    arrays = {"accuracy.train": np.array([0.5, 0.25])}
    other = filled(tmp_path / "other", replace(first, arrays=arrays), a_record(a_trial(2)))
    assert merged(into, other) == Merged(added=1, kept=1, different=[a_trial(0).key])
    with Store.open(into, create=False) as store:
        assert len(store.records([a_trial(0)])[a_trial(0).key].arrays) == 4


def damage(folder, statement):
    with closing(sqlite3.connect(folder / "results.sqlite")) as connection, connection:
        connection.execute(statement)


def test_a_damaged_record_is_named_and_left_where_it_is(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)), a_record(a_trial(1)))
    damage(left, f"UPDATE arrays SET data = zeroblob(4) WHERE key = '{a_trial(0).key}'")
    result = merged(tmp_path / "into", left)
    assert result.damaged == [a_trial(0).key]
    assert keys_in(tmp_path / "into") == [a_trial(1).key]


def test_a_damaged_record_gives_way_to_a_whole_one(tmp_path):
    into = filled(tmp_path / "into", a_record(a_trial(0)))
    damage(into, "UPDATE arrays SET data = zeroblob(4)")
    assert merged(into, filled(tmp_path / "whole", a_record(a_trial(0)))).added == 1


def test_what_is_whole_is_taken_from_a_file_with_a_damaged_page(tmp_path):
    big = filled(tmp_path / "big", *(a_record(a_trial(seed)) for seed in range(40)))
    path = big / "results.sqlite"
    damaged = bytearray(path.read_bytes())
    middle = len(damaged) // 8192 * 4096
    damaged[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(damaged)
    result = merged(tmp_path / "saved", big)
    assert result.damaged or result.unread
    assert 0 < result.added < 40
    assert set(keys_in(tmp_path / "saved")) <= {a_trial(seed).key for seed in range(40)}


@pytest.mark.parametrize("bit", [0, 7])
@pytest.mark.parametrize("text", [a_trial(1).key, "accuracy.train"])
def test_a_text_damaged_anywhere_in_the_file_costs_its_own_record_at_most(tmp_path, text, bit):
    """It stands in tables and in their indices, which then disagree, or cannot be decoded."""
    kept, hurt = a_trial(0).key, a_trial(1).key
    left = filled(tmp_path / "left", a_record(a_trial(0)), a_record(a_trial(1)))
    whole = content(left)
    places = [match.start() for match in re.finditer(text.encode(), whole)]
    assert len(places) >= 4
    for place in places:
        damaged = tmp_path / f"damaged-{place}"
        damaged.mkdir()
        flipped = bytearray(whole)
        flipped[place + 3] ^= 1 << bit
        (damaged / "results.sqlite").write_bytes(flipped)
        into = tmp_path / f"into-{place}"
        merged(into, damaged)
        left_out = {kept, hurt} - set(keys_in(into))
        assert len(left_out) <= 1 and (kept not in left_out or text != hurt)


def test_a_newer_store_is_refused_before_anything_is_written(tmp_path):
    newer = filled(tmp_path / "newer", a_record(a_trial(1)))
    damage(newer, f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(StoreError, match="from a newer byheart"):
        merged(tmp_path / "into", newer)
    assert keys_in(tmp_path / "into") == []


def test_a_store_is_not_merged_into_itself(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)))
    with pytest.raises(StoreError, match="into itself"):
        merged(left, tmp_path / "left")


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
def test_a_store_of_every_version_is_merged(tmp_path, version):
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(kept_file(version), old / "results.sqlite")
    assert merged(tmp_path / "new", old).added == 4


KILLED = """
import os, signal, sys
from byheart.store import Store

class Killed(Store):
    def _merge_record(self, other, key, merged):
        super()._merge_record(other, key, merged)
        if merged.added == 10:
            os.kill(os.getpid(), signal.SIGKILL)

Killed.open(sys.argv[1]).merge(sys.argv[2])
"""


def test_a_merge_killed_before_its_end_changes_nothing_and_is_given_again(tmp_path):
    left = filled(tmp_path / "left", *(a_record(a_trial(seed)) for seed in range(20)))
    into = filled(tmp_path / "into", a_record(a_trial(50)))
    before = content(left)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(into), str(left)], env=env)
    assert done.returncode == -signal.SIGKILL
    assert keys_in(into) == [a_trial(50).key]
    assert content(left) == before
    assert merged(into, left).added == 20
