"""An advice that was cut short goes on from what it has trained, and comes to the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.advising import test_advise
from tests.advising.test_advise import digits

import byheart
from byheart.advising.trainer import Trainer
from byheart.errors import StoreError
from byheart.store import Store, checkpoints
from byheart.studies.folder import load_session
from byheart.training.loop import TrainingLoop


def quick(**options) -> byheart.Advice:
    return test_advise.quick(**{"epochs": 4} | options)


class Cut(BaseException):
    """Stands for Ctrl-C."""


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the sizes of all packs that were trained, as they come."""
    sizes: list[int] = []
    train = Trainer.train

    def count(self, pack, *hooks):
        sizes.append(len(pack))
        return train(self, pack, *hooks)

    monkeypatch.setattr(Trainer, "train", count)
    return sizes


def cut_after(packs: int):
    """Return a listener that ends a run after so many packs."""
    seen = []

    def tell(name: str, done: int, total: int) -> None:
        seen.append(name)
        if len(seen) == packs:
            raise Cut

    return tell


def same(one: byheart.Advice, other: byheart.Advice) -> bool:
    left, right = (advice.as_json() | {"seconds": 0} for advice in (one, other))
    return left == right


@pytest.mark.parametrize("packs", [1, 4, 7])
def test_a_run_that_was_cut_short_ends_as_one_that_was_not(packs, trained, tmp_path) -> None:
    whole = quick()
    needed = sum(trained)
    trained.clear()
    with pytest.raises(Cut):
        quick(keep=tmp_path, on_pack=cut_after(packs))
    assert 0 < sum(trained) < needed
    assert same(quick(keep=tmp_path), whole)
    assert sum(trained) == needed


@pytest.mark.parametrize("epochs", [1, 3, 6])
def test_a_pack_that_was_cut_short_resumes_within_its_training(
    epochs, monkeypatch, tmp_path
) -> None:
    whole = quick()
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    monkeypatch.setattr(checkpoints, "SHARE", float("inf"))
    train, done, cut = TrainingLoop.train_epoch, [], [True]

    def train_epoch(loop: TrainingLoop) -> None:
        if cut and len(done) == epochs:
            raise Cut
        train(loop)
        done.append(loop.epoch)

    monkeypatch.setattr(TrainingLoop, "train_epoch", train_epoch)
    with pytest.raises(Cut):
        quick(keep=tmp_path)
    kept = epochs % 4
    assert len(checkpoints.checkpoint_files(tmp_path / "kept")) == (kept > 0)
    done.clear()
    cut.clear()
    assert same(quick(keep=tmp_path), whole)
    assert done[0] == kept + 1
    assert not (tmp_path / "kept").exists()


def test_what_is_all_there_is_not_trained_again(trained, tmp_path) -> None:
    first = quick(keep=tmp_path)
    trained.clear()
    assert same(quick(keep=tmp_path), first)
    assert trained == []


def test_by_the_clock_too_the_same_is_decided_again(trained, tmp_path) -> None:
    options = {"rounds": None, "minutes": 2.0, "keep": tmp_path}
    first = quick(**options)
    trained.clear()
    assert same(quick(**options), first)
    assert trained == []


def test_larger_rounds_go_on_from_smaller_ones(trained, tmp_path) -> None:
    whole = quick(rounds=(2, 3, 4))
    needed = sum(trained)
    quick(keep=tmp_path, rounds=(1, 2, 2))
    trained.clear()
    assert same(quick(keep=tmp_path, rounds=(2, 3, 4)), whole)
    assert sum(trained) < 0.8 * needed


@pytest.mark.parametrize(
    "change", [{"epochs": 5}, {"learning_rate": 0.06}, {"data": digits(130)}, {"seed": 1}]
)
def test_another_question_is_trained_anew(change, trained, tmp_path) -> None:
    quick(keep=tmp_path)
    needed = sum(trained)
    trained.clear()
    quick(**{"keep": tmp_path} | change)
    assert sum(trained) == needed


def test_other_trusted_examples_have_other_accuracies(tmp_path) -> None:
    trusted = np.arange(120) % 3 > 0
    columns = [
        quick(keep=tmp_path, trusted=mask.tolist()).table["trusted"] for mask in (trusted, ~trusted)
    ]
    assert not columns[0].equals(columns[1])


def test_the_store_is_one_that_any_command_reads(tmp_path) -> None:
    quick(keep=tmp_path, command=["byheart", "advise", "digits"])
    with Store.open(tmp_path, create=False) as store:
        assert store.verify() == []
        with pytest.raises(StoreError, match=r"was no study: .* `byheart advise digits`"):
            load_session(store)
        assert {row.facts["regularizer"] for row in store.list()} == {
            "none", "label smoothing", "weight decay"
        }  # fmt: skip


def test_a_folder_that_another_run_writes_to_is_refused(tmp_path: Path) -> None:
    with Store.open(tmp_path), pytest.raises(StoreError, match="is writing to"):
        quick(keep=tmp_path)
