"""What `kind: info` says of a video: how players show it, and which of its tracks is damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import stages.info
from daemon.jobs.companions import copy_name
from stages.context import Context
from tests.support.stages.sound_jobs import ffmpeg, job

pytestmark = pytest.mark.usefixtures("processes")

#: A corner of another colour shows how a picture lies.
CORNER = ("-f", "lavfi", "-i", "color=c=blue:s=64x32:r=25:d=0.4,drawbox=w=16:h=16:c=white:t=fill")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-g", "5", "-pix_fmt", "yuv420p")


def report(folder: Path, *options: str, ending: str = "mp4") -> tuple[Context, dict[str, Any]]:
    """Return a job about a file that ffmpeg makes by these options, and what it reports."""
    ctx = job(folder, image=None, kind="info", video=f"clip.{ending}")
    made = folder / f"made.{ending}"
    ffmpeg(*options, str(made))
    made.rename(ctx.path(copy_name("video")))
    return ctx, reported(ctx)


def reported(ctx: Context) -> dict[str, Any]:
    """Run the stage and return what it reports."""
    stages.info.run(ctx)
    found: dict[str, Any] = json.loads(ctx.path("info.json").read_bytes())
    return found


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-display_hflip",),
        ("-display_vflip",),
        ("-display_rotation", "180"),
        ("-display_rotation", "90"),
        ("-display_rotation", "90", "-display_hflip"),
        ("-display_rotation", "270", "-display_hflip"),
    ],
    ids=lambda value: " ".join(value) or "as-stored" if isinstance(value, tuple) else None,
)
def test_how_players_turn_and_mirror_a_video_is_told(tmp_path: Path, options: tuple[str, ...]) -> None:
    plain = tmp_path / "plain.mp4"
    ffmpeg(*CORNER, *H264, str(plain))
    ctx, found = report(tmp_path / "job", *options, "-i", str(plain), "-c", "copy")
    # Given the picture as ffmpeg shows it / Then the stored picture, mirrored and turned as reported, is the same
    (track,) = found["video"]
    turned = {0: "null", 90: "transpose=clock", 180: "hflip,vflip", 270: "transpose=cclock"}[track["rotation"]]
    told = f"{'hflip' if track['mirrored'] else 'null'},{turned}"
    shown, stored = tmp_path / "shown", tmp_path / "stored"
    raw = ("-frames:v", "1", "-pix_fmt", "gray", "-f", "rawvideo")
    ffmpeg("-i", str(ctx.source("video")), *raw, str(shown))
    ffmpeg("-i", str(plain), "-vf", told, *raw, str(stored))
    assert shown.read_bytes() == stored.read_bytes()


def test_damage_of_the_picture_is_not_told_of_the_sound(tmp_path: Path) -> None:
    # Given a video whose first frame is damaged, which ffmpeg reads whichever track is wanted
    tone = ("-f", "lavfi", "-i", "sine=f=330:r=48000:d=0.4")
    ctx, whole = report(tmp_path, *CORNER, *tone, *H264)
    assert whole["damage"] == []
    source = ctx.source("video")
    data, frame = bytearray(source.read_bytes()), tmp_path / "frame"
    ffmpeg("-i", str(source), "-map", "0:v", "-frames:v", "1", "-c", "copy", "-f", "data", str(frame))
    start, length = data.find(frame.read_bytes()), frame.stat().st_size
    assert start > 0
    data[start + length - 20 : start + length] = b"\xa5" * 20
    source.write_bytes(data)
    # Then only the picture is
    (told,) = reported(ctx)["damage"]
    assert told.startswith("The picture (track 0) cannot be decoded everywhere")


def test_the_only_track_is_the_one_that_players_choose(tmp_path: Path) -> None:
    _, found = report(tmp_path, *CORNER, "-c:v", "mpeg4", ending="avi")
    assert found["video"][0]["default"] is True


@pytest.mark.parametrize("form", ["gif", "png", "webp"])
def test_a_picture_that_moves_has_a_length(tmp_path: Path, form: str) -> None:
    ctx = job(tmp_path, image="a.png", kind="info")
    frames = [Image.new("RGB", (32, 32), (60 * number, 0, 0)) for number in range(4)]
    frames[0].save(ctx.source("image"), form, save_all=True, append_images=frames[1:], duration=120)
    found = reported(ctx)
    assert (found["duration_s"], found["picture"]["frames"]) == (0.48, 4)
    frames[0].save(ctx.source("image"), form)
    found = reported(ctx)
    assert (found["duration_s"], found["picture"]["frames"]) == (0.0, 1)
