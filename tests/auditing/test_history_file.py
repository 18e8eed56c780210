"""The file of a history: four bytes per example and epoch, and what damage is found in it."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.auditing.trainings import EPOCHS, EXAMPLES, logits, tracked, train_epoch

import byheart
from byheart.auditing.history import History
from byheart.auditing.history_file import VERSION
from byheart.auditing.scores import scores
from byheart.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tracked(path=tmp_path / "history.sqlite")
    return tmp_path / "history.sqlite"


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


def test_a_history_read_from_its_file_is_the_history(path: Path) -> None:
    _, history = tracked()
    assert scores(History.open(path)).equals(scores(history))


def test_the_file_takes_four_bytes_per_example_and_epoch(tmp_path: Path) -> None:
    examples, epochs = 50_000, 12
    tracker = byheart.Tracker(examples, tmp_path / "history.sqlite")
    sizes = []
    z = np.random.default_rng(0).normal(size=(examples, 3)).astype(np.float32)
    for epoch in range(epochs):
        tracker.update(np.arange(examples), np.roll(z, epoch, 1), z.argmax(1))
        tracker.end_epoch()
        sizes.append((tmp_path / "history.sqlite").stat().st_size)
    per_epoch = (sizes[-1] - sizes[1]) / (epochs - 2) / examples
    assert per_epoch < 4.2, "pages are whole: the rest is their rounding"
    assert sizes[-1] < examples * (4 * epochs + 40) * 1.1


def flipped_bit(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        (data,) = connection.execute("SELECT data FROM epochs WHERE epoch = 2").fetchone()
    connection.close()
    return f"X'{(bytes([data[0] ^ 1]) + data[1:]).hex()}'"


@pytest.mark.parametrize("column", ["data", "checksum"])
def test_a_damaged_epoch_is_named_when_it_is_read(path: Path, column: str) -> None:
    value = flipped_bit(path) if column == "data" else f"'{'0' * 32}'"
    change(path, f"UPDATE epochs SET {column} = {value} WHERE epoch = 2")
    history = History.open(path)
    history.epoch(1)
    with pytest.raises(StoreError, match=r"is damaged \(epoch 2: its checksum does not match\)"):
        history.epoch(2)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "UPDATE examples SET data = zeroblob(length(data)) WHERE name = 'labels'",
            r"is damaged \(labels",
        ),
        ("DELETE FROM epochs WHERE epoch = 2", "an epoch is missing"),
        (f"PRAGMA user_version = {VERSION + 1}", "newer byheart"),
    ],
)
def test_a_file_that_cannot_be_opened_says_why(path: Path, statement: str, message: str) -> None:
    change(path, statement)
    with pytest.raises(StoreError, match=message):
        History.open(path)


def test_a_file_cut_short_is_named(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(StoreError, match="cannot be read"):
        scores(History.open(path))


def test_what_is_no_history_is_named_and_left_as_it_is(tmp_path: Path) -> None:
    text, other = tmp_path / "notes.txt", tmp_path / "other.sqlite"
    text.write_text("not a history at all, but long enough to have a header\n" * 20)
    change(other, "CREATE TABLE mine (x)")
    for path in (text, other):
        before = path.read_bytes()
        for use in (History.open, lambda path: byheart.Tracker(3, path)):
            with pytest.raises(StoreError, match=f"{path.name} (is no history|cannot be read)"):
                use(path)
        assert path.read_bytes() == before
    with pytest.raises(StoreError, match="there is no such history"):
        History.open(tmp_path / "absent.sqlite")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    tracker = byheart.Tracker(EXAMPLES, tmp_path / "absent" / "history.sqlite")
    with pytest.raises(StoreError, match="cannot be written"):
        train_epoch(tracker, logits()[0], np.ones(EXAMPLES, bool), 0)
    (tmp_path / "absent").mkdir()
    tracker.end_epoch()
    assert tracker.history().gaps.tolist() == [0]


def test_a_history_whose_file_was_rewound_says_so_instead_of_showing_other_numbers(
    tmp_path: Path,
) -> None:
    path = tmp_path / "history.sqlite"
    tracker = byheart.Tracker(EXAMPLES, path)
    everything = np.ones(EXAMPLES, bool)
    train_epoch(tracker, logits()[0], everything, 0)
    state = tracker.state_dict()
    train_epoch(tracker, logits()[1], everything, 1)
    old = tracker.history()
    tracker.load_state_dict(state)
    train_epoch(tracker, logits()[2], everything, 2)
    old.epoch(0)
    with pytest.raises(StoreError, match="epoch 1 was written anew"):
        old.epoch(1)


KILLED = """
import os, sys, sqlite3
import numpy as np
from tests.auditing.trainings import *
import byheart.auditing.history_file as file
tracker = byheart.Tracker(EXAMPLES, sys.argv[1])
everything = np.ones(EXAMPLES, bool)
for epoch in range(3):
    train_epoch(tracker, logits()[epoch], everything, epoch)
real = file.encode
def dies(values):
    if values.shape == (EXAMPLES, 4) and values.dtype == np.float32:
        os.kill(os.getpid(), 9)
    return real(values)
file.encode = dies
train_epoch(tracker, logits()[3], everything, 3)
"""


def test_a_training_killed_while_it_writes_leaves_whole_epochs(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    history = History.open(path)
    assert history.epochs == 3
    tracker = byheart.Tracker(EXAMPLES)
    for epoch in range(3):
        train_epoch(tracker, logits()[epoch], np.ones(EXAMPLES, bool), epoch)
    assert scores(history).equals(tracker.scores())


def test_a_copy_of_the_file_is_a_history(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "copy ?#%.sqlite")
    assert History.open(tmp_path / "copy ?#%.sqlite").epochs == EPOCHS
