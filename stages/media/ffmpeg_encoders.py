"""Finds out which encoders and filters an ffmpeg has, and whether an encoder works on this machine.

The answers are kept for the process; that one does not work, only for a while: a GPU may be full, or its driver not loaded yet.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from functools import lru_cache

from daemon.errors import MachineError
from daemon.system.process import die_with_parent

_LIST_S = 30.0  # maximum time for the list
#: Maximum time for a trial. CUDA initialises every GPU that nobody has open before NVENC works on one, which without persistence
#: mode takes the driver 1 to 3 s for each. s
_TRIAL_S = 40.0
_TRIAL_FRAMES, _TRIAL_SIDE = 5, 256
#: An encoder that failed in its trial is tried again after so long. s
FAILED_S = 600.0
#: A line of `ffmpeg -encoders`: six flags and the name; and of `ffmpeg -filters`: two or three flags, the name, what it takes and
#: gives.
_LISTED = {
    "-encoders": re.compile(r"^ [VAS][.A-Z]{5} (\S+)", re.MULTILINE),
    "-filters": re.compile(r"^ [.A-Z]{2,3} (\S+) +\S+->", re.MULTILINE),
}

#: Why each encoder failed, or an empty text, and when that was found out, by program, its version, encoder and options.
_trials: dict[tuple[str, int, str, tuple[str, ...]], tuple[str, float]] = {}


def listed_encoders(path: str) -> frozenset[str]:
    """Return the names of the encoders that the ffmpeg at `path` was built with.

    Raises:
        MachineError: `ffmpeg-missing`: it does not run.
    """
    return _listed(path, _version_of(path), "-encoders")


def listed_filters(path: str) -> frozenset[str]:
    """Return the names of the filters that the ffmpeg at `path` was built with.

    Raises:
        MachineError: `ffmpeg-missing`: it does not run.
    """
    return _listed(path, _version_of(path), "-filters")


@lru_cache(maxsize=16)
def _listed(path: str, version: int, what: str) -> frozenset[str]:
    status, output, problem = _run([path, "-hide_banner", what], b"", _LIST_S)
    if status != 0:
        raise MachineError(
            "ffmpeg-missing", f"{path} {problem or f'ended with status {status}'}.", "See `avatar doctor`."
        )
    return frozenset(_LISTED[what].findall(output))


def why_encoder_fails(path: str, encoder: str, options: tuple[str, ...]) -> str:
    """Encode a few frames. Returns why that fails, as a phrase, or an empty text if it works.

    Args:
        path: the ffmpeg.
        encoder: name of a video encoder that takes yuv420p.
        options: its options, as on the command line.
    """
    key = path, _version_of(path), encoder, options
    if (known := _trials.get(key)) is None or (known[0] and time.monotonic() - known[1] >= FAILED_S):
        known = _trials[key] = _try_encoder(path, encoder, options), time.monotonic()
    return known[0]


def _try_encoder(path: str, encoder: str, options: tuple[str, ...]) -> str:
    frames = bytes(_TRIAL_SIDE * _TRIAL_SIDE * 3 // 2 * _TRIAL_FRAMES)
    command = [
        path, "-hide_banner", "-nostdin", "-v", "error", "-f", "rawvideo", "-pixel_format", "yuv420p",
        "-video_size", f"{_TRIAL_SIDE}x{_TRIAL_SIDE}", "-framerate", "25", "-i", "pipe:0",
        "-vcodec", encoder, *options, "-f", "framecrc", "pipe:1",
    ]  # fmt: skip
    status, output, problem = _run(command, frames, _TRIAL_S)
    if status != 0:
        return problem or f"ffmpeg ended with status {status}"
    packets = sum(not line.startswith("#") for line in output.splitlines())
    return "" if packets == _TRIAL_FRAMES else f"{packets} of {_TRIAL_FRAMES} frames were encoded"


def forget_trials() -> None:
    """Make the next `why_encoder_fails` try again."""
    _trials.clear()


def _version_of(path: str) -> int:
    """Return a number that changes when the file at `path` is replaced."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _run(command: list[str], feed: bytes, limit_s: float) -> tuple[int, str, str]:
    """Returns exit status, stdout, and the first line of stderr or another reason why it failed."""
    try:
        done = subprocess.run(
            command, input=feed, capture_output=True, timeout=limit_s, check=False, preexec_fn=die_with_parent
        )
    except subprocess.TimeoutExpired:
        return -1, "", f"did not answer within {limit_s:.0f} s"
    except OSError as exc:
        return -1, "", f"cannot be run: {exc.strerror}"
    complaint = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return (
        done.returncode,
        done.stdout.decode("utf-8", "replace"),
        re.sub(r"^\[.*?\] *", "", complaint[0]) if complaint else "",
    )
