"""What is tried again after which fault: a lost node costs time, what does not fit is cut."""

from dataclasses import replace

import pytest
from tests.runners.examples import a_pack

from byheart.runners.ray_cluster import PROCESS_BYTES, Resources, resources_of, tasks_at_once
from byheart.runners.ray_tasks import MOST_LOST_NODES, PackTask, ran_out_of_memory

NEED = Resources(1.0, 0.0, 1000.0)


def a_task(size=4):
    pack = a_pack(0, size=size)
    return PackTask(pack, pack, NEED)


def test_a_lost_node_is_no_fault_of_the_pack():
    task = a_task()
    for _ in range(MOST_LOST_NODES - 1):
        (task,) = task.retry("node")
        assert (task.pack, task.crashes, task.split) == (task.whole, 0, False)
    assert task.retry("node") == ()
    assert task.failure("node") == f"its node was lost {MOST_LOST_NODES} times"


def test_a_pack_that_does_not_fit_is_cut_once_and_its_halves_get_the_memory_of_the_whole():
    task = a_task(size=5)
    first, second = task.retry("memory")
    assert first.pack.trials + second.pack.trials == task.pack.trials
    assert first.whole == second.whole == task.pack
    assert first.resources == second.resources == NEED
    assert first.retry("memory") == second.retry("process") == ()
    assert "neither whole nor in halves" in first.failure("memory")


def test_a_lone_trial_that_does_not_fit_gets_twice_the_memory_once():
    (bigger,) = a_task(size=1).retry("memory")
    assert bigger.pack == bigger.whole
    assert bigger.resources == replace(NEED, memory=2000.0)
    assert bigger.retry("memory") == ()


def test_a_process_that_dies_is_replaced_once_and_then_its_pack_is_cut():
    (whole,) = a_task().retry("process")
    assert whole.pack == whole.whole
    halved = whole.retry("process")
    assert [len(task.pack.trials) for task in halved] == [2, 2]
    assert halved[0].retry("process") == ()
    assert halved[0].failure("process").startswith("its worker died 3 times")
    assert halved[0].retry("node") != ()


def test_a_pack_that_hangs_is_tried_once_more_whole():
    (whole,) = a_task().retry("hang")
    assert (whole.pack, whole.hangs, whole.crashes, whole.split) == (whole.whole, 1, 0, False)
    assert whole.retry("hang") == ()
    assert whole.failure("hang", "no epoch") == "it hung 2 times: no epoch"


def test_a_pack_larger_than_every_node_is_cut_before_it_is_tried():
    nodes = [Resources(4.0, 0.0, 600.0), Resources(4.0, 0.0, 800.0)]
    first, second = a_task().fit_to(nodes)
    assert first.resources.memory == second.resources.memory == 800.0
    assert first.fit_to(nodes) == (first,)
    assert a_task().fit_to([Resources(1.0, 0.0, 1000.0)]) == (a_task(),)
    assert a_task().fit_to([]) == (a_task(),), "of a cluster without nodes yet nothing is known"


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
    node = Resources(8.0, 2.0, 10_000.0)
    assert tasks_at_once([node], Resources(1.0, 0.0, 1000.0)) == 8
    assert tasks_at_once([node], Resources(1.0, 0.0, 4000.0)) == 2
    assert tasks_at_once([node, node], Resources(1.0, 1 / 3, 1000.0)) == 12
    assert tasks_at_once([node], Resources(16.0, 0.0, 1000.0)) == 0


def test_needs_come_from_the_plan(dataset):
    cpu = resources_of(a_pack(0), dataset, threads=1)
    assert (cpu.cpus, cpu.gpus) == (1.0, 0.0)
    assert PROCESS_BYTES < cpu.memory < PROCESS_BYTES + 2**26
    assert resources_of(a_pack(0, hidden=512), dataset, threads=1).memory > cpu.memory
    assert resources_of(a_pack(0), dataset, threads=2, gpu_bytes=80 * 2**30).gpus == 1 / 8
    assert resources_of(a_pack(0), dataset, threads=2, gpu_bytes=2 * 2**30).gpus == 1 / 3
    assert resources_of(a_pack(0), dataset, threads=2, gpu_bytes=2**20).gpus == 1.0
