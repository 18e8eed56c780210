"""Optimizers and schedules of a pack, against PyTorch's own, one replica at a time in float64."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.optim import lr_scheduler

from byheart.training.optimizers import learning_rates, make_optimizer
from byheart.trial import MLP, Algorithm

EPOCHS, STEPS = 6, 3
SCHEDULES = {
    "constant": {},
    "cosine": {"cosine": True},
    "step": {"decay_every": 2, "decay": 0.3},
    "warm-up": {"cosine": True, "warm_up": 2},
}


def algorithm(**facts: object) -> Algorithm:
    return Algorithm(
        network=MLP(hidden=()), batch_size=4, epochs=EPOCHS, **({"learning_rate": 0.1} | facts)
    )


def in_pytorch(one: Algorithm, start: Tensor, gradients: Tensor) -> Tensor:
    """Return the parameters that PyTorch's optimizer and schedulers give."""
    parameter = start.clone().requires_grad_(True)
    decay = {"weight_decay": one.weight_decay}
    optimizer = (
        torch.optim.SGD([parameter], one.learning_rate, one.momentum, **decay)
        if one.optimizer == "sgd"
        else torch.optim.AdamW([parameter], one.learning_rate, **decay)
    )
    schedule: lr_scheduler.LRScheduler
    if one.cosine:
        schedule = lr_scheduler.CosineAnnealingLR(optimizer, one.epochs - one.warm_up)
    else:
        schedule = lr_scheduler.StepLR(optimizer, one.decay_every or EPOCHS, one.decay)
    if one.warm_up:
        rising = lr_scheduler.LinearLR(optimizer, 1 / (one.warm_up + 1), 1.0, one.warm_up)
        schedule = lr_scheduler.SequentialLR(optimizer, [rising, schedule], [one.warm_up])
    for epoch in gradients:
        for gradient in epoch:
            parameter.grad = gradient.clone()
            optimizer.step()
        schedule.step()
    return parameter.detach()


@pytest.mark.filterwarnings("ignore:The epoch parameter in")
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_every_replica_moves_as_pytorchs_optimizer_moves_it(optimizer: str, schedule: str) -> None:
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(2, 5, 3, generator=draw, dtype=torch.float64)
    gradients = torch.randn(EPOCHS, STEPS, 2, 5, 3, generator=draw, dtype=torch.float64)
    facts = SCHEDULES[schedule] | {"optimizer": optimizer}
    momenta = (0.9, 0.0) if optimizer == "sgd" else (0.0, 0.0)
    both = [
        algorithm(learning_rate=0.1, weight_decay=0.2, momentum=momenta[0], **facts),
        algorithm(learning_rate=0.03, weight_decay=0.0, momentum=momenta[1], **facts),
    ]
    for algorithms in (both, both[:1] * 2):
        parameters = start.clone()
        pack = make_optimizer([parameters], algorithms)
        for epoch, of_epoch in enumerate(gradients):
            pack.start_epoch(epoch)
            for gradient in of_epoch:
                pack.update([gradient.clone()])
        for r, one in enumerate(algorithms):
            torch.testing.assert_close(parameters[r], in_pytorch(one, start[r], gradients[:, :, r]))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_replica_moves_on_as_before_when_others_have_left(optimizer: str) -> None:
    draw = torch.Generator().manual_seed(1)
    gradients = torch.randn(4, 3, 2, generator=draw, dtype=torch.float64)
    facts = {"optimizer": optimizer, "momentum": 0.9 if optimizer == "sgd" else 0.0}
    whole = torch.zeros(3, 2, dtype=torch.float64)
    optimizer_of_all = make_optimizer([whole], [algorithm(**facts)] * 3)
    for gradient in gradients[:2]:
        optimizer_of_all.update([gradient.clone()])
    left = whole[[2]].clone()
    rest = make_optimizer([left], [algorithm(**facts)])
    rest.continue_from(optimizer_of_all, torch.tensor([2]))
    for gradient in gradients[2:]:
        optimizer_of_all.update([gradient.clone()])
        rest.update([gradient[[2]].clone()])
    torch.testing.assert_close(left[0], whole[2], rtol=0, atol=0)


def test_a_cosine_falls_to_almost_nothing_and_a_warm_up_rises_to_the_whole_rate() -> None:
    cosine = algorithm(cosine=True, warm_up=2)
    rates = [learning_rates([cosine], epoch)[0] for epoch in range(EPOCHS)]
    assert rates[:3] == pytest.approx([0.1 / 3, 0.2 / 3, 0.1])
    assert rates[-1] == pytest.approx(0.05 * (1 + math.cos(3 * math.pi / 4)))


def test_facts_that_older_trials_did_not_have_are_in_the_key_only_where_used() -> None:
    assert "optimizer" not in algorithm().model_dump()
    assert "cosine" not in algorithm(optimizer="adamw").model_dump(mode="json")
    assert algorithm(optimizer="adamw").model_dump()["optimizer"] == "adamw"
