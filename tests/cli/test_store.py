"""``byheart store``."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from byheart.record import Record
from byheart.store import Store
from byheart.trial import MLP, Algorithm, DataFacts, Trial

Run = Callable[..., Any]


def trial(seed: int) -> Trial:
    return Trial(
        data=DataFacts(fingerprint="f", train=40, validation=0, labels=0.5, seed=seed),
        algorithm=Algorithm(network=MLP(hidden=(8, 6)), learning_rate=0.1, batch_size=10, epochs=5),
        seed=seed,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two records, of which one failed."""
    with Store.open(tmp_path) as store:
        store.add(
            [
                Record(trial(0), "budget", 5, {"accuracy.train": np.arange(3.0)}),
                Record(trial(1), "failed", 0, reason="no room"),
            ]
        )
    return tmp_path


def damage(folder: Path) -> None:
    with sqlite3.connect(folder / "results.sqlite") as connection:
        connection.execute("UPDATE arrays SET data = zeroblob(length(data))")
    connection.close()


def test_a_sound_store_verifies(byheart: Run, folder: Path) -> None:
    verified = byheart("store", "verify", folder)
    assert verified.code == 0
    assert verified.err == f"2 trials in {folder} verified\n"


def test_a_damaged_record_is_named_and_repair_forgets_it(byheart: Run, folder: Path) -> None:
    damage(folder)
    found = byheart("store", "verify", folder)
    assert found.code == 2
    assert trial(0).key in found.out
    assert found.err.startswith("error: ")
    repaired = byheart("store", "verify", folder, "--repair")
    assert repaired.code == 0
    assert "1 damaged ones forgotten" in repaired.err
    assert byheart("store", "verify", folder).code == 0


def test_the_list_says_what_each_trial_was_and_how_it_ended(byheart: Run, folder: Path) -> None:
    listed = byheart("store", "list", folder)
    row = next(line for line in listed.out.splitlines() if trial(0).key[:8] in line)
    assert all(word in row for word in ("8-6", "40", "labels 50%", "0/0", "budget"))
    assert max(len(line) for line in listed.out.splitlines()) <= 80
    assert "no room" in listed.err


def test_the_list_as_json_holds_all_facts(byheart: Run, folder: Path) -> None:
    rows = json.loads(byheart("store", "list", folder, "--json").out)
    assert [row["key"] for row in rows] == [trial(0).key, trial(1).key]
    assert rows[0]["facts"] == trial(0).model_dump(mode="json")


@pytest.mark.parametrize("kind", ["csv", "npz", "parquet"])
def test_an_export_names_its_files(byheart: Run, folder: Path, tmp_path: Path, kind: str) -> None:
    to = tmp_path / "elsewhere"
    exported = byheart("store", "export", folder, "--to", to, "--format", kind)
    table = "parquet" if kind == "parquet" else "csv"
    assert exported.out.split() == [str(to / f"trials.{table}"), str(to / f"arrays.{kind}")]
    assert (to / f"trials.{table}").is_file()


def test_an_unknown_format_gets_one_line(byheart: Run, folder: Path) -> None:
    refused = byheart("store", "export", folder, "--format", "cvs")
    assert refused.code == 2
    assert "did you mean 'csv'?" in refused.error


def test_a_folder_without_a_store_gets_one_line(byheart: Run, tmp_path: Path) -> None:
    for command in ("verify", "list", "export"):
        refused = byheart("store", command, tmp_path / "nothing")
        assert refused.code == 2
        assert str(tmp_path / "nothing") in refused.error


def test_a_damaged_store_names_the_command_that_trains_again(byheart: Run, folder: Path) -> None:
    with Store.open(folder) as store:
        store.save_run({"command": ["byheart", "study", "time-size", "--out", str(folder)]})
    damage(folder)
    again = f"`byheart study time-size --out {folder}`"
    assert again in byheart("store", "verify", folder).err
    assert again in byheart("store", "verify", folder, "--repair").err


def test_facts_that_are_no_longer_json_get_one_line(byheart: Run, folder: Path) -> None:
    with sqlite3.connect(folder / "results.sqlite") as connection:
        connection.execute("UPDATE trials SET facts = '{'")
    connection.close()
    assert "store verify" in byheart("store", "list", folder).error
    assert "its facts are not those of its key" in byheart("store", "verify", folder).out


def test_two_stores_are_merged_into_a_third(byheart: Run, folder: Path, tmp_path: Path) -> None:
    other, into = tmp_path / "other", tmp_path / "both"
    with Store.open(other) as store:
        store.add([Record(trial(1), "budget", 5), Record(trial(2), "budget", 5)])
    merged = byheart("store", "merge", folder, other, into)
    assert merged.code == 0
    assert merged.err.splitlines() == [
        f"{folder}: 2 records copied, 0 were there already",
        f"{other}: 2 records copied, 0 were there already",
    ]
    assert byheart("store", "verify", into).code == 0


def test_a_damaged_record_stays_behind_and_is_named(
    byheart: Run, folder: Path, tmp_path: Path
) -> None:
    damage(folder)
    merged = byheart("store", "merge", folder, tmp_path / "into")
    assert merged.code == 1
    assert f"{trial(0).key}: the record of {folder} is damaged" in merged.out


def test_merging_needs_a_source_and_a_target(byheart: Run, folder: Path) -> None:
    assert byheart("store", "merge", folder).code == 2
    assert "into itself" in byheart("store", "merge", folder, folder).error
