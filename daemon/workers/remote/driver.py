"""The driver of a Ray cluster: `python -m daemon.workers.remote.driver`. Reads messages of the daemon from stdin, and writes
answers to stdout, as JSON lines (`frames.py`). It ends with the daemon, and with it all workers on the cluster.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from daemon.errors import MachineError
from daemon.system.permissions import restrict_umask
from daemon.system.process import die_with
from daemon.workers.remote import cluster
from daemon.workers.remote.frames import (
    LINE_LIMIT,
    Connect,
    Connected,
    Failed,
    FromDaemon,
    FromDriver,
    RunStage,
    StartHost,
    StopHost,
    Tell,
    read_from_daemon,
)
from daemon.workers.remote.host_link import HostLink

#: Interval of looks at the cluster, in s.
LOOK_S = 3.0


class Driver:
    """Passes messages between the daemon and the workers of its slots. `out`: the original stdout."""

    def __init__(self, out: int, order: Connect) -> None:
        self._out, self._order = out, order
        self._links: dict[str, HostLink] = {}
        #: One upload at a time to each machine, so that none is sent the same file twice.
        self._uploads: dict[str, asyncio.Lock] = {}

    def emit(self, frame: FromDriver) -> None:
        """Send a message to the daemon."""
        line = frame.to_line()
        while line:
            line = line[os.write(self._out, line) :]

    async def run(self) -> None:
        """Pass messages on until the daemon closes the input, or the cluster is lost."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LINE_LIMIT)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        reading = asyncio.create_task(self._read(reader))
        watching = asyncio.create_task(self._watch())
        await asyncio.wait({reading, watching}, return_when=asyncio.FIRST_COMPLETED)
        os._exit(0)  # what waits for a cluster that is gone would keep this process for minutes

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            self._take(read_from_daemon(line))

    def _take(self, frame: FromDaemon) -> None:
        match frame:
            case StartHost():
                if (before := self._links.get(frame.slot)) is not None:
                    before.stop()
                self._links[frame.slot] = HostLink(frame, self.emit, self._order, self._uploads)
            case RunStage() | Tell():
                if (link := self._link(frame)) is not None:
                    link.put(frame)
            case StopHost():
                if (link := self._link(frame)) is not None:
                    link.stop()
            case Connect():
                raise ValueError("connected already")

    def _link(self, frame: RunStage | Tell | StopHost) -> HostLink | None:
        link = self._links.get(frame.slot)
        return link if link is not None and link.host == frame.host else None

    async def _watch(self) -> None:
        """Tell how many machines answer; ends when the cluster's head does not."""
        while True:
            try:
                nodes, gpus, cpus = await asyncio.wait_for(asyncio.to_thread(cluster.machines), self._order.reach_s)
            except Exception as exc:
                print(f"the head of the cluster does not answer ({type(exc).__name__})", file=sys.stderr, flush=True)
                return
            self.emit(Connected(nodes=nodes, gpus=gpus, cpus=cpus))
            await asyncio.sleep(LOOK_S)


def main() -> None:
    """Run the driver until its input is closed or the cluster is lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process id of the daemon")
    args = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the daemon handles Ctrl-C
    die_with(args.parent)
    restrict_umask()
    out = os.dup(1)  # Ray prints to stdout
    os.dup2(2, 1)
    order = read_from_daemon(_first_line())
    if not isinstance(order, Connect):
        raise SystemExit("the first message must be `connect`")
    driver = Driver(out, order)
    try:
        cluster.connect(order.address, allow_open=order.allow_open)
    except MachineError as exc:
        driver.emit(Failed(code=exc.code, message=exc.message, hint=exc.hint))
        return
    asyncio.run(driver.run())


def _first_line() -> bytes:
    """Read one line, and nothing after it."""
    line = b""
    while not line.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            break
        line += byte
    return line


if __name__ == "__main__":
    main()
