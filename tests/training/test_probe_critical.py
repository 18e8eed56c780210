"""Both sides of the critical sample ratio, where the truth can be written down."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from byheart.networks.mlp import ReplicatedMLP
from byheart.training.examples import Examples
from byheart.training.probe_critical import measure_critical
from byheart.trial import CriticalProbe

N, INPUTS, CLASSES = 40, 6, 3
RADII = (0.01, 0.04, 0.2)


def examples(replicas: int = 2) -> Examples:
    pool = torch.rand(N, INPUTS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rows = torch.arange(N).expand(replicas, N)
    return Examples(pool, (INPUTS,), rows, rows, rows.bool(), rows, rows)


def probe(**changes: object) -> CriticalProbe:
    facts: dict[str, object] = {
        "epochs": (1, 2, 3), "radii": RADII, "train_radii": (0.04,), "examples": N,
        "max_steps": 30, "certify_epochs": (2, 3), "certify_radii": (0.04,),
        "certify_examples": N,
    }  # fmt: skip
    return CriticalProbe.model_validate(facts | changes)


def network(*hidden: int) -> ReplicatedMLP:
    sizes = (INPUTS, *hidden, CLASSES)
    return ReplicatedMLP.initialised(sizes, [0, 1], dtype=torch.float64)


def critical_by_hand(pack: ReplicatedMLP, radius: float) -> Tensor:
    """Return which examples of a linear classifier are critical: margins shrink by r |w|_1."""
    weight, x = pack.weights[0], examples().pool
    scores = pack(x)
    own = scores.argmax(-1)
    apart = weight.mT.unsqueeze(1) - weight.mT.unsqueeze(2)
    margins = scores.gather(-1, own[..., None]) - scores
    reach = radius * apart.abs().sum(-1)
    reach = torch.stack([one[index] for one, index in zip(reach, own, strict=True)])
    return (margins.scatter(-1, own[..., None], float("inf")) <= reach).any(-1)


def test_the_upper_bound_of_a_linear_classifier_is_the_truth() -> None:
    pack = network()
    found = measure_critical(probe(), 3, pack, examples())
    truth = torch.stack([critical_by_hand(pack, r).double().mean(1) for r in RADII], 1).numpy()
    assert 0 < truth.mean() < 1
    np.testing.assert_allclose(found["validation_upper"], truth)
    assert (found["validation"] <= truth).all()
    np.testing.assert_allclose(found["validation"], truth, atol=1.5 / N)


def test_the_upper_bound_is_never_below_the_lower_and_grows_with_the_radius() -> None:
    found = measure_critical(probe(), 3, network(16, 16), examples())
    lower, upper = found["validation"], found["validation_upper"]
    assert (upper >= lower).all()
    assert (np.diff(upper, axis=1) >= 0).all()
    assert (found["train_upper"] >= found["train"]).all()


def test_only_the_last_checkpoint_is_certified_at_every_radius() -> None:
    first, second, last = (
        np.isnan(measure_critical(probe(), epoch, network(8), examples())["validation_upper"])
        for epoch in (1, 2, 3)
    )
    assert first.all()
    assert second.tolist() == [[True, False, True]] * 2
    assert not last.any()


def test_a_probe_without_certificate_measures_what_it_did() -> None:
    plain = probe(certify_epochs=(), certify_radii=(), certify_examples=0)
    assert set(measure_critical(plain, 3, network(8), examples())) == {
        "validation", "train", "success", "control"
    }  # fmt: skip


def test_some_examples_stand_for_all_in_the_width_of_the_bracket() -> None:
    pack = network(16, 16)
    full = measure_critical(probe(), 3, pack, examples())
    some = measure_critical(probe(certify_examples=10), 3, pack, examples())
    np.testing.assert_array_equal(some["validation"], full["validation"])
    # At the largest radius the bound is cut at 1.
    width = (some["validation_upper"] - some["validation"])[:, :2] * 10
    np.testing.assert_allclose(width, width.round(), atol=1e-9)


class Unproved:
    """Replicas with a layer that the certificate does not know."""

    def __init__(self, pack: ReplicatedMLP) -> None:
        self.pack, self.replicas = pack, pack.replicas

    def __call__(self, x: Tensor) -> Tensor:
        return self.pack(x)

    def select(self, replicas: Tensor) -> "Unproved":
        return Unproved(self.pack.select(replicas))

    def finite(self) -> Tensor:
        return self.pack.finite()

    def module(self, replica: int) -> nn.Module:
        return nn.Sequential(*self.pack.module(replica), nn.Softmax(1)).eval()


def test_a_layer_without_certificate_is_named_and_bounds_nothing() -> None:
    found = measure_critical(probe(), 3, Unproved(network(8)), examples())
    assert (found["validation_upper"] == 1).all()
    assert (found["train_upper"] == 1).all()
    name = bytes(found["uncertified_layer"][0].tolist()).decode()
    assert name == "4 (Softmax)"


def test_as_many_examples_are_certified_as_are_searched_at_most() -> None:
    with pytest.raises(ValueError, match="no more than examples"):
        probe(certify_examples=N + 1)
