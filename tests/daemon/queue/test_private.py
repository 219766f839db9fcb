"""Texts, portraits and voices are people's own: no other user of the machine can read them, whatever umask the daemon has."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import PORTRAIT, Installation, wait_for
from tests.support.daemon.worker_seam import Gates

Make = Callable[..., Installation]


def open_to(bits: int, *roots: Path) -> list[str]:
    """What below some folders, and the folders themselves, gives any of these rights. Links say nothing."""
    found = []
    for root in roots:
        for folder, _, files in os.walk(root):  # jobs move on meanwhile: what is gone is passed over
            for path in (folder, *(os.path.join(folder, file) for file in files)):
                with contextlib.suppress(FileNotFoundError):
                    mode = os.lstat(path).st_mode
                    if mode & bits and not stat.S_ISLNK(mode):
                        found.append(f"{path} {stat.filemode(mode)}")
        if root.is_file() and root.stat().st_mode & bits:
            found.append(f"{root} {stat.filemode(root.stat().st_mode)}")
    return found


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_what_the_daemon_and_its_workers_make_is_closed_to_other_users(
    installation: Make, tmp_path: Path, recording: Path, umask: int
) -> None:
    # Given a daemon with some umask, on a spool that another version left open
    house = installation()
    house.knows_faces = False  # workers make the cache, too
    (house.spool / "face" / "ready").mkdir(parents=True)
    for folder in (house.spool, house.spool / "face" / "ready"):
        folder.chmod(0o755)
    gates = Gates(house, tmp_path / "seam")
    gates.shut("deliver")
    before = os.umask(umask)
    try:
        house.start()
        # When a video and a voice profile are made of what people can all read
        house.drop(
            "hello.yaml", {"text": "Hello.", "image": "p.png", "size": "256x256", "captions": "srt"}, p__png=PORTRAIT
        )
        house.drop("mine.yaml", {"kind": "voice", "audio": "me.wav"}, me__wav=recording)
    finally:
        os.umask(before)
    wait_for("the video to be made", lambda: any(house.spool.glob("deliver/*/job-*/video.mp4")))
    # Then, while they lie in the spool with all that the stages made of them, nothing of it is open to others
    assert open_to(0o007, house.spool) == []
    gates.open("deliver")
    assert house.finished("hello")["state"] == "done"
    assert house.finished("mine")["state"] == "done"
    assert list(house.spool.glob("cache/rigs/*.npz"))
    assert list(house.spool.glob("profiles/vp-*/*.wav"))
    assert open_to(0o007, house.spool, house.outbox / "hello.mp4", house.outbox / "hello.json") == []
    # And what the umask leaves to the group stays its own: it sends requests, and takes results
    group = stat.S_IMODE((house.spool / "control").stat().st_mode) & 0o070
    assert group == 0o070 & ~umask
    assert stat.S_IMODE((house.outbox / "hello.mp4").stat().st_mode) & 0o060 == 0o060 & ~umask
    # And who asks while the daemon is down makes nothing that is open
    house.stop()
    before = os.umask(0o000)
    try:
        house.avatar("pause")
    finally:
        os.umask(before)
    assert list((house.spool / "control").iterdir())
    assert open_to(0o007, house.spool) == []
