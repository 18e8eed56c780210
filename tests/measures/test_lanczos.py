from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from byheart.measures.lanczos import dominant_pairs, lengths


class Diagonals:
    """Diagonal operators, which count their products."""

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self.products = 0

    def product(self, vectors: Tensor) -> Tensor:
        self.products += 1
        return self.values * vectors

    def select(self, replicas: Tensor) -> Diagonals:
        return Diagonals(self.values[replicas])


def search(
    values: Tensor, *, tolerance: float = 1e-8, max_iterations: int = 500, width: int = 48
) -> tuple[float, int]:
    """Return the eigenvalue found on one diagonal matrix, and the number of products."""
    start = torch.randn(
        1, len(values), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )
    pairs = dominant_pairs(
        Diagonals(values[None]),
        start,
        tolerance=tolerance,
        max_iterations=max_iterations,
        width=width,
    )
    return float(pairs.values[0]), int(pairs.iterations[0])


def spectrum(*extra: float, size: int = 300) -> Tensor:
    bulk = torch.linspace(-0.5, 0.5, size, dtype=torch.float64)
    return torch.cat([bulk, torch.tensor(extra, dtype=torch.float64)])


@pytest.mark.parametrize("outliers", [(2.0,), (-2.0,), (1.0, -1.001), (1.001, -1.0), (0.6, 0.599)])
@pytest.mark.parametrize("width", [4, 12, 48])
def test_the_eigenvalue_of_largest_magnitude_is_found_with_few_vectors_too(
    outliers: tuple[float, ...], width: int
) -> None:
    value, _ = search(spectrum(*outliers), width=width, max_iterations=5000)
    assert value == pytest.approx(max(outliers, key=abs), rel=1e-10)


@pytest.mark.parametrize("tolerance", [0.1, 0.02])
def test_a_loose_tolerance_does_not_mistake_one_end_of_the_spectrum_for_the_other(
    tolerance: float,
) -> None:
    value, _ = search(spectrum(1.0, -1.2), tolerance=tolerance)
    assert value == pytest.approx(-1.2, rel=tolerance)


def test_an_invariant_space_ends_the_search_with_the_exact_value() -> None:
    values = torch.zeros(50, dtype=torch.float64)
    values[:3] = torch.tensor([1.0, -3.0, 2.0])
    value, iterations = search(values, tolerance=1e-15)
    assert value == pytest.approx(-3.0, rel=1e-13)
    assert iterations <= 5


@pytest.mark.parametrize("size", [1, 2, 3])
def test_fewer_dimensions_than_iterations_give_the_exact_value(size: int) -> None:
    value, iterations = search(torch.arange(1.0, size + 1, dtype=torch.float64), tolerance=1e-15)
    assert value == pytest.approx(size, rel=1e-13)
    assert iterations <= size


def test_the_zero_operator_has_the_eigenvalue_zero_after_one_product() -> None:
    value, iterations = search(torch.zeros(10, dtype=torch.float64))
    assert (value, iterations) == (0.0, 1)


def test_a_multiple_of_the_identity_is_settled_by_one_product() -> None:
    value, iterations = search(torch.full((10,), -4.0, dtype=torch.float64))
    assert value == pytest.approx(-4.0)
    assert iterations == 1


def test_the_limit_on_products_is_kept() -> None:
    operators = Diagonals(torch.linspace(0, 1, 400, dtype=torch.float64)[None])
    start = torch.ones(1, 400, dtype=torch.float64)
    pairs = dominant_pairs(operators, start, tolerance=1e-12, max_iterations=7)
    assert operators.products == pairs.iterations[0] == 7


def test_the_length_of_a_tiny_vector_does_not_underflow() -> None:
    vectors = torch.tensor([[3e-30, 4e-30], [0.0, 0.0]])
    assert lengths(vectors).tolist() == [pytest.approx(5e-30), 0.0]


@pytest.mark.parametrize("width", [4, 48])
def test_operators_at_once_give_what_each_gives_alone(width: int) -> None:
    size = 120
    values = torch.zeros(6, size, dtype=torch.float64)
    values[0] = torch.linspace(-1.0, 0.9, size)
    values[1, :3] = torch.tensor([1.0, -3.0, 2.0])
    values[2] = 7.0
    values[4] = torch.nan
    values[5] = torch.linspace(0, 1, size) ** 3
    start = torch.randn(6, size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    options = {"tolerance": 1e-6, "max_iterations": 2000, "width": width}
    found = dominant_pairs(Diagonals(values), start, **options)
    for row in (0, 1, 2, 3, 5):
        single = dominant_pairs(Diagonals(values[row : row + 1]), start[row : row + 1], **options)
        assert found.values[row] == pytest.approx(single.values[0], rel=1e-9)
        assert found.iterations[row] == single.iterations[0]
        assert abs(float(found.vectors[row] @ single.vectors[0])) == pytest.approx(1.0, rel=1e-6)
    assert np.isnan(found.values[4])
    assert found.iterations[4] == 1
