"""Stores of several machines become one; nothing is lost on the way, whatever happens."""

import hashlib
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

from byheart.errors import InputError, StoreError
from byheart.store import Store, schema


def filled(folder, *records):
    with Store.open(folder) as store:
        store.add(records)
        store.save_run({"asked": folder.name})
    return folder


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def merged(into, *sources, conflicts="refuse"):
    with Store.open(into) as store:
        result = store.merge(sources, conflicts)
        assert store.verify() == []
        return result


def keys_in(folder):
    with Store.open(folder, create=False) as store:
        return [row.key for row in store.list()]


def test_records_of_two_stores_become_one_and_the_sources_stay(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)), a_record(a_trial(1)))
    right = filled(tmp_path / "right", a_record(a_trial(1)), a_record(a_trial(2), "diverged"))
    before = digests(left), digests(right)
    result = merged(tmp_path / "both", left, right)
    assert (result.added, result.same, result.conflicts, result.damaged) == (3, 1, [], [])
    assert (digests(left), digests(right)) == before
    with Store.open(tmp_path / "both", create=False) as store:
        found = store.records([a_trial(seed) for seed in range(3)])
        assert [record.outcome for record in found.values()] == ["budget", "budget", "diverged"]
        for name, array in a_record(a_trial(0)).arrays.items():
            np.testing.assert_array_equal(found[a_trial(0).key].arrays[name], array, strict=True)
        assert store.last_run()["asked"] == "left"


def test_merging_again_changes_nothing(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)))
    merged(tmp_path / "both", left)
    result = merged(tmp_path / "both", left)
    assert (result.added, result.same) == (0, 1)


def test_a_store_with_runs_of_its_own_keeps_them(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)))
    into = filled(tmp_path / "into", a_record(a_trial(1)))
    merged(into, left)
    with Store.open(into, create=False) as store:
        assert store.last_run()["asked"] == "into"


def test_a_finished_record_takes_the_place_of_a_failed_one_in_either_order(tmp_path):
    failed = filled(tmp_path / "failed", a_record(a_trial(0), "failed", reason="killed"))
    done = filled(tmp_path / "done", a_record(a_trial(0)))
    for name, order in (("one", (failed, done)), ("other", (done, failed))):
        merged(tmp_path / name, *order)
        with Store.open(tmp_path / name, create=False) as store:
            assert store.missing([a_trial(0)]) == []


@pytest.fixture
def differing(tmp_path):
    other = replace(a_record(a_trial(0)), arrays={"accuracy.train": np.array([0.5, 0.25])})
    left = filled(tmp_path / "left", a_record(a_trial(0)), a_record(a_trial(1)))
    return left, filled(tmp_path / "right", other, a_record(a_trial(2)))


def test_records_that_differ_are_named_and_nothing_is_merged(tmp_path, differing):
    into = filled(tmp_path / "into", a_record(a_trial(9)))
    with pytest.raises(StoreError, match=rf"{a_trial(0).key} of .*right.*--conflicts first"):
        merged(into, *differing)
    assert keys_in(into) == [a_trial(9).key]


def test_of_records_that_differ_the_first_is_kept_if_so_asked(tmp_path, differing):
    result = merged(tmp_path / "into", *differing, conflicts="first")
    assert result.conflicts == [(a_trial(0).key, differing[1])]
    with Store.open(tmp_path / "into", create=False) as store:
        assert len(store.records([a_trial(0)])[a_trial(0).key].arrays) == 4
        assert store.missing([a_trial(seed) for seed in range(3)]) == []


def test_of_records_that_differ_neither_is_kept_if_so_asked(tmp_path, differing):
    merged(tmp_path / "into", *differing, conflicts="neither")
    with Store.open(tmp_path / "into", create=False) as store:
        assert store.missing([a_trial(seed) for seed in range(3)]) == [a_trial(0)]


def test_an_unknown_way_with_conflicts_is_refused(tmp_path, differing):
    with pytest.raises(InputError, match="did you mean 'first'"):
        merged(tmp_path / "into", *differing, conflicts="frist")


def test_how_long_training_took_and_where_is_no_conflict(tmp_path):
    one = a_record(a_trial(0))
    left = filled(tmp_path / "left", one)
    right = filled(tmp_path / "right", replace(one, seconds=99.0, threads=8, device="cuda"))
    assert merged(tmp_path / "both", left, right).same == 1


def damage(folder, statement):
    with closing(sqlite3.connect(folder / "results.sqlite")) as connection, connection:
        connection.execute(statement)


def test_a_damaged_record_is_named_and_left_where_it_is(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)), a_record(a_trial(1)))
    damage(left, f"UPDATE arrays SET data = zeroblob(4) WHERE key = '{a_trial(0).key}'")
    result = merged(tmp_path / "into", left)
    assert result.damaged == [(a_trial(0).key, left)]
    assert keys_in(tmp_path / "into") == [a_trial(1).key]


def test_a_damaged_record_gives_way_to_a_whole_one(tmp_path):
    into = filled(tmp_path / "into", a_record(a_trial(0)))
    damage(into, "UPDATE arrays SET data = zeroblob(4)")
    assert merged(into, filled(tmp_path / "whole", a_record(a_trial(0)))).added == 1


def test_what_is_whole_is_taken_from_a_file_with_a_damaged_page(tmp_path):
    big = filled(tmp_path / "big", *(a_record(a_trial(seed)) for seed in range(40)))
    path = big / "results.sqlite"
    content = bytearray(path.read_bytes())
    middle = len(content) // 8192 * 4096
    content[middle : middle + 4096] = b"\xa5" * 4096
    path.write_bytes(content)
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
    content = (left / "results.sqlite").read_bytes()
    places = [found.start() for found in re.finditer(text.encode(), content)]
    assert len(places) >= 4
    for place in places:
        damaged = tmp_path / f"damaged-{place}"
        damaged.mkdir()
        flipped = bytearray(content)
        flipped[place + 3] ^= 1 << bit
        (damaged / "results.sqlite").write_bytes(flipped)
        into = tmp_path / f"into-{place}"
        merged(into, damaged)
        with Store.open(into) as store:
            assert store.verify() == []
        left_out = {kept, hurt} - set(keys_in(into))
        assert len(left_out) <= 1 and (kept not in left_out or text != hurt)


def test_a_newer_store_is_refused_before_anything_is_written(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)))
    newer = filled(tmp_path / "newer", a_record(a_trial(1)))
    damage(newer, f"PRAGMA user_version = {schema.VERSION + 1}")
    with pytest.raises(StoreError, match="from a newer byheart"):
        merged(tmp_path / "into", left, newer)
    assert keys_in(tmp_path / "into") == []


def test_a_store_is_not_merged_into_itself(tmp_path):
    left = filled(tmp_path / "left", a_record(a_trial(0)))
    with pytest.raises(StoreError, match="into itself"):
        merged(left, tmp_path / "left")


@pytest.mark.parametrize("version", range(1, schema.VERSION + 1))
def test_an_older_store_is_merged_and_stays_old(tmp_path, version):
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(kept_file(version), old / "results.sqlite")
    assert merged(tmp_path / "new", old).added == 4
    assert (old / "results.sqlite").read_bytes() == kept_file(version).read_bytes()


KILLED = """
import os, signal, sys
from byheart.store import Store, store as module
settle = module.settle
module.settle = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
Store.open(sys.argv[1]).merge([sys.argv[2]])
"""


def test_a_merge_killed_before_its_end_changes_nothing_and_is_given_again(tmp_path):
    left = filled(tmp_path / "left", *(a_record(a_trial(seed)) for seed in range(20)))
    into = filled(tmp_path / "into", a_record(a_trial(50)))
    before = digests(left)["results.sqlite"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(into), str(left)], env=env)
    assert done.returncode == -signal.SIGKILL
    assert keys_in(into) == [a_trial(50).key]
    assert digests(left)["results.sqlite"] == before
    assert merged(into, left).added == 20
