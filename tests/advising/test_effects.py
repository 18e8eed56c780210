"""Intervals, verdicts and the front."""

from __future__ import annotations

import numpy as np
import pytest
from tests.advising.simulated import KINDS

from byheart.advising.arms import PLAIN, Arm
from byheart.advising.effects import Curves, Effect, Outcomes, assess, choose, front
from byheart.training.regularizers.updates import EarlyStopping

ARM = Arm(KINDS[0], 1.0)


def effect(drop, gain, *, arm=ARM, spread=0.0, n=6) -> Effect:
    noise = spread * np.resize([-1.0, 1.0], n)
    values = {"drop": drop + noise, "gain": gain + noise}
    return Effect(
        arm, memorized=0.8 - values["drop"], area=np.full(n, 0.5), accuracy=0.9 + values["gain"],
        trusted=np.full(n, np.nan), trusted_gain=np.full(n, np.nan), trained=1e-4, held_out=1e-4,
        **values,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("drop", "gain", "spread", "wanted"),
    [
        (0.3, 0.0, 0.001, "helps"),
        (0.0, 0.0, 0.001, "no effect"),
        (0.3, -0.05, 0.001, "costs"),
        (0.3, -0.01, 0.05, "unclear"),
        (np.nan, 0.0, 0.001, "diverged"),
        (0.3, 0.2, 0.001, "helps"),
    ],
)
def test_the_verdict_is_by_both_bounds(drop, gain, spread, wanted) -> None:
    assert assess(effect(drop, gain, spread=spread), 0.01) == wanted


def test_a_wider_margin_forgives_more() -> None:
    one = effect(0.3, -0.05, spread=0.001)
    assert assess(one, 0.1) == "helps"


def test_the_strongest_near_the_most_accurate_comes_first_and_diverged_last() -> None:
    arms = [Arm(KINDS[0], float(k)) for k in range(4)]
    effects = [
        effect(np.nan, np.nan, arm=arms[0]),
        effect(0.2, 0.05, arm=arms[1]),
        effect(0.3, 0.045, arm=arms[2]),
        effect(0.6, 0.0, arm=arms[3]),
    ]
    assert choose(effects, 0.01, 0.0) == [arms[2], arms[1], arms[3], arms[0]]


def test_nothing_on_the_front_is_dominated() -> None:
    plain = effect(0.0, 0.0, arm=PLAIN)
    effects = [
        plain,
        effect(0.2, 0.01, arm=Arm(KINDS[0], 1.0)),
        effect(0.2, -0.01, arm=Arm(KINDS[1], 1.0)),
        effect(0.5, -0.02, arm=Arm(KINDS[2], 1.0)),
    ]
    assert front(effects) == (effects[3].arm, effects[1].arm)


def test_stopping_early_is_plain_training_up_to_there() -> None:
    curve = np.array([0.2, 0.5, 0.9])
    outcomes = Outcomes((1, 3, 9), 80, 20)
    outcomes.curves.update({(PLAIN, 0): Curves(curve, curve, 1 - curve, curve)})
    own = outcomes.of(Arm(EarlyStopping, 3.0), 0)
    np.testing.assert_array_equal(own.random, [0.2, 0.5, 0.5])
    assert outcomes.effect(Arm(EarlyStopping, 3.0), [0]).drop == pytest.approx(0.4)
