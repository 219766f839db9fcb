"""A Ray cluster on this machine, in processes of its own: `python tests/support/ray_cluster.py PORT`. Each line of stdin adds a
machine with a GPU that is none; each is answered with the process ids of its raylet. Ends with its input.
"""

from __future__ import annotations

import os
import sys
from typing import Any


def main() -> None:
    """Start the head, then a machine for each line of stdin."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_GCS_SERVER_PORT=sys.argv[1])
    from ray.cluster_utils import Cluster

    common: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0, **common})
    print(raylet(cluster.head_node), head(cluster.head_node), flush=True)
    for _ in sys.stdin:
        print(raylet(cluster.add_node(num_cpus=2, num_gpus=1, **common)), flush=True)
    cluster.shutdown()


def raylet(node: Any) -> int:
    """Return the process id of a machine's raylet."""
    return int(node.all_processes["raylet"][0].process.pid)


def head(node: Any) -> int:
    """Return the process id of the cluster's head."""
    return int(node.all_processes["gcs_server"][0].process.pid)


if __name__ == "__main__":
    main()
