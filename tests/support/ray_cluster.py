"""A Ray cluster on this machine, in processes of its own: `python tests/support/ray_cluster.py PORT [GPUS]`. GPUS: of the
head's own machine. Each line of stdin is a number of machines that are added at once, each with a GPU that is none; it is
answered with the process ids of their raylets. Ends with its input.

What starts is what the tests need, since most of their time is the start of Ray's processes: no autoscaler, no reader of
logs, no agents, and one processor a machine, for each of which Ray starts a Python ahead.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

AGENTS = ("dashboard_agent", "runtime_env_agent")
#: What stands in for them.
AGENT = str(Path(__file__).with_name("ray_agent.sh"))


def main() -> None:
    """Start the head, then a machine for each line of stdin."""
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_GCS_SERVER_PORT=sys.argv[1])
    # Tests hide the machine's GPUs with it, and Ray would give its machines none either.
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    from ray._private import services
    from ray.cluster_utils import Cluster

    started = services._build_python_executable_command_memory_profileable
    services._build_python_executable_command_memory_profileable = lambda component, *options, **more: (
        ["sh", AGENT] if component in AGENTS else started(component, *options, **more)
    )
    common: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    gpus = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    alone = {"num_cpus": gpus, "num_gpus": gpus, "no_monitor": True, "include_log_monitor": False}
    cluster = Cluster(initialize_head=True, head_node_args={**alone, **common})
    print(raylet(cluster.head_node), head(cluster.head_node), flush=True)
    for line in sys.stdin:
        added = [cluster.add_node(wait=False, num_cpus=1, num_gpus=1, **common) for _ in range(int(line))]
        cluster.wait_for_nodes()
        print(*map(raylet, added), flush=True)
    cluster.shutdown()


def raylet(node: Any) -> int:
    """Return the process id of a machine's raylet."""
    return int(node.all_processes["raylet"][0].process.pid)


def head(node: Any) -> int:
    """Return the process id of the cluster's head."""
    return int(node.all_processes["gcs_server"][0].process.pid)


if __name__ == "__main__":
    main()
