"""Trainings that are tracked by a loss: regression, several labels, language models."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import byheart
from byheart.auditing.history import History
from byheart.errors import InputError

LOSSES = np.array([[0.5, 2.0, 1e-9, 70_000.0], [0.25, np.nan, 3.0, 80_000.0]])


def tracked(path: Path | None = None) -> byheart.Tracker:
    """Return a tracker of two epochs of losses, of which one is missing."""
    tracker = byheart.Tracker(4, path)
    for epoch in LOSSES:
        ids = np.flatnonzero(~np.isnan(epoch))[::-1]
        tracker.update(ids, loss=epoch[ids])
        tracker.end_epoch()
    return tracker


def test_losses_are_kept_as_they_are_whatever_their_size(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    for history in (tracked().history(), tracked(path).history(), History.open(path)):
        np.testing.assert_allclose(history.loss, LOSSES, rtol=1e-7)
        assert history.of_losses
        assert history.gaps.tolist() == [0, 1]
        assert np.isnan(history.margin).all()


def test_the_scores_are_those_that_losses_allow() -> None:
    table = tracked().scores()
    assert list(table) == ["cumulative_loss", "loss_variability", "epochs_seen"]
    np.testing.assert_allclose(table["cumulative_loss"], [0.75, 4.0, 3.0, 150_000.0], rtol=1e-6)
    np.testing.assert_allclose(table["loss_variability"], [0.125, 0.0, 1.5, 5_000.0], rtol=1e-6)
    audit = byheart.Audit.from_tracker(tracked(), window=1)
    np.testing.assert_allclose(audit.table["suspicion"], LOSSES[0], rtol=1e-6)
    assert audit.ranking.tolist() == [3, 1, 0, 2]
    assert audit.table["verdict"].eq("").all()


def test_the_mean_of_an_examples_parts_counts_and_ignored_parts_do_not() -> None:
    losses = np.array([[1.0, 2.0, 9.0], [4.0, 9.0, 9.0], [9.0, 9.0, 9.0]])
    y = np.array([[5, 6, -100], [7, -100, -100], [-100, -100, -100]])
    by_example, by_token, several = byheart.Tracker(3), byheart.Tracker(9), byheart.Tracker(3)
    by_example.update(torch.arange(3), loss=torch.tensor(losses), labels=torch.tensor(y))
    by_token.update(np.arange(9).reshape(3, 3), loss=losses, labels=y)
    several.update([0, 1, 2], loss=losses)
    for tracker in (by_example, by_token, several):
        tracker.end_epoch()
    np.testing.assert_array_equal(by_example.history().loss[0], [1.5, 4.0, np.nan])
    np.testing.assert_array_equal(
        by_token.history().loss[0], np.where(y < 0, np.nan, losses).ravel()
    )
    np.testing.assert_allclose(several.history().loss[0], losses.mean(1))


def test_losses_that_are_not_finite_are_gaps_and_counted() -> None:
    tracker = byheart.Tracker(3)
    tracker.update([0, 1, 2], loss=torch.tensor([1.0, torch.inf, torch.nan]).bfloat16())
    tracker.end_epoch()
    assert tracker.history().not_finite.tolist() == [2]
    assert tracker.history().gaps.tolist() == [2]


def test_a_training_by_losses_is_copied_and_resumed_whole() -> None:
    tracker = tracked()
    tracker.update([0], loss=[7.0])
    other = byheart.Tracker(4)
    other.load_state_dict(tracker.state_dict())
    for one in (other, copy.deepcopy(tracker)):
        with pytest.raises(InputError, match="was given a loss before, and logits now"):
            one.update([0], [[1.0, 0.0]], [0])
        one.update([0], loss=[9.0])
        one.end_epoch()
        assert one.history().loss[2, 0] == 8.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [[1.0, 0], [0, 1]], [0, 1]), "was given a loss before, and logits now"),
        (([0, 4],), "ids must be 0 to 3, got 4"),
        (([0, 1, 2],), r"ids and loss must be of equally many examples, got \[3\] and \[2\]"),
    ],
)
def test_what_does_not_fit_is_refused(arguments: tuple, message: str) -> None:
    tracker = tracked()
    with pytest.raises(InputError, match=message):
        tracker.update(*arguments, **({} if len(arguments) == 3 else {"loss": [1.0, 2.0]}))
    with pytest.raises(InputError, match="compute it with reduction='none'"):
        tracker.update([0], loss=torch.tensor(1.0))
    with pytest.raises(InputError, match="not both"):
        tracker.update([0], [[1.0, 0]], [0], loss=[1.0])


def test_planted_targets_of_a_regression_bound_the_wrong_ones_and_the_page_works(
    tmp_path: Path,
) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 6, generator=draw)
    y = x @ torch.tensor([1.0, -2, 1, 0.5, 0, 1])[:, None]
    wrong = torch.arange(0, 400, 20)
    y[wrong] = y[wrong.flip(0)]
    data = byheart.IndexedDataset(TensorDataset(x, y), plant=0.1)
    planted = data.planted
    assert len(planted.ids) == 40
    assert all(data[i][1] == planted.labels[i] for i in range(400))
    assert torch.equal(torch.from_numpy(planted.before), y)
    torch.manual_seed(0)
    model, tracker = nn.Linear(6, 1), byheart.Tracker(400)
    steps = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(4):
        for inputs, targets, ids in DataLoader(data, 20, shuffle=True):
            loss = functional.mse_loss(model(inputs), targets, reduction="none")
            steps.zero_grad()
            loss.mean().backward()
            steps.step()
            tracker.update(ids, loss=loss)
        tracker.end_epoch()
    audit = byheart.Audit.from_tracker(tracker, data)
    assert audit.calibration.basis == "planted"
    assert 20 / 400 < audit.calibration.kinds.loc["uniform", "most_wrong"] < 0.5
    judged = audit.table["suspicion"].dropna()
    assert roc_auc_score(np.isin(judged.index, wrong), judged) > 0.85
    np.testing.assert_array_equal(audit.table["target"], planted.labels[:, 0])
    page = audit.to_html(tmp_path / "page.html").read_text()
    assert "recorded its\n    loss on every example" in page
    assert "Mean loss over the first epochs" in page
    reviewed = audit.review({int(i): bool(i in wrong) for i in audit.to_review(60).index})
    assert reviewed.calibration.mislabelled.low <= 20 <= reviewed.calibration.mislabelled.high


def test_classes_that_were_tracked_by_a_loss_keep_their_names() -> None:
    digits = byheart.load_dataset("digits", size=100)
    tracker = byheart.Tracker(100)
    tracker.update(range(100), loss=np.arange(100.0))
    tracker.end_epoch()
    audit = byheart.Audit.from_tracker(tracker, digits)
    np.testing.assert_array_equal(audit.table["label"], digits.y)
    assert audit.classes == digits.classes
    with pytest.raises(InputError, match="the data set has 99 examples, and the runs had 100"):
        byheart.Audit.from_tracker(tracker, digits.subset(range(99)))
