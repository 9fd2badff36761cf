"""Real clusters of Ray on this machine."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ray.cluster_utils import Cluster

TRIES = 5
"""Ray gives up on a node whose processes have not come up within 15 seconds, which a busy machine may need."""


def add_node(cluster: Cluster, **options: object) -> object:
    """Add a node to a cluster, without what tests have no use for."""
    lean = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    for remaining in reversed(range(TRIES)):
        try:
            return cluster.add_node(**lean, **options)
        except Exception as error:  # noqa: BLE001 - Ray has no class of its own for it
            if not remaining:
                pytest.skip(f"Ray did not start in {TRIES} tries: {str(error)[-300:]}")
            if not cluster.worker_nodes:
                cluster.shutdown()
    raise AssertionError("unreachable")


@contextmanager
def running_cluster(*cpus: int) -> Iterator[Cluster]:
    """A cluster with a node for each of these numbers of processors, the first of them its head."""
    cluster = Cluster(initialize_head=False)
    try:
        for number in cpus:
            add_node(cluster, num_cpus=number, object_store_memory=100 * 2**20)
        yield cluster
    finally:
        cluster.shutdown()
