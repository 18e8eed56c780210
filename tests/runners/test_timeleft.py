"""The time left weighs packs by what they cost."""

import pytest
from tests.runners.examples import a_pack

from byheart.runners.timeleft import TimeLeft, in_words


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def planned(clock, *costs):
    packs = [a_pack(seed) for seed in range(len(costs))]
    left = TimeLeft(clock)
    left.plan({pack.key: cost for pack, cost in zip(packs, costs, strict=True)})
    return left, packs


def test_it_is_unknown_before_anything_was_trained(clock):
    left, (pack,) = planned(clock, 1.0)
    left.start(pack)
    assert left.overall() is None
    assert left.of(pack) is None
    assert left.share() == 0.0


def test_a_costly_pack_counts_for_more(clock):
    left, (short, long) = planned(clock, 1.0, 9.0)
    left.start(short)
    clock.now = 2.0
    left.finish(short)
    assert left.share() == pytest.approx(0.1)
    assert left.overall() == pytest.approx(18.0)
    assert (left.done, left.planned) == (1, 2)
    left.start(long)
    clock.now = 11.0
    left.advance(long, 50, 100)
    assert left.share() == pytest.approx(0.55)
    assert left.overall() == pytest.approx(9.0)


def test_it_is_never_shorter_than_the_slowest_running_pack(clock):
    left, (short, long) = planned(clock, 5.0, 5.0)
    left.start(short)
    left.start(long)
    clock.now = 10.0
    left.finish(short)
    left.advance(long, 10, 100)
    assert left.of(long) == pytest.approx(90.0)
    assert left.overall() == pytest.approx(90.0)


def test_a_pack_that_starts_again_starts_from_nothing(clock):
    left, (pack,) = planned(clock, 1.0)
    left.start(pack)
    left.advance(pack, 50, 100)
    left.start(pack)
    assert left.share() == 0.0


def test_all_done_leaves_nothing(clock):
    left, (pack,) = planned(clock, 1.0)
    left.start(pack)
    clock.now = 1.0
    left.finish(pack)
    assert left.overall() == 0.0
    assert TimeLeft(clock).share() == 1.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")],
)
def test_durations_read_well(seconds, words):
    assert in_words(seconds) == words


def test_rounds_to_come_count_as_work_that_is_left_and_those_done_as_done(clock):
    left, (first,) = planned(clock, 1.0)
    left.predict({}, 3.0, 1)
    left.start(first)
    clock.now = 2.0
    left.finish(first)
    assert left.share() == pytest.approx(0.25)
    assert left.overall() == pytest.approx(6.0)
    left.predict({}, 0.0, 1)
    second = a_pack(7)
    left.plan({second.key: 1.0})
    assert (left.done, left.planned) == (1, 2)
    assert left.share() == pytest.approx(0.5)
    assert left.overall() == pytest.approx(2.0)


def test_the_prediction_holds_until_a_twentieth_of_the_work_is_done(clock):
    packs = [a_pack(seed) for seed in range(3)]
    left = TimeLeft(clock)
    left.predict({pack.key: 10.0 for pack in packs}, 6.0, 2)
    left.plan({pack.key: 1e9 for pack in packs})
    assert left.overall() == 18.0
    left.start(packs[0])
    clock.now += 20.0
    left.advance(packs[0], 10, 100)
    assert left.overall() == pytest.approx((36 - 1) / 2)
    left.finish(packs[0])
    assert left.overall() == pytest.approx(20.0 * 26 / 10)
