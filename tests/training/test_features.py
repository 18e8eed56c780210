"""Features of a backbone, and the audit of a head on them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import byheart
from byheart.errors import InputError


@pytest.fixture(scope="module")
def digits() -> byheart.Dataset:
    return byheart.corrupt(byheart.load_dataset("digits", size=300), labels=0.1)


class Grid(nn.Module):
    """Returns features of every place, within a dict, and drops some in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 3), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"features": self.layers(x.view(-1, 1, *x.shape[-2:]))}


def test_features_are_those_of_the_backbone_averaged_over_places(digits) -> None:
    backbone = Grid()
    found = byheart.features(backbone, digits, batch_size=128)
    assert backbone.training
    wanted = backbone.layers[0](digits.x.unsqueeze(1)).mean((2, 3)).detach()
    wanted = (wanted - wanted.mean(0)) / wanted.std(0, correction=0)
    torch.testing.assert_close(found.x, wanted, rtol=1e-3, atol=1e-3)
    assert torch.equal(found.y, digits.y)
    assert torch.equal(found.clean_y, digits.clean_y)
    assert found.kind == "table"


def test_a_head_on_features_can_be_audited(digits, tmp_path) -> None:
    torch.manual_seed(0)
    found = byheart.features(nn.Sequential(nn.Flatten(), nn.Linear(64, 40), nn.ReLU()), digits)
    audit = byheart.audit(None, found, epochs=15, seeds=2, sensitivity=False)
    wrong = (digits.y != digits.clean_y).numpy()
    worst = audit.table["suspicion"].nlargest(int(wrong.sum())).index
    assert wrong[worst].mean() > 0.7
    assert "multilayer perceptron" in audit.to_html(tmp_path / "a.html").read_text("utf-8")


def test_images_are_resized_first(digits) -> None:
    seen = []

    class Sees(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.shape[1:])
            return x.flatten(2).mean(2).expand(-1, 2)

    byheart.features(Sees(), digits, resize=12, batch_size=200)
    assert set(seen) == {(1, 12, 12)}


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (nn.Linear(3, 2), r"the backbone does not take \[64, 8, 8\]: RuntimeError"),
        (lambda x: x, "backbone is a function: give a torch.nn.Module"),
        (nn.Sequential(nn.Flatten(0), nn.Flatten(0)), "it must return features"),
        (nn.Sequential(nn.Flatten(), nn.Threshold(2.0, float("nan"))), "NaN or infinite"),
    ],
)
def test_a_backbone_that_gives_no_features_is_one_line(digits, backbone, message: str) -> None:
    with pytest.raises(InputError, match=message):
        byheart.features(backbone, digits)
