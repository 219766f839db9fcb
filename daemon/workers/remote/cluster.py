"""Everything that is said to Ray. Imported by the driver's process only, since Ray's client takes 80 MB."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import subprocess
import sys
from typing import Any

from daemon.errors import MachineError
from daemon.workers.remote.host import Host

#: A cluster that has not answered for so long is not there, in s.
PATIENCE_S = 20.0
#: Variables by which Ray is told of a token.
_TOKEN = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
#: Asks a cluster for its name, without a token. Ends at once, since Ray's client is not made for being dropped.
_PROBE = """
import os, sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
    os._exit(10)
except AuthenticationError:
    os._exit(11)
"""
_OPEN, _CLOSED = 10, 11


def connect(address: str, *, allow_open: bool) -> None:
    """Connect this process to a cluster that this machine belongs to.

    Raises:
        MachineError: `ray-missing`, `ray-unreachable`, `ray-open`, `ray-token`.
    """
    if importlib.util.find_spec("ray") is None:
        raise MachineError(
            "ray-missing",
            "Ray is not installed, and lanes.ray names a cluster.",
            "Install the extra `ray` (docs/scaling.md), or remove `lanes.ray`.",
        )
    _check_reachable(address)
    if not allow_open:
        if _asks_nobody(address):
            raise MachineError(
                "ray-open",
                f"The Ray cluster at {address} asks for no token: whoever reaches it can run code on its machines.",
                "Start it with RAY_AUTH_MODE=token (docs/scaling.md), or write `allow_open: true` under lanes.ray.",
            )
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(
            address=address,
            namespace="avatard",
            log_to_driver=False,
            logging_level=logging.WARNING,
            _skip_env_hook=True,
        )
    except AuthenticationError as exc:
        raise MachineError(
            "ray-token",
            f"The Ray cluster at {address} refuses the token of this machine: {_first_line(exc)}",
            "Give the daemon the cluster's token by RAY_AUTH_TOKEN_PATH (docs/scaling.md).",
        ) from exc
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as exc:
        raise _unreachable(address, _first_line(exc)) from exc


def _check_reachable(address: str) -> None:
    """Look whether something listens, since Ray's client takes 40 s to say that nothing does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError as exc:
        raise _unreachable(address, str(exc.strerror or exc)) from exc


def _asks_nobody(address: str) -> bool:
    environment = {key: value for key, value in os.environ.items() if key not in _TOKEN}
    environment["RAY_AUTH_TOKEN_PATH"] = os.devnull  # not the user's own either
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE, address],
            env=environment,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as exc:
        raise _unreachable(address, f"it did not answer in {PATIENCE_S:.0f} s") from exc
    if done.returncode not in (_OPEN, _CLOSED):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise _unreachable(address, last[0][:300] if last else "it did not answer")
    return done.returncode == _OPEN


def _unreachable(address: str, why: str) -> MachineError:
    return MachineError(
        "ray-unreachable",
        f"The Ray cluster at {address} cannot be used: {why.rstrip('.')}.",
        "Run `ray status` on this machine, which must be one of the cluster. Work goes on here, and there when it answers again.",
    )


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300]


def make_host(*, gpu: bool) -> Any:
    """Return the handle of a new actor, on any machine with room for it. Ray neither starts it again nor repeats calls: we do."""
    import ray

    options: dict[str, Any] = {
        "num_cpus": 1, "num_gpus": 1 if gpu else 0, "max_restarts": 0, "max_task_retries": 0, "max_concurrency": 16,
    }  # fmt: skip
    return ray.remote(Host).options(**options).remote()


def kill(handle: Any) -> None:
    """End an actor, as far as its machine can be reached."""
    import ray

    ray.kill(handle, no_restart=True)


def machines() -> tuple[int, float, float]:
    """Return how many machines answer, and their GPUs and processors. Blocks."""
    import ray

    nodes: Any = ray.nodes
    alive = [node["Resources"] for node in nodes() if node["Alive"]]
    return len(alive), sum(one.get("GPU", 0.0) for one in alive), sum(one.get("CPU", 0.0) for one in alive)


def disconnect() -> None:
    """End the connection, and with it all actors."""
    import ray

    ray.shutdown()


def is_lost(exc: BaseException) -> bool:
    """Whether an error of a call says that the actor, or the way to it, is gone."""
    from ray.exceptions import RayActorError, RaySystemError

    return isinstance(exc, RayActorError | RaySystemError)


def may_come_back(exc: BaseException) -> bool:
    """Whether an actor that was not reached may answer the next call."""
    from ray.exceptions import ActorUnavailableError

    return isinstance(exc, ActorUnavailableError)


def cause_of(exc: BaseException) -> BaseException:
    """Return the error that an actor's method raised."""
    from ray.exceptions import RayTaskError

    cause = exc.cause if isinstance(exc, RayTaskError) else exc
    return cause if isinstance(cause, BaseException) else exc
