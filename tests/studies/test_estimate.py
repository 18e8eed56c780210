"""What a study would take: sums over shapes."""

import pytest

from byheart.studies.estimate import estimate
from byheart.studies.request import make_request
from byheart.studies.session import missing_packs
from byheart.training import cost
from byheart.training.cost import flops


def test_shares_add_up_to_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "training_speed", lambda *_, **__: 2e9)
    request = make_request(["capacity-data", "randx-binomial"], seeds=2)
    trials = request.trials
    packs = missing_packs(trials, {trial.key for trial in trials}, request.setting)
    shares = estimate(packs, request.setting.data)
    assert sum(share.trials for share in shares) == len(trials)
    assert sum(share.packs for share in shares) == len(packs)
    total = sum(flops(trial, (8, 8), 10) for trial in trials)
    assert sum(share.flops for share in shares) == pytest.approx(total)
    assert sum(share.seconds for share in shares) == pytest.approx(total / 2e9)
    assert shares == sorted(shares, key=lambda share: -share.seconds)


def test_no_packs_take_nothing() -> None:
    assert estimate([], make_request(["randx-binomial"]).setting.data) == []
