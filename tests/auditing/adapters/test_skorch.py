"""skorch nets leave the history of a loop by hand, with ids that are rows of X."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV, cross_val_predict
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Callback, Checkpoint, EpochScoring, LoadInitState
from tests.auditing.adapters.loops import (
    ACCURACIES,
    BATCH,
    BEST,
    EPOCHS,
    EXAMPLES,
    FEATURES,
    GAPS,
    STOPPED,
    Shuffled,
    assert_same,
    by_hand,
    examples,
    network,
)
from torch import nn
from torch.utils.data import DataLoader, Subset

import byheart
from byheart.auditing.adapters.skorch import RowLoader, TrackerCallback
from byheart.errors import InputError

X, Y = examples().tensors


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = network()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Probabilities(Network):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x).softmax(1)


class Reordered(Callback):
    """Shuffles every epoch by its number."""

    def on_epoch_begin(self, net: Any, **others: Any) -> None:
        net.iterator_train__sampler.set_epoch(len(net.history) - 1)


class Die(Callback):
    def on_batch_begin(self, net: Any, training: bool | None = None, **others: Any) -> None:
        if len(net.history) == EPOCHS and len(net.history[-1, "batches"]) == 3:
            raise RuntimeError("killed")


def net(*callbacks: Callback, module: type = Network, **options: Any) -> NeuralNetClassifier:
    usual = {
        "criterion": nn.CrossEntropyLoss, "optimizer": torch.optim.SGD, "optimizer__momentum": 0.9,
        "lr": 0.2, "max_epochs": EPOCHS, "batch_size": BATCH, "train_split": None, "verbose": 0,
        "iterator_train": RowLoader, "iterator_train__drop_last": True,
        "iterator_train__sampler": Shuffled(),
    }  # fmt: skip
    return NeuralNetClassifier(module, callbacks=[Reordered(), *callbacks], **{**usual, **options})


@pytest.mark.parametrize("workers", [0, 1])
def test_the_history_is_that_of_a_loop_by_hand(workers: int) -> None:
    tracker = byheart.Tracker(EXAMPLES)
    net(TrackerCallback(tracker), iterator_train__num_workers=workers).fit(X, Y)
    history = tracker.history()
    assert_same(history, by_hand())
    assert history.gaps.tolist() == [GAPS] * EPOCHS


def test_probabilities_are_taken_as_such_where_skorch_does() -> None:
    tracker = byheart.Tracker(EXAMPLES)
    net(TrackerCallback(tracker), module=Probabilities, criterion=nn.NLLLoss).fit(X, Y)
    np.testing.assert_allclose(tracker.history().margin, by_hand().margin, rtol=2e-3, atol=2e-3)


def test_one_logit_for_two_classes_is_taken_as_such() -> None:
    binary = (Y > 0).float()
    one = byheart.Tracker(EXAMPLES)
    model = NeuralNetBinaryClassifier(
        nn.Linear, module__in_features=FEATURES, module__out_features=1, verbose=0, max_epochs=1,
        train_split=None, batch_size=-1, iterator_train=RowLoader, callbacks=[TrackerCallback(one)],
    )  # fmt: skip
    model.initialize()
    with torch.no_grad():
        z = model.module_(X)[:, 0].numpy()
    model.partial_fit(X, binary)
    history = one.history()
    np.testing.assert_allclose(history.margin[0], np.where(binary > 0, z, -z), rtol=1e-3)


def test_rows_that_are_set_aside_for_validation_are_never_seen() -> None:
    aside = np.arange(EXAMPLES) % 5 == 0

    def split(dataset: Any, y: Any, **others: Any) -> tuple[Subset, Subset]:
        return Subset(dataset, np.flatnonzero(~aside)), Subset(dataset, np.flatnonzero(aside))

    tracker = byheart.Tracker(EXAMPLES)
    options = {"iterator_train__sampler": Shuffled((~aside).sum()), "train_split": split}
    net(TrackerCallback(tracker), iterator_train__drop_last=False, **options).fit(X, Y)
    history = tracker.history()
    np.testing.assert_array_equal(history.seen, np.tile(~aside, (EPOCHS, 1)))
    np.testing.assert_array_equal(history.labels, np.where(aside, -1, Y))


def saved(folder: Path, *, also: tuple[Callback, ...] = (), path: Path | None = None) -> Any:
    """Return a net that is saved after every second epoch, and goes on from there."""
    checkpoint = Checkpoint(dirname=folder, monitor=lambda net: len(net.history) % 2 == 0)
    tracker = byheart.Tracker(EXAMPLES, path)
    follow = TrackerCallback(tracker, checkpoint=checkpoint)
    return net(checkpoint, LoadInitState(checkpoint), follow, *also), tracker


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_training_that_is_resumed_leaves_the_history_of_one_that_was_not(
    tmp_path: Path, on_disk: bool
) -> None:
    path = tmp_path / "history.sqlite" if on_disk else None
    first, _ = saved(tmp_path, also=(Die(),), path=path)
    with pytest.raises(RuntimeError, match="killed"):
        first.fit(X, Y)
    second, tracker = saved(tmp_path, path=path)
    second.set_params(max_epochs=EPOCHS - 2)
    second.fit(X, Y)
    assert_same(tracker.history(), by_hand())


def test_files_that_were_not_saved_together_are_told(tmp_path: Path) -> None:
    one, _ = saved(tmp_path)
    one.fit(X, Y)
    torch.save(byheart.Tracker(EXAMPLES).state_dict(), tmp_path / "byheart.pt")
    with pytest.raises(InputError, match=r"byheart.pt is of 0 epochs, the net's checkpoint of 4"):
        saved(tmp_path)[0].fit(X, Y)
    (tmp_path / "byheart.pt").unlink()
    with pytest.raises(InputError, match=r"byheart.pt is not there, to go on after 4 epochs"):
        saved(tmp_path)[0].fit(X, Y)


def test_a_checkpoint_that_stands_behind_the_callback_is_told(tmp_path: Path) -> None:
    late = Checkpoint(dirname=tmp_path, monitor=None)
    follow = TrackerCallback(byheart.Tracker(EXAMPLES), checkpoint=late)
    with pytest.raises(InputError, match=r"before TrackerCallback in the net's callbacks"):
        net(follow, late).fit(X, Y)
    with pytest.raises(InputError, match=r"must be a skorch.callbacks.Checkpoint, got str"):
        TrackerCallback(byheart.Tracker(EXAMPLES), checkpoint="folder")


def test_batches_without_rows_are_refused_with_the_remedy() -> None:
    follow = TrackerCallback(byheart.Tracker(EXAMPLES))
    with pytest.raises(InputError, match="batches have no rows: give the net iterator_train=Row"):
        net(follow, iterator_train=DataLoader).fit(X, Y)


def test_a_second_training_needs_a_tracker_of_its_own() -> None:
    tracker = byheart.Tracker(EXAMPLES)
    one = net(TrackerCallback(tracker)).fit(X, Y)
    one.partial_fit(X, Y)
    assert tracker.epoch == 2 * EPOCHS
    with pytest.raises(InputError, match="holds 8 epochs of a training, and another begins"):
        one.fit(X, Y)


def test_an_epoch_that_was_cut_short_ends_with_the_training() -> None:
    class Stop(Callback):
        def on_batch_begin(self, net: Any, training: bool | None = None, **others: Any) -> None:
            if len(net.history) == 2 and len(net.history[-1, "batches"]) == 3:
                raise KeyboardInterrupt

    tracker = byheart.Tracker(EXAMPLES)
    net(TrackerCallback(tracker), Stop()).fit(X, Y)
    history = tracker.history()
    assert history.epochs == 2
    assert history.gaps.tolist() == [GAPS, EXAMPLES - 2 * BATCH]


def test_a_pickled_net_keeps_the_history_of_its_tracker() -> None:
    one = net(TrackerCallback(byheart.Tracker(EXAMPLES))).fit(X, Y)
    other = pickle.loads(pickle.dumps(one))
    (follow,) = (c for c in other.callbacks if isinstance(c, TrackerCallback))
    (before,) = (c for c in one.callbacks if isinstance(c, TrackerCallback))
    assert_same(follow.tracker.history(), before.tracker.history())


def test_every_fit_of_a_search_or_a_validation_has_a_history_of_its_own() -> None:
    tracker = byheart.Tracker(EXAMPLES)
    one = NeuralNetClassifier(
        Network, criterion=nn.CrossEntropyLoss, max_epochs=2, train_split=None, verbose=0,
        iterator_train=RowLoader, callbacks=[TrackerCallback(tracker)],
    )  # fmt: skip
    search = GridSearchCV(one, {"lr": [0.1, 0.01]}, cv=2, scoring="accuracy").fit(X.numpy(), Y)
    (follow,) = (c for c in search.best_estimator_.callbacks if isinstance(c, TrackerCallback))
    assert follow.tracker.history().gaps.tolist() == [0, 0]
    assert cross_val_predict(one, X.numpy(), Y.numpy(), cv=2).shape == (EXAMPLES,)
    assert tracker.epoch == 0


def test_a_regression_is_tracked_by_the_loss_of_each_row() -> None:
    targets = X.sum(1, keepdim=True)
    tracker = byheart.Tracker(EXAMPLES)
    one = NeuralNetRegressor(
        nn.Linear, module__in_features=FEATURES, module__out_features=1, verbose=0, max_epochs=1,
        lr=0.0, train_split=None, iterator_train=RowLoader, callbacks=[TrackerCallback(tracker)],
    )  # fmt: skip
    one.fit(X, targets)
    expected = (one.predict(X) - targets.numpy()) ** 2
    np.testing.assert_allclose(tracker.history().loss[0], expected[:, 0], rtol=1e-5)


def onset(metric: str, **options: Any) -> NeuralNetClassifier:
    """Return a net whose accuracy rises and falls, and a tracker that watches it."""

    def accuracy(net: Any, *data: Any) -> float:
        return ACCURACIES[len(net.history) - 1]

    scoring = EpochScoring(accuracy, name="valid_acc", on_train=True, lower_is_better=False)
    tracker = TrackerCallback(byheart.Tracker(EXAMPLES), stop_at_onset=metric)
    return net(scoring, tracker, **{"max_epochs": len(ACCURACIES), **options})


def test_a_training_stops_at_the_onset_with_the_best_weights(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stopped = onset("valid_acc").fit(X, Y)
    best = onset("valid_acc", max_epochs=BEST).fit(X, Y)
    assert len(stopped.history) == STOPPED
    for found, expected in zip(
        stopped.module_.parameters(), best.module_.parameters(), strict=True
    ):
        torch.testing.assert_close(found, expected)
    assert f"stopped after {STOPPED} epochs, with the weights of epoch {BEST}" in (
        capsys.readouterr().out
    )


def test_what_cannot_show_an_onset_is_refused() -> None:
    with pytest.raises(InputError, match="name of an accuracy, got 'valid_loss'"):
        onset("valid_loss")
    with pytest.raises(InputError, match="unknown logged metric 'valid_ac': did you mean 'valid_"):
        onset("valid_ac").fit(X, Y)
