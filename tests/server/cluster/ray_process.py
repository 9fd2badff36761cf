"""A cluster of Ray with two nodes on this machine, as a program that takes orders: one line of JSON each, [name, {…}].

Ray in the tests' own process would take its settings from whoever imported it first, and leave threads and warnings
there. The program answers each order by a line "ANSWER " with JSON; what else is printed is Ray's.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.cluster_utils import Cluster

from medxgan.server.cluster.application import NAME
from medxgan.server.cluster.running import deploy
from medxgan.server.settings import ServerSettings


class Orders:
    """What the cluster is told to do; each method is an order."""

    def __init__(self, folder: str) -> None:
        node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100 * 2**20}
        self._cluster = Cluster(initialize_head=True, head_node_args=node | {"temp_dir": folder})
        self._worker = self._cluster.add_node(num_cpus=1, object_store_memory=100 * 2**20)
        ray.init(address=self._cluster.address, log_to_driver=False, logging_level="ERROR")

    def address(self) -> str:
        """Of the cluster."""
        return str(self._cluster.address)

    def deploy(self, models: str, **settings: Any) -> None:
        """Serve a folder, and wait until it answers."""
        deploy(ServerSettings(models=Path(models), ray="auto", insecure=True, **settings))

    def figures(self) -> list[str]:
        """The name and the figures of some replica."""
        return list(serve.get_app_handle(NAME).figures.remote().result(timeout_s=120))

    def applications(self) -> list[str]:
        """Names."""
        return list(serve.status().applications)

    def delete(self) -> None:
        """Stop serving, once the requests under way are answered."""
        serve.delete(NAME)

    def kill_worker(self) -> None:
        """The second node dies, with all that runs there."""
        self._cluster.remove_node(self._worker, allow_graceful=False)

    def end(self) -> None:
        """End it all."""
        serve.shutdown()
        ray.shutdown()
        self._cluster.shutdown()


def main() -> None:
    """Take orders until there are no more, and end the cluster."""
    orders = Orders(sys.argv[1])
    answer("ready")
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer(getattr(orders, name)(**arguments))
        except Exception as error:  # noqa: BLE001 - it is told to the test
            answer({"error": f"{type(error).__name__}: {error}"})
    # Also where the tests were killed, whose end of the pipe is closed then.
    orders.end()


def answer(content: object) -> None:
    """Answer an order."""
    sys.stdout.write(f"ANSWER {json.dumps(content)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
