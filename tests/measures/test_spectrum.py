from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.measures.networks import convnet, data, mlp
from tests.reference.hessian import dense_hessian

import byheart
from byheart.errors import InputError

CASES = {
    "ReLU": (lambda: mlp(), (5,)),
    "convolution, batch norm in eval mode, dropout": (convnet, (1, 6, 6)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_trace_is_that_of_the_dense_hessian(case: str) -> None:
    build, shape = CASES[case]
    model, (x, y) = build(), data(40, *shape)
    exact = float(dense_hessian(model.eval(), x, y).trace())
    parameters = sum(p.numel() for p in model.parameters())
    whole = byheart.hessian_trace(model, x, y, products=3 * parameters, batch_size=16)
    assert whole.trace == pytest.approx(exact, rel=1e-9)
    assert whole.standard_error == 0
    estimates = [byheart.hessian_trace(model, x, y, products=30, seed=s) for s in range(20)]
    misses = [abs(e.trace - exact) / max(e.standard_error, 1e-12) for e in estimates]
    assert np.median(misses) < 2
    assert np.mean([e.trace for e in estimates]) == pytest.approx(exact, rel=0.05)
    assert {e.products for e in estimates} == {30}


def test_hutch_plus_plus_errs_less_than_hutchinsons_estimate_of_the_same_products() -> None:
    model, (x, y) = mlp(), data(40, 5)
    matrix = dense_hessian(model, x, y)
    exact = float(matrix.trace())
    ours, plain = [], []
    for seed in range(40):
        ours.append(byheart.hessian_trace(model, x, y, products=30, seed=seed).trace - exact)
        signs = torch.randint(
            0, 2, (30, len(matrix)), generator=torch.Generator().manual_seed(seed)
        )
        vectors = 2.0 * signs.double() - 1
        plain.append(float(((vectors @ matrix) * vectors).sum(1).mean()) - exact)
    assert np.std(ours) < np.std(plain) / 2


@pytest.mark.parametrize("case", CASES)
def test_the_moments_of_the_density_are_those_of_the_spectrum(case: str) -> None:
    build, shape = CASES[case]
    model, (x, y) = build(), data(40, *shape)
    values = torch.linalg.eigvalsh(dense_hessian(model.eval(), x, y)).numpy()
    density = byheart.hessian_density(model, x, y, vectors=200, steps=12)
    assert density.parameters == len(values)
    assert density.weights.sum(axis=1) == pytest.approx(1.0)
    for power in (1, 2):
        forms = (density.weights * density.eigenvalues**power).sum(axis=1)
        error = forms.std(ddof=1) / np.sqrt(len(forms))
        assert abs(forms.mean() - np.mean(values**power)) < 4 * error
    assert density.eigenvalues.max() == pytest.approx(values.max(), rel=1e-3)


def test_the_density_integrates_to_one_and_peaks_where_the_eigenvalues_are() -> None:
    model, (x, y) = mlp(), data(40, 5)
    values = torch.linalg.eigvalsh(dense_hessian(model, x, y)).numpy()
    density = byheart.hessian_density(model, x, y, vectors=100, steps=len(values))
    grid = np.linspace(values.min() - 1, values.max() + 1, 20_001)
    width = 0.02
    bells = np.exp(-(((grid[:, None] - values) / width) ** 2) / 2)
    exact = bells.mean(axis=1) / (width * np.sqrt(2 * np.pi))
    smooth = density.at(grid, width)
    step = grid[1] - grid[0]
    assert smooth.sum() * step == pytest.approx(1.0, abs=1e-3)
    assert np.abs(smooth - exact).sum() * step < 0.2


def test_settings_out_of_range_are_refused() -> None:
    model, (x, y) = mlp(), data(10, 5)
    with pytest.raises(InputError, match="products must be 6 or more"):
        byheart.hessian_trace(model, x, y, products=3)
    with pytest.raises(InputError, match="steps 2 or more"):
        byheart.hessian_density(model, x, y, steps=1)
    with pytest.raises(InputError, match="width must be positive"):
        byheart.hessian_density(model, x, y, steps=4).at([0.0], width=0.0)
