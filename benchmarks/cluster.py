"""Two Ray nodes of one core against one: how much sooner equal packs are done.

``python -m benchmarks.cluster``: on an idle machine of two cores or more, in turn, with fresh
clusters; from the moment the packs are handed over until the last record has come back, the start
of the workers included.
"""

from __future__ import annotations

import statistics
import sys
import time

from byheart.data import load_dataset
from byheart.data.dataset import Dataset
from byheart.runners.base import Progress
from byheart.runners.ray import RayRunner
from byheart.runners.ray_cluster import connect, require_ray
from byheart.training.packs import Pack
from byheart.trial import MLP, AccuracyProbe, Algorithm, DataFacts, Trial

PACKS = 40
REPLICAS = 8
ROUNDS = 2


def packs(dataset: Dataset, epochs: int) -> list[Pack]:
    algorithm = Algorithm(
        network=MLP(hidden=(64,)), learning_rate=0.1, batch_size=32, epochs=epochs
    )
    probes = (AccuracyProbe(epochs=(0, epochs)),)
    trials = [
        Trial(
            data=DataFacts(fingerprint=dataset.fingerprint, train=1000, validation=0, seed=seed),
            algorithm=algorithm,
            seed=seed,
            probes=probes,
        )
        for seed in range(PACKS * REPLICAS)
    ]
    return [Pack(tuple(trials[i * REPLICAS : (i + 1) * REPLICAS])) for i in range(PACKS)]


def seconds(nodes: int, dataset: Dataset, work: list[Pack]) -> float:
    """Return how long a fresh cluster of so many nodes of one core takes."""
    ray = require_ray()
    from ray.cluster_utils import Cluster

    size = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**size)
        connect(cluster.address, 1)
        start = time.perf_counter()
        runner = RayRunner().run(work, dataset, device="cpu", progress=Progress())
        results = list(runner)
        taken = time.perf_counter() - start
        assert len(results) == PACKS and not any(result.error for result in results)
        return taken
    finally:
        ray.shutdown()
        cluster.shutdown()


def main() -> None:
    epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    dataset = load_dataset("digits")
    work = packs(dataset, epochs)
    taken: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(ROUNDS):
        for nodes, times in taken.items():
            times.append(seconds(nodes, dataset, work))
            print(f"{nodes} node(s) of one core: {times[-1]:.1f} s", flush=True)
    one, two = (statistics.median(times) for times in taken.values())
    print(f"{PACKS} packs of {REPLICAS}: {one:.1f} s on one node, {two:.1f} s on two")
    print(f"{one / two:.2f} times as fast")


if __name__ == "__main__":
    main()
