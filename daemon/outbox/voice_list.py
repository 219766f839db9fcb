"""The list of voices in the outbox, for people who may drop jobs and see results, and nothing else of the service.

`.avatard-voices` in the outbox holds what `avatar voice list --json` prints for the service's own user. The list is made by a
process of its own, since the daemon imports no stage; anew when settings, model files or voice profiles have changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError, MachineError
from daemon.outbox.outbox import Outbox
from daemon.outbox.status_file import iso
from daemon.system import fs

log = structlog.get_logger()

SCHEMA = 1
#: The first list waits until the work has been taken up, in s.
FIRST_S = 2.0
#: Time between two looks whether something has changed, in s.
LOOK_S = 5.0
#: Time until a list that could not be made is tried again, in s.
RETRY_S = 300.0
#: A list that has not come by then does not come, in s: a cold disk, under load.
LIST_S = 120.0
#: How deep the models folder is looked into for changes; no engine's files lie deeper.
DEPTH = 3


class VoiceList:
    """Keeps the published list up to date."""

    def __init__(self, settings: Settings, outbox: Outbox) -> None:
        self._settings = settings
        self._outbox = outbox
        self._listed_inputs: Any = None  # the state that the present list was made from
        self._data = b""
        self._written: Any = None  # the file as we left it
        self._retry_at = 0.0
        self._last_error = ""

    async def loop(self) -> None:
        """Look for changes, for ever."""
        await asyncio.sleep(FIRST_S)
        while True:
            try:
                await self._refresh()
                self._last_error = ""
            except (OSError, AvatarError) as exc:  # no job waits for the list
                if self._last_error != str(exc):
                    log.warning("voices not published", error=str(exc))
                self._last_error = str(exc)
            await asyncio.sleep(LOOK_S)

    async def _refresh(self) -> None:
        state = await asyncio.to_thread(self._inputs)  # model files may lie on a slow share
        if state != self._listed_inputs and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_S
            voices = await self._query_voices()
            self._listed_inputs, self._retry_at = state, 0.0
            self._data = fs.dump_json({"schema": SCHEMA, "at": iso(time.time()), "voices": voices})
            self._written = None
        if self._data and (self._written is None or self._written != await asyncio.to_thread(self._published_file)):
            self._outbox.write_voices(self._data)
            self._written = self._published_file()

    def _inputs(self) -> Any:
        """Everything that the list depends on, as far as it can change while the daemon runs."""
        paths = self._settings.paths
        return (
            self._settings.model_dump_json(include={"paths", "stages", "engines"}),
            list(_folder_times(paths.profiles, 0)),
            list(_folder_times(paths.models, DEPTH)),
        )

    def _published_file(self) -> Any:
        """The published file as it is now: people can remove or change it."""
        try:
            info = os.lstat(self._outbox.voices)
        except FileNotFoundError:
            return None
        return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns

    async def _query_voices(self) -> list[Any]:
        """The list, from a process of its own.

        Raises:
            MachineError: `voices-unlisted`.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "stages.tts.engines.voice_list",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )
        try:
            asked = self._settings.model_dump_json().encode()
            out, err = await asyncio.wait_for(process.communicate(asked), LIST_S)
            if process.returncode == 0:
                voices = json.loads(out)
                if isinstance(voices, list):
                    return voices
            last = (err.decode("utf-8", "replace").strip().splitlines() or [f"status {process.returncode}"])[-1]
            raise _voices_error(last)
        except TimeoutError as exc:
            raise _voices_error(f"it took longer than {LIST_S:.0f} s") from exc
        except ValueError as exc:
            raise _voices_error(str(exc)) from exc
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()


def _voices_error(why: str) -> MachineError:
    return MachineError("voices-unlisted", f"The voices cannot be listed: {why}.", "See `avatar doctor`.")


def _folder_times(folder: Path, depth: int) -> Iterator[tuple[str, int]]:
    """When entries of a folder, and of those in it, last came or went."""
    with contextlib.suppress(OSError):
        yield str(folder), folder.stat().st_mtime_ns
        if depth:
            with os.scandir(folder) as entries:
                inside = sorted(entry.path for entry in entries if entry.is_dir())
            for path in inside:
                yield from _folder_times(Path(path), depth - 1)
