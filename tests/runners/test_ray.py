"""On a real cluster of two nodes: the same bits, and nothing lost, whoever dies."""

import os
import signal
import subprocess
import sys

import pytest
from tests.runners import trainers
from tests.runners.examples import Hears, Listener, a_pack
from tests.runners.test_processes import alive, until
from tests.studies.tiny import run as run_study
from tests.studies.tiny import without_timings

from byheart.errors import InputError
from byheart.runners import ray_cluster, ray_tasks
from byheart.runners.base import InlineRunner, Progress
from byheart.runners.ray import RayRunner
from byheart.runners.ray_cluster import Resources
from byheart.runners.ray_tasks import RunningTasks
from byheart.store import Store

TRAIN = "tests.runners.trainers:train"


@pytest.fixture(scope="module")
def log_file(tmp_path_factory):
    """The file in which tasks note what they begin; nodes must know it when they start."""
    path = tmp_path_factory.mktemp("ray") / "trained.log"
    before = os.environ.get("TRAINED")
    os.environ["TRAINED"] = str(path)
    yield path
    os.environ.pop("TRAINED")
    if before is not None:
        os.environ["TRAINED"] = before


@pytest.fixture(scope="module")
def cluster(log_file):
    """Two nodes of one core each, and this process connected to them as a driver."""
    ray_cluster.require_ray()
    import ray
    from ray.cluster_utils import Cluster

    # Small stores: the memory that is left is for the nodes' "memory", which packs ask for.
    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=size)
    made.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    try:
        ray_cluster.connect(made.address, 1)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def log(log_file, cluster, monkeypatch):
    log_file.write_text("")
    monkeypatch.setenv("TRAINED", str(log_file))
    return log_file


def run(packs, dataset, *, workers=None, progress=None, train=TRAIN, hang_after=600.0):
    runner = RayRunner(workers=workers, train=train, hang_after=hang_after)
    return list(runner.run(packs, dataset, device="cpu", progress=progress or Progress()))


@pytest.fixture(scope="module")
def findings(tmp_path_factory):
    return without_timings(run_study(tmp_path_factory.mktemp("inline"), InlineRunner(1)).findings)


def test_ray_gives_the_same_bits_as_one_process(log, tmp_path, findings):
    result = run_study(tmp_path, RayRunner())
    assert without_timings(result.findings) == findings
    assert {record.threads for record in result.records.values()} == {1}
    assert result.facts.runner == "ray"
    # A finished study starts no task: it does not even look for a cluster.
    nowhere = RayRunner("nowhere.invalid:1", train="no.such:train")
    nowhere.doing = nowhere.run = lambda *a, **k: pytest.fail("a task was started")
    assert run_study(tmp_path, nowhere).trained == 0
    with Store.open(tmp_path, create=False) as store:
        assert store.verify() == []


class KillsANode(Progress):
    """Kills a node as a power cut would, once so many packs have ended."""

    def __init__(self, cluster, node, packs):
        self._cluster, self._node, self._left = cluster, node, packs

    def finished(self, pack, records):
        self._left -= 1
        if self._left == 0:
            self._cluster.remove_node(self._node, allow_graceful=False)


@pytest.fixture
def doomed(cluster):
    """A third node, for a test to kill; the next one begins once nobody counts it any more."""
    ray = ray_cluster.require_ray()
    before = len(ray_cluster.nodes(ray))
    yield cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
    # A cluster notices a node that fell silent only after some time.
    until(lambda: len(ray_cluster.nodes(ray)) == before)


def test_a_node_killed_in_the_middle_costs_nothing_but_time(
    cluster, doomed, log, tmp_path, findings
):
    killer = KillsANode(cluster, doomed, packs=3)
    result = run_study(tmp_path, RayRunner(train="tests.studies.tiny:train"), progress=killer)
    assert killer._left <= 0
    assert result.failed == []
    assert without_timings(result.findings) == findings


def test_a_worker_that_dies_once_costs_nothing_and_one_that_always_dies_only_its_pack(dataset, log):
    once, deadly = a_pack(1, trainers.KILLED_ONCE), a_pack(2, trainers.KILLED)
    results = run([a_pack(0), once, deadly], dataset)
    errors = {record.trial: r.error for r in results for record in r.records}
    assert len(errors) == 6
    assert [errors[trial] for trial in a_pack(0).trials + once.trials] == [None] * 4
    assert {errors[trial] for trial in deadly.trials} == {
        "its worker died 3 times, perhaps out of memory"
    }
    assert trainers.noted(trainers.KILLED_ONCE) == 2
    assert trainers.noted(trainers.KILLED) == 4, "twice whole, and each half once"


def test_a_task_that_hangs_is_tried_once_more_and_one_that_computes_is_left_alone(dataset, log):
    once, always = a_pack(1, trainers.HANGS_ONCE), a_pack(2, trainers.HANGS)
    busy = a_pack(3, trainers.BUSY, epochs=1)
    results = run([a_pack(0), once, always, busy], dataset, hang_after=2.0)
    errors = {result.pack: result.error for result in results}
    assert errors.pop(always) == "it hung 2 times: no epoch and no processor time in 2 s"
    assert errors == dict.fromkeys([a_pack(0), once, busy])
    assert trainers.noted(trainers.HANGS) == trainers.noted(trainers.HANGS_ONCE) == 2
    assert trainers.noted(trainers.BUSY) == 1


def test_a_pack_without_memory_is_split_and_tried_again_once(dataset, log):
    listener = Listener()
    large = a_pack(1, trainers.LARGE, size=5)
    results = run([large, a_pack(0)], dataset, progress=listener)
    pieces = [r for r in results if r.records[0].trial in large.trials]
    assert sorted(len(piece.records) for piece in pieces) == [2, 3]
    assert {r.error for r in results} == {None}
    # Progress was promised two packs, and hears of two.
    assert sorted(call for call in listener.calls if call[0] == "finished") == [
        ("finished", 2),
        ("finished", 5),
    ]


def test_never_more_than_a_bounded_number_of_tasks_is_in_flight(dataset, log, monkeypatch):
    most, submit = [], RunningTasks.submit

    def counting(running, task):
        submit(running, task)
        most.append(len(running))

    monkeypatch.setattr(RunningTasks, "submit", counting)
    packs = [a_pack(seed) for seed in range(40)]
    assert len(run(packs, dataset)) == 40
    assert max(most) == 4, "two cores, and as many again"
    most.clear()
    run(packs[:5], dataset, workers=1)
    assert max(most) == 1


def test_epochs_are_reported_over_the_cluster_but_not_each(dataset, log):
    listener = Hears()
    run([a_pack(0, trainers.SLOW, epochs=100_000)], dataset, progress=listener)
    epochs = [call[1] for call in listener.calls if call[0] == "epoch"]
    assert ("started", "2 x 13, n=20") in listener.calls
    assert epochs == sorted(epochs)
    assert trainers.ENOUGH <= len(epochs) < epochs[-1]


def test_a_consumer_that_stops_leaves_no_task(dataset, log):
    packs = [a_pack(0), a_pack(1, trainers.HANGS)]
    results = RayRunner(train=TRAIN).run(packs, dataset, device="cpu", progress=Progress())
    next(results)
    until(lambda: trainers.noted(trainers.HANGS) == 1)
    results.close()
    hung = {int(line.split()[2]) for line in log.read_text().splitlines() if line[:2] == "14"}
    until(lambda: not any(alive(pid) for pid in hung))


SCRIPT = """
import sys
from pathlib import Path
from tests.runners import trainers
from tests.studies.tiny import run
from byheart.runners.base import Progress
from byheart.runners.ray import RayRunner

try:
    run(Path(sys.argv[1]), RayRunner(sys.argv[2], train="tests.studies.tiny:train"),
        progress=Progress())
except KeyboardInterrupt:
    print("interrupted")
    sys.exit(130)
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.faults),
        pytest.param(signal.SIGKILL, -9, marks=pytest.mark.faults),
    ],
)
def test_a_driver_that_is_told_to_end_keeps_what_is_done(
    cluster, log, tmp_path, findings, number, code
):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    driver = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path), cluster.address],
        env=env,
        stdout=-1,
        stderr=-1,
    )
    until(lambda: len(log.read_text().splitlines()) >= 4)
    driver.send_signal(number)
    _, err = driver.communicate(timeout=60)
    # Ray's core aborts the driver if a task ends just as it is cancelled (ray-project/ray#54785).
    aborted = b"You have likely discovered a bug in Ray" in err
    assert driver.returncode == (1 if aborted else code), err
    with Store.open(tmp_path, create=False) as store:
        kept = {row.key for row in store.list()}
        assert store.verify() == []
    assert kept
    result = run_study(tmp_path, RayRunner())
    assert result.trained == len(result.trials) - len(kept)
    assert without_timings(result.findings) == findings


LAPTOP = """
import sys
from pathlib import Path
from tests.studies.tiny import run, without_timings
from byheart.runners.base import Progress
from byheart.runners.ray import RayRunner

result = run(Path(sys.argv[1]), RayRunner(workers=2), progress=Progress())
print(without_timings(result.findings))
"""


@pytest.mark.faults
def test_without_an_address_this_machine_is_the_cluster(tmp_path, findings):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LAPTOP, str(tmp_path)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == findings


def test_an_address_where_nobody_answers_is_named():
    script = (
        "from byheart.cli.main import main; import sys; "
        "sys.exit(main(['plan', 'time-size', '--runner', 'ray', '--address', '127.0.0.1:1']))"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: cannot reach a Ray cluster at 127.0.0.1:1" in done.stderr.splitlines()[-1]


def test_other_versions_on_a_node_are_named(dataset, log, monkeypatch):
    own = ray_tasks.versions()
    monkeypatch.setattr(ray_tasks, "versions", lambda: {**own, "torch": "1.0"})
    with pytest.raises(InputError, match=r"of the cluster has torch .*, and this machine 1.0"):
        run([a_pack(0)], dataset)


def test_a_training_function_that_no_node_can_import_fails_by_name(dataset, log):
    with pytest.raises(InputError, match=r"cannot train \(ModuleNotFoundError.*on every node"):
        run([a_pack(0)], dataset, train="no.such.module:train")


def test_the_number_of_packs_side_by_side_is_that_of_the_cluster(cluster, dataset):
    packs = [a_pack(0), a_pack(1)]
    assert RayRunner().at_a_time(packs, dataset, "cpu") == 2
    assert RayRunner(workers=1).at_a_time(packs, dataset, "cpu") == 1
    with pytest.raises(InputError, match="no node of the Ray cluster has a GPU"):
        list(RayRunner().run([a_pack(0)], dataset, device="cuda", progress=Progress()))


def test_on_gpus_packs_are_counted_by_what_the_gpus_hold(dataset, monkeypatch):
    nodes = [Resources(64.0, 4.0, 2.0**40), Resources(3.0, 4.0, 2.0**40)]
    monkeypatch.setattr(ray_cluster, "connect", lambda *address: None)
    monkeypatch.setattr(ray_cluster, "nodes", lambda ray: nodes)
    monkeypatch.setattr(ray_cluster, "gpu_bytes", lambda ray: 2 * 2**30)
    packs = [a_pack(0), a_pack(1, hidden=512)]
    assert RayRunner().at_a_time(packs[:1], dataset, "cpu") == 67
    # Three packs share a GPU; a core is needed for each, and one node has only three.
    assert RayRunner().at_a_time(packs, dataset, "cuda") == 4 * 3 + 3
    assert RayRunner(workers=5).at_a_time(packs, dataset, "cuda") == 5
    assert RayRunner().at_a_time([], dataset, "cuda") == 1


def test_without_ray_the_command_to_install_it_is_named(dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'byheart\[ray\]'"):
        RayRunner().at_a_time([a_pack(0)], dataset, "cpu")
