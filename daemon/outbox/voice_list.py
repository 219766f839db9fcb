"""Publishes the list of voices in the outbox, for users who see only the inbox and the outbox.

`.avatard-voices` in the outbox holds what `avatar voice list --json` prints for the service's own user, for programs, and
`voices.txt` says the same to people (`intake.voices_page`). A separate process makes both, since the daemon imports no stage;
they are made again when settings, model files or profiles change.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import structlog

from daemon.config import Settings
from daemon.errors import AvatarError, MachineError
from daemon.jobs.iso_time import iso
from daemon.outbox.outbox import Outbox
from daemon.system.disk_thread import in_thread
from daemon.system.json_files import dump_json

log = structlog.get_logger()

SCHEMA = 1
#: Delay of the first list, in s, so that the start of the daemon and of its workers, and the first job, come first.
FIRST_S = 5.0
#: How long the first list also waits while jobs run, and the interval of looks, in s.
BUSY_S, BUSY_LOOK_S = 60.0, 1.0
#: Interval of checks for changes, in s.
LOOK_S = 5.0
#: Delay before a failed list is tried again, in s.
RETRY_S = 300.0
#: Time limit for making the list, in s; generous for a cold disk under load.
LIST_S = 120.0
#: Depth to which the models folder is checked for changes; no engine has files below it.
DEPTH = 3


class VoiceList:
    """Keeps the published list up to date. `is_busy`: whether jobs run."""

    def __init__(self, settings: Settings, outbox: Outbox, is_busy: Callable[[], bool]) -> None:
        self._settings = settings
        self._outbox = outbox
        self._is_busy = is_busy
        self._listed_inputs: Any = None  # inputs of the present list
        self._data, self._page = b"", ""
        self._written: Any = None  # identity of the file that was last published
        self._retry_at = 0.0
        self._last_error = ""

    async def loop(self) -> None:
        """Check for changes every `LOOK_S` seconds, until cancelled."""
        await asyncio.sleep(FIRST_S)
        deadline = time.monotonic() + BUSY_S
        while self._is_busy() and time.monotonic() < deadline:
            await asyncio.sleep(BUSY_LOOK_S)
        while True:
            try:
                await self._refresh()
                self._last_error = ""
            except (OSError, AvatarError) as exc:  # no job depends on the list
                if self._last_error != str(exc):
                    log.warning("voices not published", error=str(exc))
                self._last_error = str(exc)
            await asyncio.sleep(LOOK_S)

    async def _refresh(self) -> None:
        state = await in_thread(self._inputs)  # model files may be on a slow share
        if state != self._listed_inputs and time.monotonic() >= self._retry_at:
            self._retry_at = time.monotonic() + RETRY_S
            voices, self._page = await self._query_voices()
            self._listed_inputs, self._retry_at = state, 0.0
            self._data = dump_json({"schema": SCHEMA, "at": iso(time.time()), "voices": voices})
            self._written = None
        if self._data and (self._written is None or self._written != await in_thread(self._published_files)):
            page = self._page.encode() if self._settings.intake.voices_page else None
            self._outbox.write_voices(self._data, page)
            written = self._published_files()
            # What somebody put there in the same moment is no file of ours, so that it is replaced at the next look.
            self._written = written if await in_thread(self._holds_the_list) else None

    def _inputs(self) -> Any:
        """Return everything on which the list depends and that can change while the daemon runs."""
        paths = self._settings.paths
        return (
            self._settings.model_dump_json(include={"paths", "stages", "engines"}),
            self._settings.intake.voices_page,
            list(_folder_times(paths.profiles, 0)),
            list(_folder_times(paths.models, DEPTH)),
        )

    def _published_files(self) -> list[Any]:
        """Return the identities of the published files, which users can remove or change; None for a missing one."""
        return [_identity(path) for path in (self._outbox.voices, self._outbox.voices_page)]

    def _holds_the_list(self) -> bool:
        """Return whether the published file for programs is the list as it was written last."""
        try:
            info = os.lstat(self._outbox.voices)
            ours = stat.S_ISREG(info.st_mode) and info.st_size == len(self._data)
            return ours and self._outbox.voices.read_bytes() == self._data
        except OSError:
            return False

    async def _query_voices(self) -> tuple[list[Any], str]:
        """Return the list, and the same for people, made by a separate process.

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
                made = json.loads(out)
                if isinstance(made, dict) and isinstance(made.get("voices"), list):
                    return made["voices"], str(made.get("page", ""))
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
    return MachineError("voices-unlisted", f"The list of voices cannot be made: {why}.", "Run `avatar doctor`.")


def _identity(path: Path) -> Any:
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _folder_times(folder: Path, depth: int) -> Iterator[tuple[str, int]]:
    """Yield each folder down to `depth` with the time, in ns, at which an entry was last added or removed."""
    with contextlib.suppress(OSError):
        yield str(folder), folder.stat().st_mtime_ns
        if depth:
            with os.scandir(folder) as entries:
                inside = sorted(entry.path for entry in entries if entry.is_dir())
            for path in inside:
                yield from _folder_times(Path(path), depth - 1)
