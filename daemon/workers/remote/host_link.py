"""The driver's side of one worker on the cluster: its start, the files of its jobs on their way there and back, and its lines.

A machine that is given up may still answer later. Its results are passed on with their old epoch, and the daemon refuses them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from daemon.errors import UnknownError, from_exception
from daemon.wire import ErrorReport, Heartbeat, Result, RunRequest, read_message, read_request
from daemon.workers.remote import cluster
from daemon.workers.remote.frames import Connect, FromDriver, HostEnded, HostLine, Results, RunStage, StartHost, Tell
from daemon.workers.remote.host import POLL_S, SMALL_BYTES, Lines, Made, Outcome, Place, code_version
from daemon.workers.remote.job_files import PART_BYTES, JobFile, Sent, checked_name, list_files, sha256_of
from daemon.workers.remote.voice_profiles import list_voice_files

#: The cluster must have room for a worker within this time, in s.
PLACE_S: Final = 60.0
#: A machine that was given up is listened to for so long, in s, and is asked so often.
LATE_S, LATE_LOOK_S = 900.0, 1.0

_HEARTBEAT: Final = Heartbeat().to_line().decode()


class HostLink:
    """One worker, from its start to its end.

    Args:
        emit: sends a message to the daemon.
        uploads: a lock for each machine, shared by all links.

    Attributes:
        host: the epoch of its start.
    """

    def __init__(
        self, start: StartHost, emit: Callable[[FromDriver], None], order: Connect, uploads: dict[str, asyncio.Lock]
    ) -> None:
        self.slot, self.host = start.slot, start.host
        self._start, self._emit, self._order, self._uploads = start, emit, order, uploads
        self._epoch = start.host
        self._given_up = False
        self._handle: Any = None
        self._node = "a machine of the cluster"
        self._requests: asyncio.Queue[RunStage | Tell] = asyncio.Queue()
        self._working = asyncio.create_task(self._work(), name=f"{self.slot} requests")
        self._listening: asyncio.Task[None] | None = None

    def put(self, frame: RunStage | Tell) -> None:
        """Pass a request on, after those before it."""
        self._requests.put_nowait(frame)

    def stop(self) -> None:
        """End the worker."""
        self._given_up = True
        self._working.cancel()
        self._kill()

    def _kill(self) -> None:
        """End the actor. Its machine may be out of reach; Ray takes nothing in from it any more."""
        if self._handle is not None:  # in a thread of its own, since Ray waits a minute for a cluster that is gone
            threading.Thread(target=_kill, args=(self._handle,), daemon=True).start()

    def _end(self, code: str, reason: str, *, lost: bool, tail: list[str] | None = None) -> None:
        """Report once that the worker is gone."""
        if self._given_up:
            return
        self._given_up = True
        self._emit(HostEnded(slot=self.slot, host=self.host, lost=lost, code=code, reason=reason, tail=tail or []))

    def _lost(self, why: str) -> None:
        self._end("node-lost", f"{self._node}, which worked on this job, was lost: {why}.", lost=True)

    # -- requests ----------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        try:
            await self._place()
            while True:
                frame = await self._requests.get()
                if isinstance(frame, RunStage):
                    await self._run(frame)
                else:
                    await self._handle.tell.remote(frame.line)
        except Exception as exc:
            if cluster.is_lost(exc):
                self._lost(_words(exc))
            else:
                cause = cluster.cause_of(exc)
                self._end("node-broken", f"{self._node} cannot be used: {_words(cause)}.", lost=True)
        finally:
            if self._listening is None or not self._given_up:
                self._kill()

    async def _place(self) -> None:
        """Start the worker on a machine with room."""
        self._handle = cluster.make_host(gpu=self._start.gpu)
        try:
            place: Place = await asyncio.wait_for(
                self._handle.start.remote(self._start.lane, self._start.init), PLACE_S
            )
        except TimeoutError:
            what = "GPU" if self._start.gpu else "processor"
            self._end("ray-no-room", f"no machine of the cluster had a free {what} within {PLACE_S:.0f} s.", lost=True)
            return
        self._node = f"{place.node} (process {place.pid})"
        if place.code != code_version():
            self._end("ray-other-version", f"{self._node} has another version of avatard.", lost=True)
            return
        self._listening = asyncio.create_task(self._listen(), name=f"{self.slot} lines")

    async def _run(self, frame: RunStage) -> None:
        request = read_request(frame.line.encode())
        assert isinstance(request, RunRequest)
        self._epoch = frame.epoch
        try:
            files = await self._send_files(frame.dir)
            voices = [] if frame.profiles is None else await self._send_voices(frame.profiles, frame.voices)
            await self._handle.run.remote(frame.line, files, voices)
        except Exception as exc:
            if cluster.is_lost(exc):
                raise
            error = from_exception(cluster.cause_of(exc))  # a full disk there, or here
            if isinstance(error, UnknownError):
                raise
            error.message = f"{self._node}: {error.message}"
            self._line(ErrorReport.of(error, request.job, "", last=False).to_line().decode())

    async def _send_files(self, folder: Path) -> list[Sent]:
        """Bring the files of a job there."""
        return await self._send(folder, await asyncio.to_thread(list_files, folder))

    async def _send_voices(self, profiles: Path, voices: list[str]) -> list[Sent]:
        """Bring the voice profiles of a stage there; where one is removed meanwhile, those that are left."""
        for is_last in (False, False, True):
            found = await asyncio.to_thread(list_voice_files, profiles, voices)
            try:
                return await self._send(profiles, found)
            except FileNotFoundError:
                if is_last:
                    raise
        return []

    async def _send(self, folder: Path, found: dict[str, JobFile]) -> list[Sent]:
        """Bring files below a folder there: small ones with the request, others unless that machine has them."""
        small = [
            Sent(name, file.mtime_ns, data=(folder / name).read_bytes())
            for name, file in found.items() if _is_small(file)
        ]  # fmt: skip
        large = {
            name: await asyncio.to_thread(sha256_of, folder / name)
            for name, file in found.items()
            if not _is_small(file)
        }
        if large:
            node = self._node.partition(" ")[0]
            async with self._uploads.setdefault(node, asyncio.Lock()):
                missing = set(await self._handle.missing.remote(list(large.values())))
                for name, sha256 in large.items():
                    if sha256 in missing:
                        missing.discard(sha256)
                        await self._upload(folder / name, sha256)
        return small + [Sent(name, found[name].mtime_ns, sha256=sha256) for name, sha256 in large.items()]

    async def _upload(self, path: Path, sha256: str) -> None:
        with path.open("rb") as file:
            offset, size = 0, os.fstat(file.fileno()).st_size
            while offset < size:
                part = await asyncio.to_thread(file.read, PART_BYTES)
                if not part:
                    raise OSError(f"{path.name} became shorter while it was sent")
                await self._handle.add.remote(sha256, offset, part, offset + len(part) >= size)
                offset += len(part)

    # -- lines -------------------------------------------------------------------------------------------------

    def _line(self, line: str) -> None:
        if not self._given_up:
            self._emit(HostLine(slot=self.slot, host=self.host, line=line))

    async def _listen(self) -> None:
        """Receive lines until the worker ends, and end the actor. One that was given up is ended when it has answered, as it may
        only have been out of reach.
        """
        try:
            await self._receive()
        except Exception as exc:
            self._lost(_words(cluster.cause_of(exc)))
        finally:
            self._kill()

    async def _receive(self) -> None:
        clock = asyncio.get_running_loop().time
        received, heard_at = 0, clock()
        while True:
            try:
                heard: Lines = await asyncio.wait_for(self._handle.lines.remote(received), POLL_S + self._order.reach_s)
            except Exception as exc:
                if not isinstance(exc, TimeoutError) and not cluster.may_come_back(exc):
                    raise
                if isinstance(exc, TimeoutError) or clock() - heard_at > self._order.reach_s:
                    self._lost("it does not answer")
                if clock() - heard_at > LATE_S:
                    return
                await asyncio.sleep(LATE_LOOK_S)
                continue
            heard_at = clock()
            for line in heard.lines[max(0, received - heard.first) :]:
                await self._take(line)
            received = heard.first + len(heard.lines)
            if heard.ended is not None:
                self._end(heard.ended.code, heard.ended.reason, lost=False, tail=heard.ended.tail)
            if self._given_up:
                return

    async def _take(self, line: bytes) -> None:
        """Pass a line on; with a result, what the stage has made."""
        if not isinstance(read_message(line), Result):
            self._line(line.decode())
            return
        epoch, folder, removed = self._epoch, None, list[str]()
        if not self._given_up:
            folder = self._order.folder / str(epoch)
            removed = await self._fetch(folder)
        self._emit(
            Results(slot=self.slot, host=self.host, epoch=epoch, line=line.decode(), folder=folder, removed=removed)
        )

    async def _fetch(self, folder: Path) -> list[str]:
        """Bring what a stage has made into a folder, flushed; returns the names of files that it removed.

        Raises:
            ValueError: a file has a name that is none of an artifact, or is not what its machine said.
        """
        outcome: Outcome = await self._handle.outcome.remote()
        folder.mkdir(mode=0o700)
        for made in outcome.made:
            await self._fetch_file(made, folder / checked_name(made.name))
        await self._handle.forget.remote()
        return [checked_name(name) for name in outcome.removed]

    async def _fetch_file(self, made: Made, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        total = hashlib.sha256()
        with target.open("xb") as file:
            size = 0
            while size < made.size:
                part: bytes = made.data if made.data is not None else await self._handle.read.remote(made.name, size)
                if not part:
                    break
                total.update(part)
                await asyncio.to_thread(file.write, part)
                size += len(part)
                self._line(_HEARTBEAT)  # the worker's own wait behind the result
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        if total.hexdigest() != made.sha256 or size != made.size:
            raise ValueError(f"{made.name} did not arrive as it was made")
        os.utime(target, ns=(made.mtime_ns, made.mtime_ns))


def _kill(handle: Any) -> None:
    with contextlib.suppress(Exception):  # its machine is gone already
        cluster.kill(handle)


def _is_small(file: JobFile) -> bool:
    return file.size <= SMALL_BYTES


def _words(exc: BaseException) -> str:
    """Return one line of an error."""
    return (str(exc).strip().splitlines() or [type(exc).__name__])[0].rstrip(".")[:300]
