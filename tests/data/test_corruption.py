"""randX and randY: exact counts, nested masks, common random numbers, right moments."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from byheart.data import Dataset, corrupt, draw_corruption
from byheart.data.corruption import moments
from byheart.errors import InputError

levels = st.floats(0, 1)
seeds = st.integers(0, 2**32)


def toy(n: int = 50) -> Dataset:
    x = torch.rand(n, 3, 2, generator=torch.Generator().manual_seed(0))
    return Dataset.from_arrays("toy", x, torch.arange(n) % 5)


@settings(deadline=None, max_examples=25)
@given(inputs=levels, labels=levels, seed=seeds)
def test_exactly_the_rounded_share_is_replaced(inputs: float, labels: float, seed: int) -> None:
    clean = toy()
    noisy = corrupt(clean, inputs=inputs, labels=labels, seed=seed)
    assert int(noisy.noisy_inputs.sum()) == round(inputs * 50)
    assert int(noisy.noisy_labels.sum()) == round(labels * 50)
    assert torch.equal(noisy.noisy, noisy.noisy_inputs | noisy.noisy_labels)
    changed = (noisy.x != clean.x).flatten(1).any(1)
    assert torch.equal(changed, noisy.noisy_inputs)
    assert torch.equal(noisy.y[~noisy.noisy_labels], clean.y[~noisy.noisy_labels])
    assert torch.equal(noisy.clean_y, clean.y)


@settings(deadline=None, max_examples=25)
@given(pair=st.tuples(levels, levels), seed=seeds)
def test_a_higher_level_keeps_what_a_lower_one_replaced(
    pair: tuple[float, float], seed: int
) -> None:
    low, high = sorted(pair)
    few = corrupt(toy(), inputs=low, labels=low, seed=seed)
    many = corrupt(toy(), inputs=high, labels=high, seed=seed)
    assert not (few.noisy_inputs & ~many.noisy_inputs).any()
    assert not (few.noisy_labels & ~many.noisy_labels).any()
    assert torch.equal(few.x[few.noisy_inputs], many.x[few.noisy_inputs])
    assert torch.equal(few.y[few.noisy_labels], many.y[few.noisy_labels])


@settings(deadline=None, max_examples=20)
@given(level=levels, other=levels, seed=seeds)
def test_one_kind_of_noise_never_shifts_the_other(level: float, other: float, seed: int) -> None:
    alone, both = (
        corrupt(toy(), inputs=level, seed=seed),
        corrupt(toy(), inputs=level, labels=other, seed=seed),
    )
    assert torch.equal(alone.x, both.x)
    labels_alone = corrupt(toy(), labels=other, seed=seed)
    assert torch.equal(labels_alone.y, both.y)
    assert torch.equal(labels_alone.noisy_labels, both.noisy_labels)


@settings(deadline=None, max_examples=15)
@given(inputs=levels, labels=levels, seed=seeds)
def test_the_same_seed_gives_the_same_bits_and_leaves_the_original(
    inputs: float, labels: float, seed: int
) -> None:
    clean, untouched = toy(), toy()
    one = corrupt(clean, inputs=inputs, labels=labels, seed=seed)
    two = corrupt(clean, inputs=inputs, labels=labels, seed=seed)
    assert torch.equal(one.x, two.x)
    assert torch.equal(one.y, two.y)
    assert torch.equal(clean.x, untouched.x)
    assert torch.equal(clean.y, untouched.y)
    assert not clean.noisy.any()


def test_another_seed_hits_other_examples() -> None:
    one, two = (corrupt(toy(), inputs=0.5, labels=0.5, seed=seed) for seed in (0, 1))
    assert not torch.equal(one.noisy_inputs, two.noisy_inputs)
    assert not torch.equal(one.noisy_labels, two.noisy_labels)


def test_inputs_and_labels_are_hit_independently() -> None:
    noisy = corrupt(toy(20_000), inputs=0.5, labels=0.5)
    both = float((noisy.noisy_inputs & noisy.noisy_labels).double().mean())
    assert abs(both - 0.25) < 5 * math.sqrt(0.25 * 0.75 / 20_000)


def test_noise_has_the_scalar_mean_and_variance_of_the_data_unclipped() -> None:
    clean = toy(20_000)
    noise = corrupt(clean, inputs=1.0).x.double()
    mean, sd = moments(clean.x)
    assert abs(float(noise.mean()) - mean) < 5 * sd / math.sqrt(noise.numel())
    assert abs(float(noise.std()) - sd) < 5 * sd / math.sqrt(2 * noise.numel())
    assert float(noise.min()) < 0
    assert float(noise.max()) > 1
    fourth = float((((noise - mean) / sd) ** 4).mean())
    assert abs(fourth - 3) < 5 * math.sqrt(96 / noise.numel())


def test_moments_are_over_all_numbers() -> None:
    x = torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    assert moments(x) == pytest.approx((0.5, math.sqrt(0.125)))
    assert moments(torch.empty(0, 3)) == (0.0, 0.0)


def test_random_labels_are_uniform_and_may_hit_the_true_one() -> None:
    noisy = corrupt(toy(20_000), labels=1.0)
    shares = torch.bincount(noisy.y, minlength=5).double() / 20_000
    tolerance = 5 * math.sqrt(0.2 * 0.8 / 20_000)
    assert (shares - 0.2).abs().max() < tolerance
    assert abs(float((noisy.y == noisy.clean_y).double().mean()) - 0.2) < tolerance
    assert noisy.noisy_labels.all()


def test_no_noise_gives_an_equal_data_set() -> None:
    clean = toy()
    same = corrupt(clean)
    assert torch.equal(same.x, clean.x)
    assert same.fingerprint == clean.fingerprint
    assert not same.noisy.any()


def test_corrupting_twice_keeps_the_first_labels_and_both_masks() -> None:
    once = corrupt(toy(), labels=0.4, seed=1)
    twice = corrupt(once, labels=0.4, seed=2)
    assert torch.equal(twice.clean_y, toy().y)
    assert not (once.noisy_labels & ~twice.noisy_labels).any()


def test_the_low_level_draw_is_what_corrupt_uses() -> None:
    clean = toy()
    noisy = corrupt(clean, inputs=0.6, labels=0.3, seed=4)
    drawn = draw_corruption(*moments(clean.x), (3, 2), clean.y, 5, inputs=0.6, labels=0.3, seed=4)
    assert torch.equal(drawn.input_mask, noisy.noisy_inputs)
    assert torch.equal(drawn.inputs, noisy.x[noisy.noisy_inputs])
    assert torch.equal(drawn.label_mask, noisy.noisy_labels)
    assert torch.equal(drawn.y, noisy.y)
    assert (drawn.inputs.dtype, drawn.y.dtype) == (torch.float32, torch.int64)
    assert drawn.inputs.shape == (30, 3, 2)


@pytest.mark.parametrize("level", [-0.1, 1.1, math.nan, math.inf])
@pytest.mark.parametrize("what", ["inputs", "labels"])
def test_a_level_outside_the_unit_interval_is_refused(what: str, level: float) -> None:
    with pytest.raises(InputError, match=rf"noise level \S+ of {what} is outside 0\.\.1"):
        corrupt(toy(), **{what: level})
