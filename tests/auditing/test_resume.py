"""An audit that is interrupted, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.auditing.networks import normed, small
from torch import nn

import byheart
from byheart.errors import StoreError
from byheart.store import checkpoints
from byheart.training.loop import TrainingLoop

SETTINGS: dict[str, Any] = {
    "epochs": 4,
    "seeds": 4,
    "subsets": 10,
    "momentum": 0.5,
    "planted": 0.2,
    "learning_rate": 0.1,
}


class CutShort(BaseException):
    """Stands for Ctrl-C."""


@pytest.fixture(scope="module")
def data() -> byheart.Dataset:
    return byheart.corrupt(byheart.load_dataset("digits", size=150), labels=0.2, seed=1)


@pytest.fixture(scope="module")
def whole(data: byheart.Dataset) -> byheart.Audit:
    return byheart.audit(normed, data, **SETTINGS)


@pytest.fixture(autouse=True)
def at_every_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Return the epochs that are trained from here on."""
    epochs: list[int] = []
    train = TrainingLoop.train_epoch

    def train_epoch(loop: TrainingLoop) -> None:
        epochs.append(loop.epoch)
        train(loop)

    monkeypatch.setattr(TrainingLoop, "train_epoch", train_epoch)
    yield epochs


def cut_at(calls: int, network: Any, data: byheart.Dataset, folder: Path, **changes: Any) -> None:
    """Begin an audit, and break it off when so many epochs of packs were told."""
    told = 0

    def on_epoch(done: int, total: int) -> None:
        nonlocal told
        told += 1
        if told == calls:
            raise CutShort

    with pytest.raises(CutShort):
        byheart.audit(network, data, keep=folder, on_epoch=on_epoch, **SETTINGS | changes)


def assert_same(one: byheart.Audit, other: byheart.Audit) -> None:
    assert one.table.equals(other.table)
    assert one.onset is not None
    assert other.onset is not None
    np.testing.assert_array_equal(one.onset.accuracy, other.onset.accuracy)
    assert one.calibration.kinds.equals(other.calibration.kinds)


@pytest.mark.parametrize("calls", [1, 6, 9])
def test_an_audit_that_goes_on_ends_with_the_same_bits(
    data: byheart.Dataset, whole: byheart.Audit, tmp_path: Path, trained: list[int], calls: int
) -> None:
    cut_at(calls, normed, data, tmp_path)
    assert len(trained) == calls
    again = byheart.audit(normed, data, keep=tmp_path, **SETTINGS)
    # Two rounds and the subsets, four epochs each: none is trained twice.
    assert len(trained) == 12
    assert_same(again, whole)


def test_a_finished_audit_trains_nothing_again(
    data: byheart.Dataset, whole: byheart.Audit, tmp_path: Path, trained: list[int]
) -> None:
    byheart.audit(normed, data, keep=tmp_path, **SETTINGS)
    seen: list[tuple[int, int]] = []
    again = byheart.audit(
        normed, data, keep=tmp_path, on_epoch=lambda *at: seen.append(at), **SETTINGS
    )
    assert len(trained) == 12
    assert_same(again, whole)
    assert seen[-1] == (64, 64)


SQUASHED = [torch.relu]


class Squashing(nn.Module):
    """Calls a function that its own source text does not tell."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(64, 32), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.two(SQUASHED[0](self.one(x.flatten(1))))


def test_a_function_that_has_changed_is_another_network(
    data: byheart.Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = {"epochs": 3, "subsets": 0, "learning_rate": 0.5}
    cut_at(2, Squashing, data, tmp_path, **changed)
    monkeypatch.setattr("tests.auditing.test_resume.SQUASHED", [torch.tanh])
    again = byheart.audit(Squashing, data, keep=tmp_path, **SETTINGS | changed)
    assert_same(again, byheart.audit(Squashing, data, **SETTINGS | changed))


@pytest.mark.parametrize(
    "changes",
    [
        {"learning_rate": 0.05},
        {"momentum": 0.0},
        {"weight_decay": 0.01},
        {"batch_size": 16},
        {"epochs": 3},
        {"seed": 1},
        {"seeds": 6},
        {"sensitivity": False},
    ],
)
def test_what_was_kept_of_other_settings_is_not_taken(
    data: byheart.Dataset, tmp_path: Path, trained: list[int], changes: dict[str, Any]
) -> None:
    settings = SETTINGS | {"subsets": 0}
    cut_at(2, small, data, tmp_path, subsets=0)
    trained.clear()
    byheart.audit(small, data, keep=tmp_path, **settings | changes)
    assert len(trained) == 2 * changes.get("epochs", 4)


def test_what_was_kept_of_other_data_or_networks_is_not_taken(
    data: byheart.Dataset, tmp_path: Path, trained: list[int]
) -> None:
    settings = SETTINGS | {"subsets": 0}
    cut_at(2, small, data, tmp_path, subsets=0)
    y = data.y.clone()
    y[7] = (y[7] + 1) % 10
    trained.clear()
    byheart.audit(small, replace(data, y=y), keep=tmp_path, **settings)
    byheart.audit(normed, data, keep=tmp_path, **settings)
    assert len(trained) == 16


def test_what_was_damaged_is_trained_again(
    data: byheart.Dataset, whole: byheart.Audit, tmp_path: Path, trained: list[int]
) -> None:
    cut_at(6, normed, data, tmp_path)
    for path in checkpoints.checkpoint_files(tmp_path):
        held = bytearray(path.read_bytes())
        held[len(held) // 2] ^= 1
        path.write_bytes(held)
    trained.clear()
    assert_same(byheart.audit(normed, data, keep=tmp_path, **SETTINGS), whole)
    assert len(trained) == 12


def test_a_folder_that_cannot_be_written_is_one_line(data: byheart.Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="free some space or choose another folder"):
        byheart.audit(small, data, keep=tmp_path / "file" / "kept", **SETTINGS)


def test_what_others_put_into_the_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "a.pack").write_bytes(b"")
    (tmp_path / "notes.txt").write_text("mine")
    checkpoints.remove_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    (tmp_path / "notes.txt").unlink()
    checkpoints.remove_checkpoints(tmp_path)
    assert not tmp_path.exists()
