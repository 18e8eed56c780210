"""Nodes of a Ray cluster that are killed while they train."""

import pytest
from tests.faults.hurt import PATIENCE, Hurt
from tests.faults.ledger import FAULTS

from byheart.runners import ray_cluster

pytestmark = pytest.mark.faults

STORE = 80 * 2**20
"""Bytes of a node's object store: what is left is for its packs."""


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A cluster of one node, which knows the log from its start; tests add others and kill them."""
    ray = ray_cluster.require_ray()
    from ray.cluster_utils import Cluster

    log = tmp_path / "trained.log"
    log.touch()
    monkeypatch.setenv("TRAINED", str(log))
    size = {"num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=size)
    yield made
    ray.shutdown()
    made.shutdown()


def test_nodes_that_are_killed_cost_nothing_but_time(tmp_path, unhurt, cluster):
    hurt = Hurt(tmp_path / "studies", unhurt[1], "Ray node, killed")
    while hurt.faults < max(1, FAULTS // 10):
        doomed = cluster.add_node(num_cpus=1, object_store_memory=STORE)
        hurt.log = tmp_path / "trained.log"
        wanted = len(hurt.begun()) + hurt.draw.randint(2, 8)
        driver = hurt.start("ray", cluster.address)
        hurt.wait_for(wanted, driver)
        cluster.remove_node(doomed, allow_graceful=False)
        _, err = driver.communicate(timeout=PATIENCE)
        assert driver.returncode == 0, err
        hurt.check()
