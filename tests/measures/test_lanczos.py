from __future__ import annotations

import pytest
import torch

from byheart.measures.lanczos import RitzPair, dominant, length


def on(
    values: torch.Tensor, *, tolerance: float = 1e-8, max_iterations: int = 500, width: int = 48
) -> RitzPair:
    """Run on the diagonal matrix of these eigenvalues."""
    start = torch.randn(
        len(values), generator=torch.Generator().manual_seed(1), dtype=torch.float64
    )

    return dominant(
        lambda v: values * v,
        start,
        tolerance=tolerance,
        max_iterations=max_iterations,
        width=width,
    )


def spectrum(*extra: float, size: int = 300) -> torch.Tensor:
    bulk = torch.linspace(-0.5, 0.5, size, dtype=torch.float64)
    return torch.cat([bulk, torch.tensor(extra, dtype=torch.float64)])


@pytest.mark.parametrize("outliers", [(2.0,), (-2.0,), (1.0, -1.001), (1.001, -1.0), (0.6, 0.599)])
@pytest.mark.parametrize("width", [4, 12, 48])
def test_the_eigenvalue_of_largest_magnitude_is_found_with_few_vectors_too(
    outliers: tuple[float, ...], width: int
) -> None:
    found = on(spectrum(*outliers), width=width, max_iterations=5000)
    assert found.value == pytest.approx(max(outliers, key=abs), rel=1e-10)


@pytest.mark.parametrize("tolerance", [0.1, 0.02])
def test_a_loose_tolerance_does_not_mistake_one_end_of_the_spectrum_for_the_other(
    tolerance: float,
) -> None:
    found = on(spectrum(1.0, -1.2), tolerance=tolerance)
    assert found.value == pytest.approx(-1.2, rel=tolerance)


def test_an_invariant_space_ends_the_search_with_the_exact_value() -> None:
    values = torch.zeros(50, dtype=torch.float64)
    values[:3] = torch.tensor([1.0, -3.0, 2.0])
    found = on(values, tolerance=1e-15)
    assert found.value == pytest.approx(-3.0, rel=1e-13)
    assert found.iterations <= 5


@pytest.mark.parametrize("size", [1, 2, 3])
def test_fewer_dimensions_than_iterations_give_the_exact_value(size: int) -> None:
    found = on(torch.arange(1.0, size + 1, dtype=torch.float64), tolerance=1e-15)
    assert found.value == pytest.approx(size, rel=1e-13)
    assert found.iterations <= size


def test_the_zero_operator_has_the_eigenvalue_zero_after_one_product() -> None:
    found = on(torch.zeros(10, dtype=torch.float64))
    assert (found.value, found.iterations) == (0.0, 1)


def test_a_multiple_of_the_identity_is_settled_by_one_product() -> None:
    found = on(torch.full((10,), -4.0, dtype=torch.float64))
    assert found.value == pytest.approx(-4.0)
    assert found.iterations == 1


def test_the_limit_on_products_is_kept() -> None:
    calls = []
    values = torch.linspace(0, 1, 400, dtype=torch.float64)
    start = torch.ones(400, dtype=torch.float64)

    def product(vector: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return values * vector

    found = dominant(product, start, tolerance=1e-12, max_iterations=7)
    assert len(calls) == found.iterations == 7


def test_the_length_of_a_tiny_vector_does_not_underflow() -> None:
    assert length(torch.tensor([3e-30, 4e-30])) == pytest.approx(5e-30)
    assert length(torch.zeros(3)) == 0.0
