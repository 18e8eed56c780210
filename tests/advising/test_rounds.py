"""The rounds: what is recommended is judged on seeds that had no part in choosing it."""

from __future__ import annotations

import numpy as np
import pytest
from tests.advising.simulated import KINDS, Simulated, menu_of

from byheart.advising.arms import Arm
from byheart.advising.effects import assess, effect_of
from byheart.advising.plans import FixedPlan, Sizes
from byheart.advising.rounds import AdviceRounds
from byheart.advising.trainings import Trainings

SIZES = Sizes(2, 5, 8)
GRID = (0.1, 0.2, 0.3, 0.4)


def rounds(truth, *, seed=0, spread=0.02, margin=0.01):
    menu = menu_of(dict.fromkeys({arm.kind: None for arm in truth}, GRID))
    return runner(Simulated(truth, spread=spread), menu, seed=seed, margin=margin).run()


def runner(trainer, menu, *, seed=0, margin=0.01) -> AdviceRounds:
    return AdviceRounds(
        trainer, Trainings(trainer), menu, FixedPlan(SIZES), margin=margin, seed=seed
    )


def alike(drop: float, gain: float):
    return {Arm(kind, s): (drop, gain) for kind in KINDS for s in GRID}


def test_the_confirmed_interval_covers_the_truth_though_sixty_arms_are_alike() -> None:
    truth, covered, confirmed, chosen, fresh = alike(0.1, 0.0), 0, 0, [], []
    for seed in range(50):
        found = rounds(truth, seed=seed, margin=0.03)
        if not found.confirmed:
            continue
        gain, drop = effect_of(found.confirmed[-1])
        confirmed += 1
        covered += (gain.low <= 0.0 <= gain.high) + (drop.low <= 0.1 <= drop.high)
        chosen.append(max(float(effect.drop.mean()) for effect in found.compared))
        fresh.append(drop.value)
    assert confirmed >= 40
    # 90% intervals: of 100, 82 or fewer cover by chance less than once in a hundred times.
    assert covered / (2 * confirmed) >= 0.85
    # The largest drop of those compared, which looks good by luck as well, would not do.
    assert np.mean(chosen) > 0.11
    assert np.mean(fresh) == pytest.approx(0.1, abs=0.003)


def test_a_regularizer_that_does_nothing_is_seldom_recommended() -> None:
    wrong = 0
    for seed in range(50):
        found = rounds(alike(0.0, 0.0), seed=seed, margin=0.03)
        wrong += found.recommended(0.03) is not None
    assert wrong <= 6


def test_the_strength_that_takes_most_and_costs_nothing_is_found() -> None:
    kind, other = KINDS[:2]
    truth = {Arm(kind, s): (s, 0.0 if s < 0.35 else -0.2) for s in GRID}
    truth |= {Arm(other, s): (0.05, 0.0) for s in GRID}
    found = rounds(truth, spread=0.003)
    one = found.recommended(0.01)
    assert one is not None
    assert one.arm == Arm(kind, 0.3)


def test_the_more_accurate_is_taken_before_what_memorizes_least() -> None:
    kind, other = KINDS[:2]
    truth = {Arm(kind, s): (0.6, 0.0) for s in GRID} | {Arm(other, s): (0.4, 0.1) for s in GRID}
    found = rounds(truth, spread=0.003)
    one = found.recommended(0.01)
    assert one is not None
    assert one.arm.kind is other


def test_where_everything_costs_too_much_nothing_is_confirmed() -> None:
    found = rounds(alike(0.5, -0.1))
    assert not found.confirmed
    assert {assess(one, 0.01) for one in found.compared} == {"costs"}


def test_no_seed_serves_two_rounds() -> None:
    trainer = Simulated({Arm(KINDS[0], s): (0.3, 0.0) for s in GRID}, spread=0.003)
    own = runner(trainer, menu_of({KINDS[0]: GRID}))
    found = own.run()
    assert len({seed for _, seed in own.outcomes.curves}) == 2 * 2 + 5 + 8
    assert [found.sizes.explore, found.sizes.compare, found.sizes.confirm] == [2, 5, 8]


def test_a_training_that_diverged_is_not_chosen_and_is_said() -> None:
    truth = {Arm(KINDS[0], s): (np.nan, np.nan) if s > 0.15 else (0.3, 0.0) for s in GRID}
    truth |= {Arm(KINDS[1], s): (np.nan, np.nan) for s in GRID}
    found = rounds(truth, spread=0.003)
    one = found.recommended(0.01)
    assert one is not None
    assert one.arm == Arm(KINDS[0], 0.1)
    assert assess(found.compared[-1], 0.01) == "diverged"
