"""An ffmpeg with NVENC for a machine without a GPU: it lists the encoders, and encodes, refuses or breaks as a real one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from stages.media.ffmpeg import ffmpeg_path

#: What ffmpeg 5.1.9 of Debian 12 prints without a driver, and what ffmpeg prints when a GPU is lost while it encodes.
NO_DRIVER = """[h264_nvenc @ 0x55d42944f380] Cannot load libcuda.so.1
Error initializing output stream 0:0 -- Error while opening encoder for output stream #0:0 - maybe incorrect parameters"""
GPU_LOST = """[h264_nvenc @ 0x55d42944f380] EncodePicture failed!: generic error (20)
Video encoding failed
Conversion failed!"""

_SCRIPT = """#!{python} -IS
import os, sys
arguments = sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(" ".join([os.environ.get("CUDA_VISIBLE_DEVICES", "all"), *arguments]) + "\\n")
if "-encoders" in arguments:
    os.write(1, b" V....D h264_nvenc           NVIDIA NVENC H.264 encoder (codec h264)\\n")
    os.write(1, b" V....D hevc_nvenc           NVIDIA NVENC hevc encoder (codec hevc)\\n")
encoder = arguments[arguments.index("-vcodec") + 1] if "-vcodec" in arguments else ""
if encoder.endswith("_nvenc"):
    trial = arguments[-1] == "pipe:1"
    if {mode!r} == "no driver":
        sys.exit({no_driver!r})
    if {mode!r} == "lost" and not trial:
        sys.stdin.buffer.read(100_000)
        target = [argument for argument in arguments if argument.startswith("file:")][-1]
        with open(target.removeprefix("file:"), "wb") as half:
            half.write(b"half a video")
        sys.exit({gpu_lost!r})
    for option in ("-preset", "-tune", "-rc", "-cq", "-b:v"):
        at = arguments.index(option)
        del arguments[at : at + 2]
    arguments[arguments.index("-vcodec") + 1] = "libx265" if encoder == "hevc_nvenc" else "libx264"
os.execv({real!r}, [{real!r}, *arguments])
"""


class NvencFfmpeg:
    """The program at `path`.

    Args:
        folder: where it is written.
        mode: whether its NVENC works, has no driver, or loses its GPU in the middle of every video.
    """

    def __init__(self, folder: Path, mode: Literal["works", "no driver", "lost"]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "ffmpeg"
        self._calls = folder / "calls"
        self.path.write_text(
            _SCRIPT.format(
                python=sys.executable,
                calls=str(self._calls),
                mode=mode,
                no_driver=NO_DRIVER,
                gpu_lost=GPU_LOST,
                real=ffmpeg_path(),
            )
        )
        self.path.chmod(0o755)

    def gpus(self) -> list[str]:
        """Return CUDA_VISIBLE_DEVICES of each video that it was to encode; `all` where it was not set."""
        calls = [
            line for line in self._calls.read_text().splitlines() if "_nvenc" in line and not line.endswith("pipe:1")
        ]
        return [line.split()[0] for line in calls]

    def trials(self) -> int:
        """Return how often an encoder was tried out."""
        return sum(line.endswith("pipe:1") for line in self._calls.read_text().splitlines())
