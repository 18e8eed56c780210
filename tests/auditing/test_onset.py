"""When memorization sets in, where that is known by construction."""

import numpy as np
import pytest

from byheart.auditing.history import History
from byheart.auditing.onset import find_onset

EXAMPLES, HELD_OUT = 300, 100


def trainings(
    accuracy: np.ndarray, seeds: int = 4, seed: int = 0
) -> tuple[list[History], np.ndarray]:
    """Return histories whose held-out accuracy follows a curve [E], and what each held out."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, EXAMPLES)
    held_out = np.stack([rng.permutation(EXAMPLES)[:HELD_OUT] for _ in range(seeds)])
    histories = []
    for _ in range(seeds):
        right = rng.random((len(accuracy), EXAMPLES)) < accuracy[:, None]
        z = np.zeros((len(accuracy), EXAMPLES, 2), np.float32)
        z[:, np.arange(EXAMPLES), y] = np.where(right, 1, -1)
        histories.append(History.from_logits(list(z), y))
    return histories, held_out


def test_the_peak_of_held_out_accuracy_is_the_onset_and_its_interval_holds_it() -> None:
    rise, fall = np.linspace(0.2, 0.9, 6), np.linspace(0.86, 0.4, 10)
    onset = find_onset(*trainings(np.concatenate([rise, fall])))
    assert onset.low <= onset.epoch <= onset.high
    assert onset.epoch in (5, 6, 7)
    assert onset.reached
    assert onset.gain_low <= onset.gain <= onset.gain_high
    assert onset.gain == pytest.approx(0.45, abs=0.1)


def test_accuracy_that_only_rises_has_no_onset_within_the_training() -> None:
    onset = find_onset(*trainings(np.linspace(0.2, 0.9, 12)))
    assert onset.epoch == 12
    assert not onset.reached
    assert onset.gain == 0


def test_what_stopping_gains_is_not_flattered_by_the_choice_of_the_epoch() -> None:
    flat = np.full(20, 0.5)
    gains = []
    for seed in range(30):
        histories, held_out = trainings(flat, seed=seed)
        gains.append(find_onset(histories, held_out, seed=seed).gain)
    # The peak itself lies above the last epoch by about two standard errors of 0.025.
    assert abs(np.mean(gains)) < 3 * np.std(gains) / np.sqrt(30)
    assert np.mean(gains) < 0.015


def test_a_longer_plateau_has_a_wider_interval() -> None:
    sharp = np.concatenate([np.linspace(0.2, 0.9, 10), np.linspace(0.86, 0.4, 10)])
    flat = np.concatenate([np.linspace(0.2, 0.8, 5), np.full(15, 0.8)])
    narrow, wide = find_onset(*trainings(sharp)), find_onset(*trainings(flat))
    assert narrow.high - narrow.low < wide.high - wide.low


def test_the_accuracy_is_that_of_held_out_examples_alone() -> None:
    histories, held_out = trainings(np.linspace(0.2, 0.9, 5))
    onset = find_onset(histories, held_out)
    y, pairs = histories[0].labels, list(zip(histories, held_out, strict=True))
    for e in range(5):
        right, weights = 0.0, 0.0
        for one, ids in pairs:
            for i in ids:
                weight = 1 / (y == y[i]).sum()
                right, weights = right + weight * (one.margin[e, i] > 0), weights + weight
        assert onset.accuracy[e] == pytest.approx(right / weights)


def test_a_rare_class_that_is_learned_late_moves_the_onset_there() -> None:
    rng = np.random.default_rng(0)
    y = (np.arange(EXAMPLES) < 6).astype(int)
    histories, held_out = [], []
    for _ in range(4):
        # All is called negative at first. Then positives are learned, and some negatives are lost.
        margins = np.where(y, np.linspace(-2, 3, 12)[:, None], np.linspace(3, 0.7, 12)[:, None])
        margins = margins + rng.normal(size=margins.shape)
        z = np.zeros((12, EXAMPLES, 2), np.float32)
        z[:, np.arange(EXAMPLES), y] = margins
        histories.append(History.from_logits(list(z), y))
        held_out.append(rng.permutation(EXAMPLES)[:HELD_OUT])
    plain = np.mean(
        [(h.margin[:, i] > 0).mean(1) for h, i in zip(histories, held_out, strict=True)], 0
    )
    assert plain.argmax() < 6
    assert find_onset(histories, np.stack(held_out)).epoch >= 8


def test_a_class_that_is_never_recognised_is_named() -> None:
    histories, held_out = trainings(np.linspace(0.2, 0.9, 5))
    assert find_onset(histories, held_out).never == ()
    y = histories[0].labels
    z = np.zeros((5, EXAMPLES, 2), np.float32)
    z[:, :, 0] = 1
    constant = [History.from_logits(list(z), y)] * 4
    assert find_onset(constant, held_out).never == (1,)
