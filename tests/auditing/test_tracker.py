"""The tracker in loops of all kinds: order, repeats, gaps, devices, checkpoints, bad input."""

import copy
import gc
import multiprocessing
import os
import pickle
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.auditing.networks import small
from tests.auditing.trainings import EPOCHS, EXAMPLES, labels, logits, seen, tracked, train_epoch
from torch import nn

import byheart
from byheart.auditing.history import History
from byheart.auditing.scores import scores
from byheart.errors import InputError, StoreError

EVERYTHING = np.ones(EXAMPLES, bool)


def test_the_history_holds_what_the_network_said() -> None:
    _, history = tracked()
    z, y, mask = logits().astype(float), labels(), seen()
    assert len(history) == EXAMPLES
    assert history.epochs == EPOCHS
    assert history.n_classes == z.shape[2]
    np.testing.assert_array_equal(history.seen, mask)
    np.testing.assert_array_equal(history.gaps, (~mask).sum(1))
    np.testing.assert_array_equal(history.labels[1:], y[1:])
    p = np.exp(z - np.log(np.exp(z).sum(2, keepdims=True)))[:, np.arange(EXAMPLES), y]
    np.testing.assert_allclose(history.probability[mask], p[mask], rtol=5e-3)
    others = np.where(np.arange(z.shape[2]) == y[:, None], -np.inf, z).max(2)
    margin = z[:, np.arange(EXAMPLES), y] - others
    np.testing.assert_allclose(history.margin[mask], margin[mask], rtol=1e-3)
    np.testing.assert_array_equal((history.margin > 0)[mask], (margin > 0)[mask])
    assert np.isnan(history.margin[~mask]).all()
    assert np.isnan(history.probability[~mask]).all()


@pytest.mark.parametrize("batch", [1, 4, EXAMPLES])
def test_neither_order_nor_batches_matter(batch: int) -> None:
    one, other = byheart.Tracker(EXAMPLES), byheart.Tracker(EXAMPLES)
    for seed, z in enumerate(logits()):
        train_epoch(one, z, EVERYTHING, seed)
        train_epoch(other, z, EVERYTHING, seed + 100, batch)
    assert one.scores().equals(other.scores())


def test_an_example_seen_twice_counts_with_the_mean_of_its_views() -> None:
    z = np.array([[3.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    tracker = byheart.Tracker(2)
    tracker.update([0, 1, 0], z, [0, 0, 0])
    tracker.update([0], [[2.0, 0.0]], [0])
    tracker.end_epoch()
    history = tracker.history()
    assert history.margin[0].tolist() == pytest.approx([(3 + 0 + 2) / 3, 1.0], rel=1e-3)
    losses = [np.log1p(np.exp(-m)) for m in (3, 0, 2)]
    assert history.loss[0, 0] == pytest.approx(np.mean(losses), rel=1e-3)


def test_batches_larger_than_the_limit_are_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = tracked()
    monkeypatch.setattr("byheart.auditing.tracker.LOGITS", 17)
    parts, _ = tracked()
    assert parts.scores().equals(whole.scores())


def test_what_a_loop_does_to_its_tensors_afterwards_does_not_matter() -> None:
    tracker = byheart.Tracker(2)
    ids, z, y = torch.tensor([0, 1]), torch.tensor([[1.0, 0], [1, 0]]), torch.tensor([0, 1])
    tracker.update(ids, z, y)
    for tensor in (ids, z, y):
        tensor.zero_()
    tracker.end_epoch()
    assert tracker.history().margin[0].tolist() == [1.0, -1.0]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_of_any_kind_are_taken_and_left_alone(dtype: torch.dtype) -> None:
    z = torch.tensor([[1.0, 0.5], [0.25, 2.0]], dtype=dtype, requires_grad=True)
    tracker = byheart.Tracker(2)
    tracker.update(torch.tensor([1, 0], dtype=torch.int32), z, torch.tensor([0, 1]).to(torch.uint8))
    tracker.end_epoch()
    assert tracker.history().margin[0].tolist() == [1.75, 0.5]
    assert z.grad is None


@pytest.mark.parametrize("large", [3e38, -3e38])
def test_the_largest_logits_are_finite(large: float) -> None:
    tracker = byheart.Tracker(2)
    for _ in range(2):
        tracker.update([0, 1], [[large, 0], [0, 1]], [0, 1])
        tracker.end_epoch()
    assert tracker.scores()["p_correct"].tolist() == [float(large > 0), 1.0]


def test_logits_that_are_not_finite_are_gaps_and_counted(tmp_path: Path) -> None:
    tracker = byheart.Tracker(3, tmp_path / "history.sqlite")
    tracker.update([0, 1, 2], [[1.0, 0], [np.inf, 0], [0, np.nan]], [0, 1, 0])
    tracker.update([0], [[-np.inf, 0]], [0])
    tracker.end_epoch()
    tracker.update([0, 1, 2], [[1.0, 0], [0, 2], [0, 3]], [0, 1, 0])
    tracker.end_epoch()
    for history in (tracker.history(), History.open(tmp_path / "history.sqlite")):
        assert history.not_finite.tolist() == [3, 0]
        assert history.gaps.tolist() == [2, 0]
        np.testing.assert_array_equal(history.margin, [[1, np.nan, np.nan], [1, 2, -3]])
    notes = byheart.Audit.from_tracker(tracker).notes
    assert any("3 predictions were infinite or NaN" in note for note in notes)
    tracker.update([0], [[np.nan, 0]], [0])
    with pytest.raises(InputError, match="no prediction of this epoch is finite: the training has"):
        tracker.end_epoch()


def test_classes_that_are_masked_by_minus_infinity_have_probability_0() -> None:
    masked, small = byheart.Tracker(2), byheart.Tracker(2)
    for tracker, mask in ((masked, -np.inf), (small, -1e30)):
        tracker.update([0, 1], [[2.0, mask, 1], [mask, 1, mask]], [0, 1])
        tracker.end_epoch()
    assert masked.scores().equals(small.scores())
    assert masked.history().not_finite.tolist() == [0]
    assert masked.history().margin[0].tolist() == [1.0, 65504.0]
    assert masked.scores()["suggested"].tolist() == [2, -1]


def test_tokens_are_examples_and_those_labelled_minus_100_are_left_out() -> None:
    z = np.random.default_rng(0).normal(size=(2, 3, 4))
    ids = np.arange(6).reshape(2, 3)
    y = np.array([[0, -100, 2], [3, 1, -100]])
    tokens, flat, kept = (byheart.Tracker(6) for _ in range(3))
    tokens.update(torch.tensor(ids), torch.tensor(z), torch.tensor(y))
    flat.update(ids.ravel(), z.reshape(6, 4), y.ravel())
    counts = y.ravel() >= 0
    kept.update(ids.ravel()[counts], z.reshape(6, 4)[counts], y.ravel()[counts])
    for tracker in (tokens, flat, kept):
        tracker.end_epoch()
    assert tokens.scores().equals(kept.scores())
    assert flat.scores().equals(kept.scores())
    assert tokens.history().seen[0].tolist() == counts.tolist()
    with pytest.raises(
        InputError, match=r"labels \[2, 3\] need an id for each token, got ids \[2\]"
    ):
        tokens.update([0, 1], z, y)


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda tracker: pickle.loads(pickle.dumps(tracker))]
)
def test_a_copy_or_a_pickle_is_whole_and_goes_on_by_itself(
    tmp_path: Path, on_disk: bool, how: Callable[[byheart.Tracker], byheart.Tracker]
) -> None:
    whole, _ = tracked()
    tracker = byheart.Tracker(EXAMPLES, tmp_path / "history.sqlite" if on_disk else None)
    mask = seen()
    for epoch in range(3):
        train_epoch(tracker, logits()[epoch], mask[epoch], epoch)
    ids = np.flatnonzero(mask[3])
    tracker.update(ids[:5], logits()[3][ids[:5]], labels()[ids[:5]])
    other, history = how(tracker), how(tracker.history())
    assert scores(history).equals(tracker.scores())
    del tracker
    gc.collect()
    other.update(ids[5:], logits()[3][ids[5:]], labels()[ids[5:]])
    other.end_epoch()
    for epoch in range(4, EPOCHS):
        train_epoch(other, logits()[epoch], mask[epoch], epoch)
    assert other.scores().equals(whole.scores())
    if on_disk:
        assert History.open(tmp_path / "history.sqlite").epochs == 3


def test_an_empty_batch_changes_nothing() -> None:
    tracker = byheart.Tracker(2)
    tracker.update([], np.empty((0, 2)), [])
    with pytest.raises(InputError, match="no example was seen in this epoch"):
        tracker.end_epoch()
    assert tracker.epoch == 0


def test_a_class_without_examples_does_no_harm() -> None:
    tracker = byheart.Tracker(2)
    tracker.update([0, 1], [[1.0, 0, 3], [0, 1, 3]], [0, 1])
    tracker.end_epoch()
    table = tracker.scores()
    assert table["suggested"].tolist() == [2, 2]
    assert table["aum"].tolist() == [-2.0, -2.0]


@pytest.mark.parametrize("n_examples", [0, -1, 1.5, True, "10", None])
def test_a_number_of_examples_that_is_none_is_refused(n_examples: object) -> None:
    with pytest.raises(InputError, match="n_examples must be"):
        byheart.Tracker(n_examples)


GOOD = ([0, 2], [[1.0, 0.0], [0.5, 1.0]], [0, 1])
BAD = {
    "ids must be 0 to 4, got 5": ([1, 5], *GOOD[1:]),
    "ids must be 0 to 4, got -1": ([-1, 1], *GOOD[1:]),
    "ids must be whole numbers": ([0.0, 1.0], *GOOD[1:]),
    "ids must be whole numbers .* \\[1, 2\\]": ([[0, 1]], *GOOD[1:]),
    "labels must be 0 to 1, one of the outputs, got 2": (*GOOD[:2], [0, 2]),
    "labels must be 0 to 1, one of the outputs, got -99": (*GOOD[:2], [0, -99]),
    "labels must be 0 to 1, one of the outputs, got -1": ([3], [[1.0, 0.0]], [-1]),
    "ids must be 0 to 4, got 7": ([7], [[1.0, 0.0]], [-1]),
    "ids must be 0 to 4, got -3": ([0, -3], *GOOD[1:]),
    "labels must be whole numbers": (*GOOD[:2], [0.5, 1.0]),
    "logits have 3 classes, and had 2 before": (GOOD[0], [[1.0, 0, 0], [0, 1, 0]], GOOD[2]),
    "ids must be whole numbers .B., got text .*: number the examples": (["a", "b"], *GOOD[1:]),
    "give logits and labels, or loss=": (GOOD[0], GOOD[1]),
    "logits must be numbers \\[B, classes\\]": (GOOD[0], [1.0, 0.0], GOOD[2]),
    "logits must be numbers .* give \\[0, z\\]": (GOOD[0], [[1.0], [0.0]], GOOD[2]),
    "must be of equally many examples, got 2, 2 and 1": (*GOOD[:2], [0]),
    "must be of equally many examples, got 1, 2 and 2": ([0], *GOOD[1:]),
    "example 0 is labelled 1 and 0": (GOOD[0], GOOD[1], [1, 1]),
    "example 3 is labelled": ([3, 3], GOOD[1], [0, 1]),
    "must be arrays or tensors": ([[0], [0, 1]], *GOOD[1:]),
}


@pytest.mark.parametrize("message", BAD)
def test_of_a_batch_that_is_refused_nothing_is_kept(message: str) -> None:
    tracker, other = byheart.Tracker(5), byheart.Tracker(5)
    for one in (tracker, other):
        one.update(*GOOD)
    with pytest.raises(InputError, match=message) as caught:
        tracker.update(*BAD[message])
    assert "\n" not in str(caught.value)
    # Example 1 and 3 are new to both, whatever the refused batch said of them.
    for one in (tracker, other):
        one.update([1, 3], [[1.0, 0.0], [0.5, 1.0]], [1, 1])
        one.end_epoch()
    assert tracker.scores().equals(other.scores())


def test_a_first_batch_that_is_refused_fixes_no_number_of_classes() -> None:
    tracker = byheart.Tracker(2)
    with pytest.raises(InputError, match="one of the outputs, got 3"):
        tracker.update([0], [[1.0, 0, 0]], [3])
    tracker.update([0], [[1.0, 0.0]], [0])


def test_a_label_that_changes_between_epochs_is_named() -> None:
    tracker = byheart.Tracker(2)
    tracker.update([0, 1], [[1.0, 0], [1, 0]], [0, 1])
    tracker.end_epoch()
    with pytest.raises(InputError, match="example 1 is labelled 0 and 1: an id must name the same"):
        tracker.update([0, 1], [[1.0, 0], [1, 0]], [0, 0])


def test_scores_before_the_first_epoch_ended_are_refused() -> None:
    tracker = byheart.Tracker(2)
    tracker.update([0], [[1.0, 0]], [0])
    with pytest.raises(InputError, match="no epoch has ended yet"):
        tracker.scores()


def resumed(state: dict, path: Path | None, tmp_path: Path) -> byheart.Tracker:
    """Return a new tracker with a state that went through a checkpoint file."""
    torch.save(state, tmp_path / "checkpoint.pt")
    tracker = byheart.Tracker(EXAMPLES, path)
    tracker.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    return tracker


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("batches", [0, 2])
@pytest.mark.parametrize("epochs", [0, 3])
def test_a_training_that_was_resumed_gives_the_scores_of_one_that_was_not(
    tmp_path: Path, on_disk: bool, batches: int, epochs: int
) -> None:
    path = tmp_path / "history.sqlite" if on_disk else None
    whole, _ = tracked()
    tracker = byheart.Tracker(EXAMPLES, path)
    mask, y = seen(), labels()
    for epoch in range(epochs):
        train_epoch(tracker, logits()[epoch], mask[epoch], epoch)
    order = np.random.default_rng([4, epochs]).permutation(np.flatnonzero(mask[epochs]))
    parts = [order[at : at + 7] for at in range(0, len(order), 7)]
    for ids in parts[:batches]:
        tracker.update(ids, logits()[epochs][ids], y[ids])
    state = tracker.state_dict()
    # The training goes on past the checkpoint before it is killed, and on other examples.
    for later in range(2):
        tracker.update([1, 2], np.ones((2, 5)), y[[1, 2]])
        train_epoch(tracker, logits(9)[later], mask[later], later)
    tracker = resumed(state, path, tmp_path)
    assert tracker.epoch == epochs
    for ids in parts[batches:]:
        tracker.update(ids, logits()[epochs][ids], y[ids])
    tracker.end_epoch()
    for epoch in range(epochs + 1, EPOCHS):
        train_epoch(tracker, logits()[epoch], mask[epoch], epoch)
    assert tracker.scores().equals(whole.scores())


def test_a_state_of_another_training_is_refused(tmp_path: Path) -> None:
    tracker, _ = tracked(path=tmp_path / "one.sqlite")
    state = tracker.state_dict()
    with pytest.raises(InputError, match=f"the state is of {EXAMPLES} examples .* is of 7"):
        byheart.Tracker(7).load_state_dict(state)
    with pytest.raises(InputError, match=r"\(version 99\)"):
        byheart.Tracker(EXAMPLES).load_state_dict({**state, "version": 99})
    with pytest.raises(StoreError, match="does not hold the 6 epochs of the checkpoint"):
        byheart.Tracker(EXAMPLES, tmp_path / "two.sqlite").load_state_dict(state)


def test_a_state_of_the_first_version_is_read() -> None:
    tracker, history = tracked()
    state = tracker.state_dict()
    old = {"version": 1, "rows": state["rows"].transpose(0, 1).contiguous()}
    del state["not_finite"], state["of_losses"], state["running"]["not_finite"]
    other = byheart.Tracker(EXAMPLES)
    other.load_state_dict(state | old)
    assert other.scores().equals(scores(history))


def test_a_file_with_the_epochs_of_another_training_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    _, history = tracked(path=path)
    with pytest.raises(InputError, match="holds the epochs of another training"):
        byheart.Tracker(EXAMPLES, path).update([0], np.ones((1, 5)), [1])
    assert scores(History.open(path)).equals(scores(history))


def test_two_trackers_cannot_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    one, other = byheart.Tracker(EXAMPLES, path), byheart.Tracker(EXAMPLES, path)
    train_epoch(one, logits()[0], EVERYTHING, 0)
    with pytest.raises(StoreError, match="another training writes to it"):
        train_epoch(other, logits()[0], EVERYTHING, 0)
    train_epoch(one, logits()[1], EVERYTHING, 1)
    assert one.history().epochs == 2


def test_a_temporary_history_goes_with_the_last_that_reads_from_it() -> None:
    tracker, history = tracked()
    folder = history.rows.file.path.parent
    del tracker
    gc.collect()
    assert history.epoch(0).seen.any()
    del history
    gc.collect()
    assert not folder.exists()


def test_a_forked_process_that_ends_leaves_a_temporary_history_alone() -> None:
    tracker, history = tracked()
    child = multiprocessing.get_context("fork").Process(target=lambda: sys.exit(0))
    child.start()
    child.join()
    if (pid := os.fork()) == 0:
        del tracker, history
        gc.collect()
        os._exit(0)
    os.waitpid(pid, 0)
    assert history.epoch(0).seen.any()


def test_updates_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tracker = byheart.Tracker(2)
        tracker.update([0, 1], [[1e30, -1e30], [-1e30, 1e30]], [0, 0])
        tracker.end_epoch()
        assert tracker.scores()["p_correct"].tolist() == [1.0, 0.0]


def test_probabilities_are_no_logits() -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(3), 8)
    tracker = byheart.Tracker(8)
    with pytest.raises(InputError, match="logits are probabilities: every row sums to 1"):
        tracker.update(range(8), rows, [0] * 8)
    tracker.update(range(8), np.log(rows), [0] * 8)
    digits = byheart.load_dataset("digits", size=200)
    with pytest.raises(InputError, match="logits are probabilities"):
        byheart.audit(lambda: nn.Sequential(small(), nn.Softmax(1)), digits, epochs=1, seeds=2)
