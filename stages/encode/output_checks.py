"""Checks that each frame is a plausible picture, and that the finished file contains the speech."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from daemon.errors import TRIED_AGAIN, ResultError
from stages.encode.ffmpeg_command import AUDIO_RATE
from stages.encode.planes import PlanarFrame
from stages.media.ffmpeg import FfmpegProcess, ffmpeg_error
from stages.media.sound_track import decode_command
from stages.media.wav import open_wav

#: Maximum number of pixels per direction that are compared in a frame.
_MAX_COMPARED = 64
#: Mean difference to the first frame, of 255, that the movement of a head never reaches.
_MAX_DIFFERENCE = 80.0
#: Sound that is this far below the speech counts as lost. dB
_LOST_DB = 10.0
_CHUNK_BYTES = 1 << 17
_HINT = f"{TRIED_AGAIN} `avatar doctor` checks the machine."


class FrameCheck:
    """Checks the frames of one video in order."""

    def __init__(self) -> None:
        self._count = 0
        self._first: npt.NDArray[np.uint8] | None = None

    def check(self, frame: PlanarFrame) -> None:
        """Check the next frame: its brightness, since no face has only one.

        Raises:
            ResultError: `picture-invalid`: it has only one colour, or does not resemble the first frame.
        """
        picture = frame.y
        rows, columns = (max(1, -(-side // _MAX_COMPARED)) for side in picture.shape)
        some = np.ascontiguousarray(picture[::rows, ::columns])
        darkest, brightest, *_ = cv2.minMaxLoc(some)
        if darkest == brightest and (picture == picture[0, 0]).all():
            raise ResultError("picture-invalid", f"Frame {self._count} has only one colour.", _HINT)
        if self._first is None:
            self._first = some
        elif cv2.norm(some, self._first, cv2.NORM_L1) > _MAX_DIFFERENCE * some.size:
            raise ResultError("picture-invalid", f"Frame {self._count} does not resemble the first one.", _HINT)
        self._count += 1


def check_sound(video: Path, speech: Path) -> None:
    """Decode the sound of a finished video and compare its level with that of the WAV file `speech`.

    Raises:
        ResultError: `video-silent`.
        UnknownError, MachineError: `ffmpeg-failed`, `ffmpeg-missing`.
    """
    with FfmpegProcess(decode_command(str(video), AUDIO_RATE), video.parent, read=True) as process:
        with open_wav(speech) as file:
            said, rate = _energy(file.blocks()), file.rate
        heard = _energy(
            np.frombuffer(data[: len(data) // 2 * 2], "<i2") / np.float32(32768)
            for data in iter(lambda: process.stdout.read(_CHUNK_BYTES), b"")
        )
        status = process.finish()
    if status != 0:
        raise ffmpeg_error(status, process.log, "the sound of the finished video cannot be decoded")
    away = 10 * np.log10(max(heard / AUDIO_RATE, 1e-12) / max(said / rate, 1e-12))
    if away < -_LOST_DB:
        raise ResultError("video-silent", f"The video's sound is {-away:.0f} dB below its speech.", _HINT)


def _energy(blocks: Iterable[npt.NDArray[np.float32]]) -> float:
    return sum(float((block.astype(np.float64) ** 2).sum()) for block in blocks)
