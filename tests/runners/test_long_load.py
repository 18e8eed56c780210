"""A result costs the driver the same however many came before: counted, not timed."""

import gc
import tracemalloc

import pytest
from tests.runners.examples import a_pack
from tests.store.examples import a_record, a_trial

from byheart.runners.processes import ProcessesRunner
from byheart.runners.progress import PlainProgress
from byheart.runners.timeleft import TimeLeft
from byheart.store import Store

TRAIN = "tests.runners.trainers:train"


class Added(float):
    """A number that counts how often it is added to another."""

    times = 0

    def __add__(self, other):
        Added.times += 1
        return Added(float(self) + float(other))

    __radd__ = __add__


@pytest.mark.parametrize("packs", [10, 1000])
def test_the_time_left_is_asked_for_at_the_same_cost_among_many_packs(packs):
    planned = [a_pack(seed) for seed in range(packs)]
    left = TimeLeft()
    left.plan({pack.key: Added(1.0) for pack in planned})
    for pack in planned[:-1]:
        left.finish(pack)
    left.start(planned[-1])
    Added.times = 0
    left.advance(planned[-1], 1, 2)
    assert left.share() == pytest.approx((packs - 0.5) / packs)
    assert Added.times <= 2


def test_storing_a_result_takes_the_same_statements_however_many_are_stored(tmp_path):
    with Store.open(tmp_path) as store:
        told = []
        store._connection.set_trace_callback(told.append)
        counts = []
        for seed in range(200):
            told.clear()
            store.add([a_record(a_trial(seed))])
            counts.append(len(told))
    assert len(set(counts)) == 1


@pytest.mark.slow
def test_the_driver_keeps_next_to_nothing_of_a_result_that_it_handed_on(dataset, log, tmp_path):
    """Of each pack a key and a cost stay, for the time left: no records and no arrays."""
    packs = [a_pack(seed) for seed in range(300)]
    runner, held = ProcessesRunner(2, train=TRAIN), []
    with (tmp_path / "said").open("w", encoding="utf-8") as stream:
        progress = PlainProgress(stream)
        tracemalloc.start()
        for number, result in enumerate(
            runner.run(packs, dataset, device="cpu", progress=progress), 1
        ):
            del result
            if number % 100 == 0:
                gc.collect()
                held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
    assert len(held) == 3
    assert (held[2] - held[1]) / 100 < 400
