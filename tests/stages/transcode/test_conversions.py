"""What `kind: encode` makes of sources of every form, and with which code it refuses what it cannot convert."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import stages.transcode
from daemon.errors import JobError, MachineError
from daemon.jobs.companions import copy_name
from stages.context import Context
from stages.transcode import room
from stages.transcode.plan import Plan
from stages.transcode.room import least_bytes
from tests.support.stages.sound_jobs import ffmpeg, job, look

pytestmark = pytest.mark.usefixtures("processes")

PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=192x108:r=25:d=1")
TONE = ("-f", "lavfi", "-i", "sine=f=330:r=48000:d=1")
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def encode_job(folder: Path, *options: str, ending: str = "mp4", **manifest: Any) -> Context:
    """Return a job with a source video that ffmpeg makes by these options."""
    settings = manifest.pop("settings", None)
    ctx = job(folder, settings, image=None, kind="encode", video=f"clip.{ending}", **manifest)
    ffmpeg(*(options or (*PICTURE, *TONE, *H264)), str(folder / f"made.{ending}"))
    (folder / f"made.{ending}").rename(ctx.path(copy_name("video")))
    return ctx


def damaged(folder: Path, damage: Callable[[bytes], bytes], **manifest: Any) -> Context:
    """Return a job whose source was changed after it was made."""
    ctx = encode_job(folder, **manifest)
    source = ctx.path(copy_name("video"))
    source.write_bytes(damage(source.read_bytes()))
    return ctx


def result(ctx: Context) -> Path:
    """Return the video that a job made."""
    (found,) = (path for path in ctx.job_dir.iterdir() if path.name.startswith("video."))
    return found


@pytest.mark.parametrize(
    ("form", "codec", "told"),
    [
        ("mp4", "h264", "h264"),
        ("mp4", "hevc", "hevc"),
        ("webm", None, "vp9"),
        ("mov", None, "prores"),
    ],
)
def test_each_format_can_be_made_of_another_one(tmp_path: Path, form: str, codec: str | None, told: str) -> None:
    # Given a video of another family
    source = ("webm", "-c:v", "libvpx-vp9", "-deadline", "realtime", "-c:a", "libopus")
    other = source if form != "webm" else ("mov", *H264)
    ctx = encode_job(tmp_path, *PICTURE, *TONE, *other[1:], ending=other[0], format=form, codec=codec, size="160x128")
    # When it is converted / Then the result has the codec, the size, every frame, and its sound
    facts = stages.transcode.run(ctx)
    seen = look(result(ctx))
    assert re.search(rf"Video: {told}\b", seen)
    assert "160x128" in seen
    assert (facts["frames"], facts["sound"] != "none") == (25, True)
    assert facts["duration_s"] == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize(
    ("size", "manifest", "expected"),
    [
        ("191x107", {}, (190, 106)),  # colour is stored for pairs of pixels
        ("192x108", {"crop": "101x51+3+5"}, (100, 50)),
        ("192x108", {"aspect": "9:16", "fit": "pad"}, (192, 342)),
        ("192x108", {"aspect": "1:1", "fit": "crop"}, (108, 108)),
        ("192x108", {"size": "320x240", "fit": "blur"}, (320, 240)),
        ("640x360", {"quality": "draft"}, (320, 180)),
    ],
)
def test_a_picture_gets_the_size_that_was_asked_for(
    tmp_path: Path, size: str, manifest: dict[str, Any], expected: tuple[int, int]
) -> None:
    # Given a source of any size, also an odd one
    source = ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=10:d=0.5")
    ctx = encode_job(tmp_path, *source, "-c:v", "ffv1", "-pix_fmt", "yuv444p", ending="mkv", **manifest)
    facts = stages.transcode.run(ctx)
    assert (facts["width"], facts["height"]) == expected
    assert f"{expected[0]}x{expected[1]}" in look(result(ctx))


def test_only_what_changes_is_encoded(tmp_path: Path) -> None:
    # Given a video whose sound alone is replaced by one of the same length
    ctx = encode_job(tmp_path, audio="new.wav")
    ffmpeg(*TONE, str(tmp_path / "new.wav"))
    (tmp_path / "new.wav").rename(ctx.path(copy_name("audio")))
    source = ctx.path(copy_name("video"))
    before = packets(source)
    facts = stages.transcode.run(ctx)
    # Then the picture's packets are the source's
    assert (facts["encoder"], facts["sound"]) == ("copy", "aac")
    assert packets(result(ctx)) == before


def packets(path: Path) -> str:
    """Return a digest of the picture's packets."""
    digest = path.with_name("digest")
    ffmpeg("-i", str(path), "-map", "0:v:0", "-c", "copy", "-f", "hash", str(digest))
    return digest.read_text()


@pytest.mark.parametrize(("mode", "seconds"), [("longest", 2.0), ("cut", 1.0), ("loop", 2.0)])
def test_a_longer_sound_goes_to_its_end_or_is_cut(tmp_path: Path, mode: str, seconds: float) -> None:
    ctx = encode_job(tmp_path, audio="new.wav", sync_mode=mode)
    ffmpeg("-f", "lavfi", "-i", "sine=f=220:r=48000:d=2", str(tmp_path / "new.wav"))
    (tmp_path / "new.wav").rename(ctx.path(copy_name("audio")))
    facts = stages.transcode.run(ctx)
    assert facts["duration_s"] == pytest.approx(seconds, abs=0.04)
    assert facts["frames"] == pytest.approx(25 * seconds, abs=1)


def test_a_picture_that_is_to_begin_again_ends_also_where_the_sound_is_hardly_longer(tmp_path: Path) -> None:
    # Given a sound that an MP4 takes as it is, longer than the picture by the filling of its last packet
    ctx = encode_job(tmp_path, audio="new.mp3", sync_mode="loop")
    ffmpeg(*TONE, str(tmp_path / "new.mp3"))
    (tmp_path / "new.mp3").rename(ctx.path(copy_name("audio")))
    # When both are copied / Then the video ends
    facts = stages.transcode.run(ctx)
    assert (facts["encoder"], facts["sound"], facts["frames"]) == ("copy", "copied", 25)


@pytest.mark.parametrize(("memory_mb", "code"), [(16, "video-unreadable"), (256, None)])
def test_no_piece_of_a_source_takes_more_memory_than_the_setting_says(
    tmp_path: Path, memory_mb: int, code: str | None
) -> None:
    # Given a source whose frames need 23 MB each
    source = ("-f", "lavfi", "-i", "testsrc2=s=3200x2400:r=5:d=0.2", "-c:v", "rawvideo", "-pix_fmt", "bgr24")
    settings = {"stages": {"transcode": {"memory_mb": memory_mb}}}
    ctx = encode_job(tmp_path, *source, ending="avi", size="320x240", settings=settings)
    # Then it is converted only where one may take so much
    told = None
    try:
        stages.transcode.run(ctx)
    except JobError as error:
        told = error.code
    assert told == code


def test_captions_are_burned_in_or_written_beside(tmp_path: Path) -> None:
    for captions, written in (("burn", []), ("vtt", ["captions.vtt"])):
        ctx = encode_job(tmp_path / captions, subtitles="words.srt", captions=captions)
        srt = (
            "1\n00:00:00,100 --> 00:00:00,900\n<i>Hello</i> & welcome\n\n2\n00:00:05,000 --> 00:00:06,000\nNever seen\n"
        )
        ctx.path(copy_name("subtitles")).write_text(srt)
        facts = stages.transcode.run(ctx)
        assert [path.name for path in sorted(ctx.job_dir.glob("captions.*"))] == written
        assert (facts["encoder"] == "copy") is (captions == "vtt")
        assert ctx.warnings == ["1 of 2 captions begin after the end of the video and are not seen."]
    assert "Hello &amp; welcome" in ctx.path("captions.vtt").read_text()


def test_a_video_without_sound_stays_without_and_one_that_is_turned_is_upright(tmp_path: Path) -> None:
    # Given a phone's video that says it is to be turned
    ctx = encode_job(tmp_path, *PICTURE, *H264, fps=30)
    source = ctx.path(copy_name("video"))
    turned = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", "90", "-i", str(source), "-c", "copy", str(turned))
    turned.rename(source)
    facts = stages.transcode.run(ctx)
    assert (facts["width"], facts["height"], facts["sound"]) == (108, 192, "none")
    assert "rotation" not in look(result(ctx))


HDR = ("-f", "lavfi", "-i", "color=c=white:s=64x64:r=25:d=0.2,format=yuv420p10le")


@pytest.mark.parametrize(
    "colours",
    [
        "color_trc=smpte2084",
        "color_trc=arib-std-b67",
        "color_trc=smpte2084:color_primaries=smpte432:colorspace=bt2020nc",
    ],
    ids=["pq-without-primaries", "hlg-without-primaries", "pq-in-p3"],
)
def test_a_high_dynamic_range_becomes_the_usual_one_and_white_stays_grey(tmp_path: Path, colours: str) -> None:
    # Given white with PQ or HLG, from a program that writes all or only a part of what it knows of the colours
    ctx = encode_job(tmp_path, *HDR, "-vf", f"setparams={colours}", "-c:v", "ffv1", ending="mkv", size="128x128")
    stages.transcode.run(ctx)
    # Then it is told, and the result has the usual range, and no tint beyond that of HLG's own brightness
    assert [warning for warning in ctx.warnings if "HDR" in warning]
    assert "bt709" in look(result(ctx))
    pixel = tmp_path / "pixel"
    ffmpeg("-i", str(result(ctx)), "-frames:v", "1", "-pix_fmt", "rgb24", "-f", "rawvideo", str(pixel))
    shown = pixel.read_bytes()[:3]
    assert max(shown) - min(shown) <= 8


CLEAR = ("-f", "lavfi", "-i", "color=red@0:s=192x108:r=5:d=1,format=rgba,drawbox=9:9:50:50:blue:t=fill:replace=1")
FILM = (*CLEAR, "-vf", "format=rgba,geq=r=255:g=0:b=0:a='if(gte(N,3),0,255)'")  # the first frames are opaque
PALETTE = ("-filter_complex", "split[a][b];[a]palettegen=reserve_transparent=1[p];[b][p]paletteuse")
VP9 = ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-deadline", "realtime")


@pytest.mark.parametrize(
    ("ending", "source", "told"),
    [
        ("mov", (*FILM, "-pix_fmt", "argb", "-c:v", "qtrle"), True),
        ("webm", (*CLEAR, *VP9), True),
        ("gif", (*CLEAR, *PALETTE), True),
        ("mov", (*PICTURE, "-pix_fmt", "argb", "-c:v", "qtrle"), False),
        ("webm", (*PICTURE, *VP9), False),
        ("gif", PICTURE, False),
    ],
)
def test_what_is_transparent_is_told_where_the_result_is_not(
    tmp_path: Path, ending: str, source: tuple[str, ...], told: bool
) -> None:
    made = encode_job(tmp_path, *source, ending=ending, format="mp4")
    stages.transcode.run(made)
    assert any("transparent" in warning for warning in made.warnings) is told


def spoil(path: Path, track: str, every: int) -> None:
    """Overwrite some bytes of one in `every` packets of a track, from the second on."""
    listing = path.with_name("packets")
    ffmpeg("-i", str(path), "-map", f"0:{track}", "-c", "copy", "-f", "framehash", str(listing))
    sizes = [int(line.split(",")[4]) for line in listing.read_text().splitlines() if not line.startswith("#")]
    raw = path.with_name("raw")
    ffmpeg("-i", str(path), "-map", f"0:{track}", "-c", "copy", "-f", "data", str(raw))
    stream, data, at = raw.read_bytes(), bytearray(path.read_bytes()), 0
    for number, size in enumerate(sizes):
        if number % every == every - 1:
            found = data.find(stream[at : at + size])
            assert found > 0
            data[found + size // 4 : found + size] = b"\xa5" * (size - size // 4)
        at += size
    path.write_bytes(data)


@pytest.mark.parametrize(("track", "what"), [("v", "picture"), ("a", "sound")])
def test_the_copy_of_a_damaged_track_is_delivered_and_the_damage_is_told(tmp_path: Path, track: str, what: str) -> None:
    # Given a video whose picture or sound is damaged in places, and nothing to change
    ctx = encode_job(tmp_path, *PICTURE, *TONE, *H264, "-g", "5")
    spoil(ctx.path(copy_name("video")), track, 5 if what == "sound" else 3)
    facts = stages.transcode.run(ctx)
    assert (facts["encoder"], facts["sound"]) == ("copy", "copied")
    told = [warning for warning in ctx.warnings if f"The {what} of the file named in `video` is damaged" in warning]
    assert len(told) == 1
    assert "repeated" not in " ".join(ctx.warnings)
    # When it is encoded anew, it is delivered as well
    again = encode_job(tmp_path / "again", size="160x128")
    ctx.path(copy_name("video")).rename(again.path(copy_name("video")))
    stages.transcode.run(again)
    assert [warning for warning in again.warnings if "damaged" in warning]


PLAYLIST = "ffconcat version 1.0\nfile 'other.mp4'\n"
HLS = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize("playlist", [PLAYLIST, HLS], ids=["concat", "hls"])
def test_a_playlist_opens_no_other_file(tmp_path: Path, playlist: str) -> None:
    # Given a list in place of the video, and beside it the video that it names, which ffmpeg would read
    ctx = damaged(tmp_path, lambda data: playlist.encode())
    for name in ("other.mp4", "other.ts"):
        ffmpeg(*PICTURE, *TONE, *H264, str(ctx.job_dir / name))
    # Then the list is no video
    with pytest.raises(JobError) as caught:
        stages.transcode.run(ctx)
    assert caught.value.code == "video-unreadable"


ENCRYPTED = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "ab" * 16, "-encryption_kid", "cd" * 16)
UNUSUAL_COLOURS = ("-vf", "setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=smpte2085", "-c:v", "ffv1")


@pytest.mark.parametrize(
    ("code", "make"),
    [
        ("video-empty", lambda folder: damaged(folder, lambda data: b"")),
        ("video-unreadable", lambda folder: damaged(folder, lambda data: b"a shopping list\n" * 40)),
        ("video-truncated", lambda folder: damaged(folder, lambda data: data[: len(data) * 2 // 3])),
        ("video-no-picture", lambda folder: encode_job(folder, *TONE, "-c:a", "aac")),
        ("video-too-long", lambda folder: encode_job(folder, settings={"stages": {"transcode": {"max_video_s": 0.5}}})),
        (
            "video-too-large",
            lambda folder: encode_job(folder, settings={"stages": {"transcode": {"max_pixels": 20_000}}}),
        ),
        ("video-encrypted", lambda folder: encode_job(folder, *PICTURE, *TONE, *H264, *ENCRYPTED)),
        ("video-colours", lambda folder: encode_job(folder, *HDR, *UNUSUAL_COLOURS, ending="mkv", size="128x128")),
        ("crop-outside", lambda folder: encode_job(folder, crop="150x100+100+0")),
        ("crop-outside", lambda folder: encode_job(folder, crop="8x100+0+0")),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_cannot_be_converted_is_refused_with_its_code_and_nothing_is_left(
    tmp_path: Path, code: str, make: Callable[[Path], Context]
) -> None:
    ctx = make(tmp_path)
    with pytest.raises(JobError) as caught:
        stages.transcode.run(ctx)
    assert caught.value.code == code
    assert caught.value.message.endswith(".")
    assert caught.value.hint
    assert not [path for path in ctx.job_dir.iterdir() if path.name.startswith((".", "video.", "captions."))]


@pytest.mark.parametrize(
    ("key", "data", "code"),
    [
        ("audio", b"", "audio-empty"),
        ("audio", b"no sound\n" * 100, "audio-unreadable"),
        ("subtitles", b"no captions\n", "subtitles-unreadable"),
        ("subtitles", "1\n00:00:01,000 --> 00:00:02,000\nZoë\n".encode("latin-1"), "subtitles-unreadable"),
        ("subtitles", b"1\n00:00:03,000 --> 00:00:02,000\nBackwards\n", "subtitles-unreadable"),
    ],
)
def test_a_file_beside_the_video_that_cannot_be_used_is_named(tmp_path: Path, key: str, data: bytes, code: str) -> None:
    more = {"captions": "srt"} if key == "subtitles" else {}
    ctx = encode_job(tmp_path, **{key: f"beside.{'wav' if key == 'audio' else 'srt'}"}, **more)
    ctx.path(copy_name(key)).write_bytes(data)
    with pytest.raises(JobError) as caught:
        stages.transcode.run(ctx)
    assert caught.value.code == code
    assert f"`{key}`" in caught.value.message


def test_sound_that_goes_on_behind_the_picture_is_kept_to_its_end(tmp_path: Path) -> None:
    longer = ("-f", "lavfi", "-i", "sine=f=330:r=48000:d=2.5")
    ctx = encode_job(tmp_path, *PICTURE, *longer, *H264, size="160x128")
    facts = stages.transcode.run(ctx)
    assert facts["duration_s"] == pytest.approx(2.5, abs=0.1)
    heard = re.findall(r"Duration: 00:00:0([\d.]+)", look(result(ctx)))
    assert float(heard[0]) == pytest.approx(2.5, abs=0.1)


def test_a_track_that_begins_late_is_no_damage(tmp_path: Path) -> None:
    ctx = encode_job(tmp_path, size="160x128")
    source, late = ctx.path(copy_name("video")), tmp_path / "late.mp4"
    ffmpeg(
        "-i", str(source), "-itsoffset", "1.5", "-i", str(source), "-map", "0:v", "-map", "1:a", "-c", "copy", str(late)
    )
    late.rename(source)
    facts = stages.transcode.run(ctx)
    assert facts["duration_s"] == pytest.approx(2.5, abs=0.1)


def test_frames_that_do_not_fit_into_memory_are_refused_before_they_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a machine with too little memory for a few frames of 4096x4096 px
    ctx = encode_job(tmp_path, size="4096x4096")
    monkeypatch.setattr(room, "available_mb", lambda: 100.0)
    with pytest.raises(MachineError, match="need at least 101 MB of memory; only 100 MB are left") as refused:
        stages.transcode.run(ctx)
    assert (refused.value.code, [path.name for path in tmp_path.glob("video.*")]) == ("out-of-memory", [])
    # Then what is only copied goes through
    (tmp_path / "copied").mkdir()
    copied = encode_job(tmp_path / "copied")
    monkeypatch.setattr(room, "available_mb", lambda: 0.0)
    stages.transcode.run(copied)
    assert result(copied).exists()


@pytest.mark.parametrize("changes", [{"format": "mov"}, {"quality": "low"}, {}], ids=["prores", "h264", "copied"])
def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    # Given a disk with less room than the least that the result takes, and then a little more
    ctx = encode_job(tmp_path, **changes)
    asked: list[int] = []

    def usage(folder: Path) -> Any:
        return SimpleNamespace(free=asked[-1])

    def least(plan: Plan, source: Path) -> int:
        asked.append(least_bytes(plan, source) - 1)
        return least_bytes(plan, source)

    monkeypatch.setattr(room, "least_bytes", least)
    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(MachineError, match="needs at least") as refused:
        stages.transcode.run(ctx)
    assert (refused.value.code, [path.name for path in tmp_path.glob("video.*")]) == ("disk-full", [])
    # Then it is made, and is no smaller than that
    monkeypatch.undo()
    stages.transcode.run(ctx)
    assert result(ctx).stat().st_size >= asked[-1] + 1 > 1
