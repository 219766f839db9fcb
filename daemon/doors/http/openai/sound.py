"""Opens the sound that a job made, in the form that the client wants: as it lies in the outbox, or made of that by ffmpeg."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from daemon.config.paths import Paths
from daemon.doors.http.openai.speech_request import SpeechForm
from daemon.doors.http.results import open_result
from daemon.errors import MachineError

#: Rate of raw samples: 16 bits each, little-endian, mono. Hz
PCM_RATE: Final = 24_000
TYPES: Final[dict[SpeechForm, str]] = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
#: How ffmpeg makes the forms that no job makes. Both can be played while they come.
MADE: Final[dict[str, tuple[str, ...]]] = {
    "aac": ("-c:a", "aac", "-b:a", "96k", "-f", "adts"),
    "pcm": ("-c:a", "pcm_s16le", "-ar", str(PCM_RATE), "-ac", "1", "-f", "s16le"),
}
#: A conversion that takes longer is given up, s; it makes 100 s of sound a second.
_LIMIT_S: Final = 60.0
#: Sounds that this process converts at a time; others wait.
_AT_A_TIME: Final = threading.BoundedSemaphore(2)
#: Read at a time: a multiple of 3, so that pieces of Base64 can be joined. Bytes
_PIECE: Final = 48 << 10
#: Largest file with the times of the words, in bytes.
_TIMES_BYTES: Final = 16 << 20


@dataclass(frozen=True)
class Sound:
    """An open sound. Whoever has it closes `fd`.

    Attributes:
        fd: file descriptor, at its beginning.
        size: in bytes.
        form: its form.
    """

    fd: int
    size: int
    form: SpeechForm

    def pieces(self) -> Iterator[bytes]:
        """Yield it in Base64, piece by piece, and close it."""
        try:
            while piece := os.read(self.fd, _PIECE):
                yield base64.b64encode(piece)
        finally:
            os.close(self.fd)


def open_sound(paths: Paths, output: dict[str, Any], form: SpeechForm) -> Sound:
    """Return the result of a job in a form.

    Args:
        output: its entry in `outputs`.

    Raises:
        RequestError: `cleared`.
        MachineError: `ffmpeg-missing`, `disk-full`, `speech-slow`.
        UnknownError: `ffmpeg-failed`.
    """
    fd = open_result(paths, output)
    if form not in MADE:
        return Sound(fd, os.fstat(fd).st_size, form)
    try:
        return (_samples(fd) if form == "pcm" else None) or _converted(fd, form)
    finally:
        os.close(fd)


def _samples(fd: int) -> Sound | None:
    """Return the samples of a WAV as they are, which takes no time; None where ffmpeg must change them."""
    from stages.media.wav import open_wav

    with os.fdopen(os.dup(fd), "rb") as file, open_wav(file) as wav, tempfile.TemporaryFile() as made:
        if (wav.rate, wav.channels) != (PCM_RATE, 1):
            os.lseek(fd, 0, os.SEEK_SET)
            return None
        made.writelines(wav.stored_blocks())
        return _sound(made, "pcm")


def _sound(made: IO[bytes], form: SpeechForm) -> Sound:
    made.flush()
    size = made.seek(0, os.SEEK_END)
    made.seek(0)
    return Sound(os.dup(made.fileno()), size, form)


def _converted(fd: int, form: SpeechForm) -> Sound:
    from stages.media.ffmpeg import FfmpegProcess, ffmpeg_error, ffmpeg_path

    command = [
        ffmpeg_path(), "-hide_banner", "-nostdin", "-v", "error", "-protocol_whitelist", "file,pipe", "-f", "wav",
        # The very file that was looked at, wherever its name leads by now.
        "-i", f"file:/proc/{os.getpid()}/fd/{fd}", "-map", "0:a:0", "-map_metadata", "-1", "-threads", "1", *MADE[form],
        "pipe:1",
    ]  # fmt: skip
    with _AT_A_TIME, tempfile.TemporaryFile() as made, FfmpegProcess(command, Path("/"), read=True) as process:
        given_up = threading.Event()

        def give_up() -> None:
            given_up.set()
            process.kill()

        timer = threading.Timer(_LIMIT_S, give_up)
        timer.start()
        try:
            for data in iter(lambda: process.stdout.read(_PIECE), b""):
                made.write(data)
            status = process.finish()
        finally:
            timer.cancel()
        if given_up.is_set():
            raise MachineError(
                "speech-slow", f"Converting the speech to {form} took more than {_LIMIT_S:g} s.", "Try again later."
            )
        if status != 0:
            raise ffmpeg_error(status, process.log, f"the speech could not be written as {form}")
        return _sound(made, form)


def read_words(paths: Paths, output: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the words of a speech with their times, s: `word`, `start_time`, `end_time`.

    Args:
        output: the entry in `outputs` of the file with the times.

    Raises:
        RequestError: `cleared`.
    """
    with contextlib.closing(os.fdopen(open_result(paths, output), "rb")) as file:
        timing = json.loads(file.read(_TIMES_BYTES))
    return [
        {"word": one["text"], "start_time": one["start"], "end_time": one["end"]} for one in timing.get("words") or []
    ]
