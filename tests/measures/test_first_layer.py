"""The energy of filters in low frequencies: definition, known values and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.reference import first_layer as slow

from byheart.measures.first_layer import (
    low_frequencies,
    low_frequency_energy,
    network_low_frequency_energy,
)

KERNELS = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 3), st.sampled_from([1, 3, 4, 5, 7])).map(
        lambda s: (s[0], s[1], s[1])
    ),
    elements=st.floats(-1, 1).map(lambda v: round(v, 3)),
).filter(lambda kernels: np.abs(kernels).max() > 0.01)


@given(KERNELS)
def test_it_is_what_the_definition_sums_up(kernels: np.ndarray) -> None:
    assert low_frequency_energy(kernels) == pytest.approx(
        slow.low_frequency_energy(kernels), abs=1e-12
    )


@given(KERNELS, st.floats(0.01, 100), st.booleans())
def test_neither_scale_nor_sign_nor_a_mirror_changes_it(
    kernels: np.ndarray, scale: float, mirror: bool
) -> None:
    other = -scale * (kernels[..., ::-1] if mirror else kernels.swapaxes(1, 2))
    assert low_frequency_energy(other) == pytest.approx(low_frequency_energy(kernels), abs=1e-9)


@pytest.mark.parametrize(("side", "count"), [(1, 1), (3, 1), (5, 5), (7, 9), (9, 21)])
def test_low_is_up_to_a_quarter_of_a_cycle_per_pixel(side: int, count: int) -> None:
    assert low_frequencies(side).sum() == count


def test_a_constant_is_all_low_and_a_chequerboard_not_at_all() -> None:
    i, j = np.indices((5, 5))
    assert low_frequency_energy(np.ones((2, 5, 5))) == pytest.approx(1)
    assert low_frequency_energy((np.cos(2 * np.pi * i / 5))[None]) == pytest.approx(1)
    assert low_frequency_energy((np.cos(4 * np.pi * (i + j) / 5))[None]) == pytest.approx(0)


def test_independent_weights_give_the_share_of_low_frequencies() -> None:
    rng = np.random.default_rng(0)
    means = network_low_frequency_energy(rng.uniform(-1, 1, (3, 4000, 1, 5, 5)))
    np.testing.assert_allclose(means, 5 / 25, atol=0.006)


def test_every_filter_counts_alike_however_large() -> None:
    chequers = np.cos(4 * np.pi * np.indices((5, 5)).sum(0) / 5)
    filters = np.stack([100 * np.ones((1, 5, 5)), chequers[None]])
    assert network_low_frequency_energy(filters) == pytest.approx(0.5)


def test_a_filter_of_zeros_has_no_share_and_is_left_out_of_the_mean() -> None:
    filters = np.stack([np.ones((1, 3, 3)), np.zeros((1, 3, 3))])
    assert np.isnan(low_frequency_energy(filters)).tolist() == [False, True]
    assert network_low_frequency_energy(filters) == pytest.approx(1)
    assert np.isnan(network_low_frequency_energy(np.zeros((2, 4, 1, 3, 3)))).all()


@pytest.mark.parametrize("shape", [(5, 5), (1, 3, 5), (2, 0, 3, 3)])
def test_what_holds_no_square_kernels_is_an_error(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"needs filters \[\.\.\., channels, k, k\]"):
        low_frequency_energy(np.ones(shape))
