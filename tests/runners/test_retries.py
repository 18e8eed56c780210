"""What is tried again after which fault: a lost node costs time, what does not fit is cut."""

from dataclasses import replace

import pytest
from tests.runners.examples import a_pack

from byheart.runners.needs import PROCESS, Needs, halves, needs_of, side_by_side
from byheart.runners.retries import LOSSES, Part, again, fitted, ran_out_of_memory, reason_of

NEED = Needs(1.0, 0.0, 1000.0)


def a_part(size=4):
    pack = a_pack(0, size=size)
    return Part(pack, pack, NEED)


def test_a_lost_node_is_no_fault_of_the_pack():
    part = a_part()
    for _ in range(LOSSES - 1):
        (part,) = again(part, "node")
        assert (part.pack, part.deaths, part.split) == (part.whole, 0, False)
    assert again(part, "node") == ()
    assert reason_of(part, "node") == f"its node was lost {LOSSES} times"


def test_a_pack_that_does_not_fit_is_cut_once_and_its_halves_get_the_memory_of_the_whole():
    part = a_part(size=5)
    first, second = again(part, "memory")
    assert first.pack.trials + second.pack.trials == part.pack.trials
    assert first.whole == second.whole == part.pack
    assert first.need == second.need == NEED
    assert again(first, "memory") == again(second, "process") == ()
    assert "neither whole nor in halves" in reason_of(first, "memory")


def test_a_lone_trial_that_does_not_fit_gets_twice_the_memory_once():
    (bigger,) = again(a_part(size=1), "memory")
    assert bigger.pack == bigger.whole
    assert bigger.need == replace(NEED, memory=2000.0)
    assert again(bigger, "memory") == ()


def test_a_process_that_dies_is_replaced_once_and_then_its_pack_is_cut():
    (whole,) = again(a_part(), "process")
    assert whole.pack == whole.whole
    halved = again(whole, "process")
    assert [len(part.pack.trials) for part in halved] == [2, 2]
    assert again(halved[0], "process") == ()
    assert reason_of(halved[0], "process").startswith("its worker died 3 times")
    assert again(halved[0], "node") != ()


def test_a_pack_that_hangs_is_tried_once_more_whole():
    (whole,) = again(a_part(), "hang")
    assert (whole.pack, whole.hangs, whole.deaths, whole.split) == (whole.whole, 1, 0, False)
    assert again(whole, "hang") == ()
    assert reason_of(whole, "hang", "no epoch") == "it hung 2 times: no epoch"


def test_a_pack_larger_than_every_node_is_cut_before_it_is_tried():
    nodes = [Needs(4.0, 0.0, 600.0), Needs(4.0, 0.0, 800.0)]
    first, second = fitted(a_part(), nodes)
    assert first.need.memory == second.need.memory == 800.0
    assert fitted(first, nodes) == (first,)
    assert fitted(a_part(), [Needs(1.0, 0.0, 1000.0)]) == (a_part(),)
    assert fitted(a_part(), []) == (a_part(),), "of a cluster without nodes yet nothing is known"


@pytest.mark.parametrize(
    "reason",
    [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB (engine.py:10)",
        "RuntimeError: [enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory",
        "MemoryError (engine.py:10)",
    ],
)
def test_libraries_say_in_many_ways_that_there_was_no_memory(reason):
    assert ran_out_of_memory(reason)
    assert not ran_out_of_memory("RuntimeError: the loss went away")


def test_room_is_bounded_by_cores_gpus_and_memory():
    node = Needs(8.0, 2.0, 10_000.0)
    assert side_by_side([node], Needs(1.0, 0.0, 1000.0)) == 8
    assert side_by_side([node], Needs(1.0, 0.0, 4000.0)) == 2
    assert side_by_side([node, node], Needs(1.0, 1 / 3, 1000.0)) == 12
    assert side_by_side([node], Needs(16.0, 0.0, 1000.0)) == 0


def test_needs_come_from_the_plan(dataset):
    cpu = needs_of(a_pack(0), dataset, threads=1)
    assert (cpu.cpus, cpu.gpus) == (1.0, 0.0)
    assert PROCESS < cpu.memory < PROCESS + 2**26
    assert needs_of(a_pack(0, hidden=512), dataset, threads=1).memory > cpu.memory
    assert needs_of(a_pack(0), dataset, threads=2, gpu_bytes=80 * 2**30).gpus == 1 / 8
    assert needs_of(a_pack(0), dataset, threads=2, gpu_bytes=2 * 2**30).gpus == 1 / 3
    assert needs_of(a_pack(0), dataset, threads=2, gpu_bytes=2**20).gpus == 1.0


def test_halves_of_a_pack():
    assert halves(a_pack(0, size=1)) == (a_pack(0, size=1),)
    assert [len(half.trials) for half in halves(a_pack(0, size=3))] == [1, 2]
