"""Is each frame a picture, and is the speech heard in the finished file? Checked on the way, at little cost."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from daemon.errors import ResultError
from stages.encode.ffmpeg_command import AUDIO_RATE, Frame
from stages.media.ffmpeg import Ffmpeg, failure
from stages.media.wav import open_wav
from stages.tts.recording import decode_command

#: Pixels of a frame that are looked at, at most, in each direction.
_LOOKS = 64
#: Mean difference to the first frame, of 255, that no movement of a head makes.
_UNLIKE = 80.0
#: Sound that is this far below the speech it was made of is lost. dB
_LOST_DB = 10.0
_CHUNK_BYTES = 1 << 17
_HINT = "It is tried again in a fresh process; `avatar doctor` looks at the machine."


class FrameCheck:
    """Looks at the frames of one video in order."""

    def __init__(self) -> None:
        self._count = 0
        self._first: npt.NDArray[np.int16] | None = None

    def look(self, frame: Frame) -> None:
        """Look at the next frame.

        Args:
            frame: uint8 [height, width, 3 or 4].

        Raises:
            ResultError: `picture-invalid`: it is of one colour, or nothing like the first.
        """
        rows, columns = (max(1, -(-side // _LOOKS)) for side in frame.shape[:2])
        some = frame[::rows, ::columns].astype(np.int16)
        if (some == some[0, 0]).all() and (frame == frame[0, 0]).all():
            raise ResultError("picture-invalid", f"Frame {self._count} is of one colour.", _HINT)
        if self._first is None:
            self._first = some
        elif float(np.abs(some - self._first).mean()) > _UNLIKE:
            raise ResultError("picture-invalid", f"Frame {self._count} does not resemble the first one.", _HINT)
        self._count += 1


def check_sound(video: Path, speech: Path) -> None:
    """Decode the sound of a finished video and compare its level with the speech's.

    Raises:
        ResultError: `video-silent`.
        UnknownError, MachineError: `ffmpeg-failed`, `ffmpeg-missing`.
    """
    with Ffmpeg(decode_command(str(video), AUDIO_RATE), video.parent, read=True) as process:
        heard = _energy(
            np.frombuffer(data[: len(data) // 2 * 2], "<i2") / np.float32(32768)
            for data in iter(lambda: process.stdout.read(_CHUNK_BYTES), b"")
        )
        status = process.finish()
    if status != 0:
        raise failure(status, process.log, "the sound of the finished video cannot be decoded")
    with open_wav(speech) as file:
        said, rate = _energy(file.blocks()), file.rate
    away = 10 * np.log10(max(heard / AUDIO_RATE, 1e-12) / max(said / rate, 1e-12))
    if away < -_LOST_DB:
        raise ResultError("video-silent", f"The video's sound is {-away:.0f} dB below its speech.", _HINT)


def _energy(blocks: Iterable[npt.NDArray[np.float32]]) -> float:
    return sum(float((block.astype(np.float64) ** 2).sum()) for block in blocks)
