"""Memory that a pipe refers to: it arrives whole, without a copy, or is written where the kernel refuses."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

from daemon.system.process import PIPE_BYTES
from stages.media import shared_pages
from stages.media.ffmpeg import FfmpegProcess
from stages.media.shared_pages import give_pages


def shared(count: int) -> npt.NDArray[np.uint8]:
    data = np.frombuffer(mmap.mmap(-1, count), np.uint8)
    data[:] = np.arange(count) % 251
    return data


def test_a_pipe_refers_to_the_memory_itself() -> None:
    # Given shared memory that was given to a pipe, from the middle of a page on
    data = shared(40_000)  # less than the smallest pipe holds
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as received, os.fdopen(writer, "wb") as pipe:
        assert give_pages(pipe, data[100:]) == len(data) - 100
        # When it changes before it is read
        data[:] = 7
        # Then the change is what is read: nothing was copied
        assert received.read(len(data) - 100) == data[100:].tobytes()


def test_a_pipe_that_nobody_reads_breaks() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe, pytest.raises(BrokenPipeError):
        give_pages(pipe, shared(5000))


def _refuse(*_: object) -> int:
    ctypes.set_errno(errno.EPERM)  # as systemd's filter of system calls does
    return -1


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("kernel", ["gives pages", "refuses", "has no vmsplice"])
@pytest.mark.parametrize("stays", [True, False])
def test_all_bytes_arrive(kernel: str, stays: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a program that reads, and memory larger than the pipe
    if kernel != "gives pages":
        calls = SimpleNamespace(vmsplice=_refuse) if kernel == "refuses" else SimpleNamespace()
        monkeypatch.setattr(shared_pages, "_libc", calls)
    data, program = shared(2 * PIPE_BYTES + 4321), shutil.which("tee")
    assert program is not None
    # When it is fed with bytes of its own before and after
    with FfmpegProcess([program, "all"], tmp_path, feed=True) as process:
        process.stdin.write(b"before")
        process.feed(data, stays)
        process.stdin.write(b"after")
        assert process.finish() == 0
    # Then all arrive, in their order
    assert (tmp_path / "all").read_bytes() == b"before" + data.tobytes() + b"after"
