"""The table of output formats: every row makes a video that the rest of the house can read, name and deliver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.jobs.video_files import VIDEO_ENDINGS
from stages.encode.formats import FORMATS, OutputFormat
from stages.encode.formats.mp4_probe import probe_mov_with_alpha
from stages.encode.video import write_video
from stages.face.sampling import blur
from tests.support.stages.sound_jobs import Picture, Stripes, beep_job, ffmpeg, look

pytestmark = pytest.mark.usefixtures("models")


class Glass(Stripes):
    """Stripes in whatever a format wants: with an alpha channel, or without."""

    def pictures(self) -> Iterator[Picture]:
        for frame in super().pictures():
            alpha = np.full((*frame.shape[:2], 1), 128, np.uint8)
            yield np.concatenate([frame, alpha], axis=2) if self.transparent else frame


class Grain(Stripes):
    """A soft, grainy picture that moves a pixel each frame."""

    def pictures(self) -> Iterator[Picture]:
        grain = blur(np.random.default_rng(3).normal(0, 60, (self.height, self.width, 3)), 2.0)
        picture = np.clip(120 + 3 * grain, 0, 255).astype(np.uint8)
        for index in range(self.frame_count):
            yield np.roll(picture, index, axis=1)


def name_of(form: OutputFormat) -> str:
    return f"{form.name}-{form.codec}{'-alpha' if form.transparent else ''}"


@pytest.mark.parametrize("form", FORMATS, ids=name_of)
def test_a_format_is_read_back_whole_and_with_its_sound(tmp_path: Path, form: OutputFormat) -> None:
    # Given frames as the format wants them
    ctx = beep_job(tmp_path, 1.234567, fps="29.97")
    source = Glass(ctx)
    source.transparent = form.transparent
    # When they are written in it, which decodes the sound again
    facts = write_video(ctx, source, form)
    # Then every frame is in the file, at its time
    video, audio = (form.probe(ctx.path(form.file)).stream(kind) for kind in ("video", "audio"))
    assert video is not None
    assert audio is not None
    assert (facts["encoder"], facts["frames"]) == (form.encoder.name, video.samples)
    assert video.samples == source.frame_count
    assert (video.width, video.height) == (source.width, source.height)
    assert abs(video.duration - video.samples / ctx.manifest.frame_rate) <= form.length_slack_s
    # And without its end it is not taken for whole
    whole = ctx.path(form.file).read_bytes()
    ctx.path(form.file).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=r"\w"):
        form.probe(ctx.path(form.file))


@pytest.mark.parametrize("form", [form for form in FORMATS if form.encoder.has_quality][:3], ids=name_of)
def test_a_better_quality_makes_a_larger_file(tmp_path: Path, form: OutputFormat) -> None:
    # Given the qualities from the coarsest that may be set to the finest one
    def size(number: int, quality: str, **crf: int) -> int:
        ctx = beep_job(tmp_path / str(number), 0.3, settings={"stages": {"encode": {"crf": crf}}}, quality=quality)
        return write_video(ctx, Grain(ctx, 256, 256), form)["bytes"]

    # When a moving picture is encoded with each / Then each file is larger than the one before
    asked: list[tuple[str, dict[str, int]]] = [
        ("low", {"low": 51}),
        ("low", {}),
        ("medium", {}),
        ("high", {}),
        ("medium", {"medium": 0}),
    ]
    sizes = [size(number, quality, **crf) for number, (quality, crf) in enumerate(asked)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == len(sizes)


@pytest.mark.parametrize(
    ("manifest", "seen"),
    [
        ({}, "Video: h264 (High) (avc1"),
        ({"codec": "hevc"}, "Video: hevc (Main) (hvc1"),
        ({"format": "webm"}, "Video: vp9 (Profile 0), yuv420p(tv"),
        ({"format": "mov"}, "Video: prores (4444) (ap4h"),
        ({"background": "transparent"}, "Video: vp9"),
        (
            {"background": "transparent", "format": "mov"},
            "Video: prores (4444) (ap4h",
        ),
    ],
    ids=str,
)
def test_a_manifest_gets_the_format_that_it_asks_for(tmp_path: Path, manifest: dict[str, Any], seen: str) -> None:
    ctx = beep_job(tmp_path, 0.4, **manifest)
    source = Glass(ctx)
    source.transparent = ctx.manifest.background == "transparent"
    write_video(ctx, source)
    assert seen in look(ctx.path(f"video.{ctx.manifest.video_format}"))


def test_a_mov_keeps_alpha_and_sound_and_says_that_it_is_generated(tmp_path: Path) -> None:
    # Given half transparent frames
    ctx = beep_job(tmp_path, 0.4, format="mov", background="transparent")
    source = Glass(ctx)
    source.transparent = True
    write_video(ctx, source)
    video = ctx.path("video.mov")
    # When it is read as an editor does / Then there is their alpha, uncompressed sound and the label
    alpha = tmp_path / "alpha.gray"
    ffmpeg("-i", str(video), "-vf", "alphaextract,format=gray", "-f", "rawvideo", str(alpha))
    values = np.fromfile(alpha, np.uint8)
    assert len(values) == source.frame_count * source.width * source.height
    assert np.abs(values.astype(int) - 128).max() <= 1
    assert "pcm_s16le" in look(video)
    assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in look(video)
    # And a file of the same codec without alpha is not taken for one with it
    plain = beep_job(tmp_path / "plain", 0.4, format="mov")
    write_video(plain, Glass(plain))
    with pytest.raises(ValueError, match="alpha"):
        probe_mov_with_alpha(plain.path("video.mov"))


def test_the_daemon_knows_the_ending_of_every_format() -> None:
    assert {form.ending for form in FORMATS} == set(VIDEO_ENDINGS)


@pytest.mark.parametrize(("rate", "kbps", "end"), [(24_000, 160, 12_000), (48_000, 160, None), (24_000, 32, None)])
def test_aac_ends_where_a_voice_does_and_keeps_all_of_a_recording(rate: int, kbps: int, end: int | None) -> None:
    assert FORMATS[0].speech_options(rate, kbps).get("cutoff") == end
