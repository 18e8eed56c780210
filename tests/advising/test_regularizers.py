"""Every regularizer against its authors' formula, and its strength per replica."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.advising import regularized
from tests.advising.regularized import WAYS, assert_equal, batches, small, task, trained
from tests.reference import plain_regularizers as plain
from torch import nn

from byheart.advising.arms import menu
from byheart.errors import InputError
from byheart.networks.foreign import initialised
from byheart.training.regularizers.adversarial import DropoutAdversarial
from byheart.training.regularizers.augmentation import Cutout, Flip, Shift
from byheart.training.regularizers.base import Batch, Regularizer
from byheart.training.regularizers.losses import (
    EarlyLearning,
    GeneralizedCrossEntropy,
    LabelSmoothing,
    Mixup,
)
from byheart.training.regularizers.noise import (
    Dropout,
    HiddenNoise,
    InputDropout,
    InputNoise,
    RowNoise,
)
from byheart.training.regularizers.registry import REGULARIZERS, chosen
from byheart.training.regularizers.updates import (
    EarlyStopping,
    GradientClipping,
    SharpnessAware,
    WeightDecay,
)

SEEDS = (5, 6, 7)


def alone(seed: int) -> nn.Module:
    return initialised(small, seed, dtype=torch.float64)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "strengths", "twin"),
    [
        (Regularizer, (0, 0, 0), lambda s, seed: {"loss": plain.cross_entropy}),
        (LabelSmoothing, (0.05, 0.2, 0.4), lambda s, seed: {"loss": plain.smoothed(s)}),
        (GeneralizedCrossEntropy, (0.2, 0.7, 1.0), lambda s, seed: {"loss": plain.generalized(s)}),
        (
            EarlyLearning,
            (0.3, 3.0, 7.0),
            lambda s, seed: {
                "loss": plain.early_learning(s, regularized.N, regularized.CLASSES)
            },
        ),
        (Mixup, (0.2, 1.0, 16.0), lambda s, seed: {"loss": plain.mixed(s, seed)}),
        (
            WeightDecay,
            (0.0, 1e-3, 0.1),
            lambda s, seed: {"loss": plain.cross_entropy, "weight_decay": s},
        ),
        (
            GradientClipping,
            (1.0, 0.3, 0.03),
            lambda s, seed: {"loss": plain.cross_entropy, "clip": s},
        ),
        (SharpnessAware, (0.02, 0.2, 0.5), lambda s, seed: {"loss": plain.cross_entropy, "rho": s}),
    ],
    ids=lambda one: getattr(one, "name", None) or getattr(one, "__name__", None),
)  # fmt: skip
def test_a_pack_trains_as_the_authors_formula_does(kind, strengths, twin, way) -> None:
    pack = trained(kind, strengths, SEEDS, way)
    models = [
        plain.plainly(alone(seed), batches(), lr=regularized.LR, **twin(strength, seed))
        for strength, seed in zip(strengths, SEEDS, strict=True)
    ]
    # clip_grad_norm_ and SAM divide by lengths that are summed in another order.
    assert_equal(pack, models)


RANDOM = [
    (Dropout, (0.1, 0.5, 0.75)),
    (HiddenNoise, (0.03, 0.3, 1.0)),
    (InputDropout, (0.1, 0.5, 0.75)),
    (InputNoise, (0.1, 0.5, 1.0)),
    (Shift, (1.0, 2.0, 3.0)),
    (Flip, (0.1, 0.5, 0.9)),
    (Cutout, (2.0, 4.0, 3.0)),
    (Mixup, (0.2, 1.0, 16.0)),
    (EarlyLearning, (0.3, 1.0, 3.0)),
    (SharpnessAware, (0.02, 0.2, 0.5)),
    (DropoutAdversarial, (0.2, 0.5, 0.7)),
]


@pytest.mark.parametrize(("kind", "strengths"), RANDOM, ids=lambda one: getattr(one, "name", ""))
def test_a_replica_trains_the_same_alone_as_in_a_pack(kind, strengths) -> None:
    pack = trained(kind, strengths, SEEDS)
    for r, (strength, seed) in enumerate(zip(strengths, SEEDS, strict=True)):
        one = trained(kind, (strength,), (seed,))
        for values, own in zip(pack.parameters(), one.parameters(), strict=True):
            torch.testing.assert_close(values[r], own[0], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("kind", "strengths"), RANDOM, ids=lambda one: getattr(one, "name", ""))
def test_strength_matters(kind, strengths) -> None:
    weak, strong = (trained(kind, (s,), (SEEDS[0],)) for s in (strengths[0], strengths[-1]))
    assert not torch.equal(weak.parameters()[0], strong.parameters()[0])


class _Written(nn.Module):
    """The network of the tests with noise written into it."""

    def __init__(self, model: nn.Module, disturb) -> None:
        super().__init__()
        self.layers, self.disturb = nn.ModuleList(model), disturb

    def forward(self, x):
        flat, one, relu, two, tanh, three = self.layers
        first, second = self.disturb(len(x))
        h = first(relu(one(flat(x))))
        return three(second(tanh(two(h))))


@pytest.mark.parametrize("way", WAYS)
def test_dropout_is_that_of_every_activation_layer(way) -> None:
    rate, seed = 0.5, SEEDS[0]
    rows = RowNoise([seed], "dropout", "uniform", 12, torch.zeros(0).double())

    def disturb(size):
        kept = (rows.take(size)[0] >= rate).double() / (1 - rate)
        return (lambda h: h * kept[:, :7]), (lambda h: h * kept[:, 7:])

    twin = plain.plainly(
        _Written(alone(seed), disturb), batches(), plain.cross_entropy, lr=regularized.LR
    )
    assert_equal(trained(Dropout, (rate,), (seed,), way), [twin])


def test_hidden_noise_is_added_after_every_activation_layer() -> None:
    sigma, seed = 0.3, SEEDS[0]
    rows = RowNoise([seed], "hidden noise", "normal", 12, torch.zeros(0).double())

    def disturb(size):
        z = sigma * rows.take(size)[0]
        return (lambda h: h + z[:, :7]), (lambda h: h + z[:, 7:])

    twin = plain.plainly(
        _Written(alone(seed), disturb), batches(), plain.cross_entropy, lr=regularized.LR
    )
    assert_equal(trained(HiddenNoise, (sigma,), (seed,)), [twin])


def changed(kind: type[Regularizer], strength: float, shape=(1, 6, 6), size: int = 400):
    """Return inputs [B, *shape] before and after a regularizer, for one replica."""
    x = torch.rand(1, size, int(np.prod(shape)), dtype=torch.float64) + 1
    made = kind((strength,), (11,), task(shape=shape), x)
    ids = torch.arange(size).unsqueeze(0)
    batch = made.change(Batch(ids, x, ids % 4), None)
    return x.view(size, *shape).numpy(), batch.x.view(size, *shape).numpy()


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 5)])
def test_every_image_is_shifted_by_one_of_the_moves_each_about_as_often(shape) -> None:
    before, after = changed(Shift, 1.0, shape)
    moves = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    found = [
        next(m for m in moves if np.array_equal(plain.shifted(one, *m), other))
        for one, other in zip(before, after, strict=True)
    ]
    counts = [found.count(move) for move in moves]
    assert sum(counts) == len(before)
    assert min(counts) > 0.5 * len(before) / 9


def test_flip_mirrors_as_many_images_as_asked_for() -> None:
    before, after = changed(Flip, 0.25)
    mirrored = [np.array_equal(a[:, :, ::-1], b) for a, b in zip(before, after, strict=True)]
    same = [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert all(np.logical_xor(mirrored, same))
    assert np.mean(mirrored) == pytest.approx(0.25, abs=0.07)


def test_cutout_is_the_authors_with_any_centre() -> None:
    before, after = changed(Cutout, 4.0)
    centres = [(i, j) for i in range(6) for j in range(6)]
    holes = set()
    for one, other in zip(before, after, strict=True):
        own = [c for c in centres if np.array_equal(plain.cut_out(one, *c, 4), other)]
        assert own
        holes |= set(own)
    assert holes == set(centres)


def test_adversarial_examples_lie_within_the_box_and_have_the_weight_asked_for() -> None:
    pack = regularized.network((5, 6), DropoutAdversarial, WAYS[0])
    ids, x, y = regularized.data()
    rows = ids[:1].expand(2, -1)
    made = DropoutAdversarial((0.4, 0.0), (5, 6), task(), x)
    batch = made.change(Batch(rows, x[rows], y[rows]), pack)
    first, second = batch.x.chunk(2, 1)
    assert torch.equal(first, x[rows])
    assert 0 < (first - second).abs().max() <= 8 / 255
    scores = torch.randn(2, 16, 4, dtype=torch.float64).log_softmax(2)
    losses = (batch.weights * made.loss(scores, batch)).sum(1)
    for mean, each, weight in zip(losses, scores, (0.4, 0.0), strict=True):
        clean, found = (nn.functional.nll_loss(half, y[rows[0]]) for half in each.chunk(2))
        torch.testing.assert_close(mean, (1 - weight) * clean + weight * found)


def test_what_cannot_be_applied_says_why() -> None:
    found = menu(REGULARIZERS, task(hidden=0, shape=(36,), no_hidden="it has no layers"))
    assert found.obstacles["dropout"] == "it has no layers"
    assert "no images" in found.obstacles["shift"]
    assert set(found.obstacles) == {
        "dropout", "hidden noise", "dropout with adversarial training", "shift", "flip", "cutout",
    }  # fmt: skip
    assert Mixup in found.arms


def test_early_stopping_has_the_checkpoints_before_the_last_from_the_weakest() -> None:
    grid = EarlyStopping.grid(task())
    assert list(grid) == sorted(grid, reverse=True)
    assert max(grid) < regularized.RECIPE.epochs


def test_every_regularizer_has_a_name_a_source_and_something_to_paste() -> None:
    assert len({kind.name for kind in REGULARIZERS}) == len(REGULARIZERS)
    for kind in REGULARIZERS:
        assert "Source:" in (kind.__doc__ or ""), kind.name
        strengths = kind.grid(task())
        assert len(set(strengths)) == len(strengths) > 0
        assert kind.snippet(strengths[0])


def test_an_unknown_regularizer_is_named_with_the_nearest() -> None:
    with pytest.raises(InputError, match="unknown regularizer 'dropuot': did you mean 'dropout'"):
        chosen(["dropuot"])
