"""Sends a speech while it is spoken: reads the file that the `tts` stage writes, and gives it the form that is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import weakref
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Final, cast

from daemon.doors.http.openai.sound import MADE, PCM_RATE
from daemon.doors.http.openai.speech_request import SpeechForm
from daemon.errors import AvatarError, UnknownError
from daemon.jobs.record import FINISHED
from daemon.jobs.video_files import LIVE_FRAME, LIVE_HEADER, LIVE_MARK, SoundFormat, live_speech_file
from daemon.system.mount_guard import MARK

#: Time between two looks at a speech of which nothing new has come, and between two looks at its job then, s.
LOOK_S: Final = 0.02
_STATUS_S: Final = 0.5
#: A speech that does not go on for so long is given up, s.
STILL_S: Final = 300.0
#: Longest part of a speech that is believed, bytes: an hour.
_MOST: Final = 3600 * 192_000 * 2
_PIECE: Final = 48 << 10
#: What a file says of its length, which nobody knows yet.
_WHOLE_NEVER_KNOWN: Final = {"mp3": ("-write_xing", "0"), "opus": ("-page_duration", "200000")}


class BrokenSpeechError(UnknownError):
    """A speech of which a part was sent does not go on."""


class LiveFile:
    """The file of a speech, open for reading.

    Args:
        outbox: the folder.
        job: id of the job.

    Attributes:
        rate: Hz; 0 until it is known.
        ended: the speech is whole, and all of it was read.
    """

    def __init__(self, outbox: Path, job: str) -> None:
        self._outbox = outbox
        self._path = outbox / live_speech_file(job)
        self._fd: int | None = None
        self._close: Callable[[], object] = lambda: None
        self._data = b""
        #: Bytes of samples that were given; an earlier try of the stage may have written them.
        self._given = 0
        self._skip = 0
        self.rate = 0
        self.ended = False

    def open(self) -> bool:
        """Open the file where it is there; returns whether its sound can be read."""
        if (self._fd is None or self._is_another()) and (fd := self._opened()) is not None:
            self.close()
            self._fd, self._data, self._skip, self.rate = fd, b"", self._given, 0
            self._close = weakref.finalize(self, os.close, fd)  # an answer that never begins does not close it
        if self._fd is not None and not self.rate:
            self._data += os.read(self._fd, LIVE_HEADER.size - len(self._data))
            if len(self._data) == LIVE_HEADER.size:
                mark, self.rate = LIVE_HEADER.unpack(self._data)
                self._data = b""
                if mark != LIVE_MARK:
                    raise BrokenSpeechError("speech-broken", "The speech was written by another version.", "")
        return self.rate > 0

    def _opened(self) -> int | None:
        """Return the file, open; None where it is not there, or is none of the daemon's."""
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            info = os.fstat(fd)
            if stat.S_ISREG(info.st_mode) and info.st_uid == os.stat(self._outbox / MARK).st_uid:
                return fd
        os.close(fd)
        return None

    def _is_another(self) -> bool:
        """Return whether the stage began anew, as it does where it was killed."""
        assert self._fd is not None
        try:
            there, mine = os.stat(self._path, follow_symlinks=False), os.fstat(self._fd)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)

    def read(self) -> bytes:
        """Return the samples that have come; b"" where nothing new has."""
        if self._fd is None or not self.open():
            return b""
        while chunk := os.read(self._fd, 1 << 20):
            self._data += chunk
        found = b"".join(self._parts())
        cut = min(self._skip, len(found))
        self._skip -= cut
        self._given += len(found) - cut
        return found[cut:]

    def _parts(self) -> Iterator[bytes]:
        size = LIVE_FRAME.size
        while not self.ended and len(self._data) >= size:
            (length,) = LIVE_FRAME.unpack_from(self._data)
            if length == 0:
                self.ended = True
                return
            if length > _MOST or length % 2:
                raise BrokenSpeechError("speech-broken", "The speech cannot be read.", "")
            if len(self._data) < size + length:
                return
            yield self._data[size : size + length]
            self._data = self._data[size + length :]

    def close(self) -> None:
        """Close the file."""
        self._close()
        self._fd = None


async def samples(live: LiveFile, look: Callable[[], dict[str, Any]]) -> AsyncIterator[bytes]:
    """Yield the samples of a speech as they come.

    Args:
        look: returns the status of its job.

    Raises:
        BrokenSpeechError: it does not go on.
    """
    loop = asyncio.get_running_loop()
    came = looked = loop.time()
    over = False
    while True:
        if data := live.read():
            came = looked = loop.time()
            yield data
        if live.ended:
            return
        if data:
            continue
        now = loop.time()
        if over or now - came > STILL_S:
            raise BrokenSpeechError("speech-broken", "The speech does not go on.", "Ask for it again.")
        if now - looked > _STATUS_S:
            try:
                over = (await asyncio.to_thread(look))["state"] in FINISHED  # it may have ended since the last read
            except AvatarError as exc:
                raise BrokenSpeechError(exc.code, exc.message, exc.hint) from exc
            looked = loop.time()
        else:
            await asyncio.sleep(LOOK_S)


async def encoded(
    found: AsyncIterator[bytes], rate: int, form: SpeechForm, tags: dict[str, str]
) -> AsyncIterator[bytes]:
    """Yield a speech in a form, piece by piece as its samples come.

    Args:
        found: samples.
        rate: their rate, Hz.
        tags: metadata of the file, by ffmpeg's names.

    Raises:
        BrokenSpeechError: it does not go on, or cannot be encoded.
    """
    if form == "pcm" and rate == PCM_RATE:
        async for data in found:
            yield data
        return
    process = await _encoder(rate, form, tags)
    feeding = asyncio.create_task(_feed(process, found))
    try:
        assert process.stdout is not None
        while piece := await process.stdout.read(_PIECE):
            yield piece
        await feeding
        if await process.wait() != 0:
            raise BrokenSpeechError("speech-broken", f"The speech could not be written as {form}.", "")
    finally:
        feeding.cancel()
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _feed(process: Process, found: AsyncIterator[bytes]) -> None:
    assert process.stdin is not None
    try:
        async for data in found:
            process.stdin.write(data)
            await process.stdin.drain()
    except BaseException:
        process.kill()  # else what was sent would seem to be all
        raise
    process.stdin.close()


async def _encoder(rate: int, form: SpeechForm, tags: dict[str, str]) -> Process:
    from stages.media.ffmpeg import ffmpeg_path
    from stages.tts.sound_file import encoding

    options = MADE[form] if form in MADE else encoding(cast("SoundFormat", form))
    return await asyncio.create_subprocess_exec(
        ffmpeg_path(), "-hide_banner", "-nostdin", "-v", "quiet", "-protocol_whitelist", "pipe", "-fflags", "nobuffer",
        "-probesize", "32", "-analyzeduration", "0", "-f", "s16le", "-ar", str(rate), "-ac", "1", "-i", "pipe:0", "-threads", "1",
        *(word for key, value in tags.items() for word in ("-metadata", f"{key}={value}")), *options,
        *_WHOLE_NEVER_KNOWN.get(form, ()),
        "-flush_packets", "1", "pipe:1",
        stdin=PIPE, stdout=PIPE, stderr=DEVNULL, close_fds=True,
    )  # fmt: skip
