"""The choice of the encoder: NVENC where it works, and a whole video where it does not; and what another ffmpeg lacks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.errors import LackingError, MachineError, UnknownError
from daemon.system.gpu import Card
from stages.context import Context
from stages.encode.formats import emptiest_gpu
from stages.encode.formats.encoders import H264_NVENC
from stages.encode.video import write_video
from stages.media import ffmpeg_encoders
from stages.media.ffmpeg import ffmpeg_path
from stages.media.ffmpeg_encoders import forget_trials
from tests.stages.encode.formats.test_fine_areas import with_face
from tests.support.machine.nvenc import NvencFfmpeg
from tests.support.stages.sound_jobs import Stripes, beep_job

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture(autouse=True)
def _new_process() -> Iterator[None]:
    forget_trials()
    yield
    forget_trials()


def job_with(folder: Path, ffmpeg: NvencFfmpeg | str | None, encoder: str = "auto", **manifest: Any) -> Context:
    named = {"ffmpeg": str(ffmpeg.path if isinstance(ffmpeg, NvencFfmpeg) else ffmpeg)} if ffmpeg else {}
    return beep_job(folder, 0.4, settings={"stages": {"encode": {"encoder": encoder, **named}}}, **manifest)


def write(ctx: Context, side: int = 192) -> dict[str, Any]:
    return dict(write_video(ctx, Stripes(ctx, side, side)))


@pytest.mark.parametrize(("codec", "encoder"), [("h264", "h264_nvenc"), ("hevc", "hevc_nvenc")])
def test_nvenc_is_taken_where_a_trial_of_it_works(
    tmp_path: Path, codec: str, encoder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an ffmpeg whose NVENC works, and two GPUs, the first of which is nearly full / When two videos are made
    ffmpeg, one = NvencFfmpeg(tmp_path, "works"), Card("0", "GPU-a", "RTX 4090", 9, 10, 0.0, 40.0)
    cards = [one, replace(one, index="1", uuid="GPU-b", used=1)]
    monkeypatch.setattr(emptiest_gpu, "read_cards", lambda: cards)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    jobs = [job_with(tmp_path / name, ffmpeg, codec=codec) for name in ("a", "b")]
    facts = [write(ctx) for ctx in jobs]
    # Then it encodes both after one trial, and the status says so
    assert [one["encoder"] for one in facts] == [encoder, encoder]
    assert f"{encoder} works" in facts[0]["why"]
    assert ffmpeg.trials() == 1
    # And ffmpeg, which encodes on the first GPU that it sees, sees the emptiest one first
    assert ffmpeg.gpus() == ["GPU-b,GPU-a"] * 2


@pytest.mark.parametrize(
    ("visible", "given"),
    [("GPU-c,GPU-a", "GPU-a,GPU-c"), ("GPU-b", None), ("0,1", None), ("MIG-1,GPU-a", None)],
)
def test_ffmpeg_sees_the_gpus_that_its_process_sees_whatever_their_names(
    monkeypatch: pytest.MonkeyPatch, visible: str, given: str | None
) -> None:
    cards = [Card(str(at), f"GPU-{name}", "RTX 4090", at, 10, 0.0, 40.0) for at, name in enumerate("abc")]
    monkeypatch.setattr(emptiest_gpu, "read_cards", lambda: cards)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environment = emptiest_gpu.environment_for_gpu()
    assert (environment or {}).get("CUDA_VISIBLE_DEVICES") == given


def test_an_ffmpeg_that_has_nvenc_but_no_driver_encodes_with_x264(tmp_path: Path) -> None:
    # Given an ffmpeg that lists NVENC where there is no driver / When two videos are made
    ffmpeg = NvencFfmpeg(tmp_path, "no driver")
    jobs = [job_with(tmp_path / name, ffmpeg) for name in ("a", "b")]
    facts = [write(ctx) for ctx in jobs]
    # Then x264 encodes them, the status says why, and nobody is warned of what is usual here
    assert [one["encoder"] for one in facts] == ["libx264", "libx264"]
    assert "h264_nvenc does not work: Cannot load libcuda.so.1" in facts[0]["why"]
    assert ffmpeg.trials() == 1
    assert jobs[0].warnings == []


@pytest.mark.parametrize("captions", ["none", "burn"])
def test_a_gpu_that_is_lost_in_a_video_costs_only_time(tmp_path: Path, captions: str) -> None:
    # Given a GPU that works in the trial, and breaks in the video
    ffmpeg = NvencFfmpeg(tmp_path, "lost")
    ctx, plain = job_with(tmp_path / "a", ffmpeg, captions=captions), job_with(tmp_path / "b", None, captions=captions)
    # When it is encoded
    facts = write(ctx)
    write(plain)
    # Then x264 makes the same video as without NVENC, its person is told, and nothing else is left
    assert facts["encoder"] == "libx264"
    assert "h264_nvenc failed in this job" in facts["why"]
    assert "EncodePicture failed" in ctx.warnings[0]
    assert ctx.path("video.mp4").read_bytes() == plain.path("video.mp4").read_bytes()
    assert {path.name for path in ctx.job_dir.iterdir()} == {"speech.wav", "timing.json", "video.mp4", "poster.jpg"}
    # And the next job tries the GPU again
    write(job_with(tmp_path / "c", ffmpeg))
    assert ffmpeg.trials() == 2


def test_a_gpu_that_did_not_work_is_tried_again_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a GPU whose driver is not loaded yet
    clock = [0.0]
    monkeypatch.setattr(ffmpeg_encoders, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    ffmpeg, named = NvencFfmpeg(tmp_path, "no driver"), tmp_path / "ffmpeg"
    version = named.stat()

    def why() -> str:
        return ffmpeg_encoders.why_encoder_fails(str(named), "h264_nvenc", H264_NVENC.arguments("veryfast", 21))

    assert "libcuda" in why()
    # When it is loaded, in the same process, then the next videos find out within minutes, and not with a trial for each
    NvencFfmpeg(tmp_path, "works")
    os.utime(named, ns=(version.st_atime_ns, version.st_mtime_ns))
    clock[0] = ffmpeg_encoders.FAILED_S - 1
    assert "libcuda" in why()
    clock[0] += 1
    assert why() == ""
    # And one that works is not tried again
    clock[0] *= 10
    assert (why(), ffmpeg.trials()) == ("", 2)


def test_a_driver_that_initialises_eight_gpus_first_is_given_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given eight GPUs that nobody has open, without persistence mode: NVIDIA's "Driver Persistence", Overview, says that "a short
    # (order of 1-3 second) startup cost per GPU" comes before CUDA works
    run = subprocess.run

    def slow(command: list[str], *, timeout: float, **named: Any) -> Any:
        if "h264_nvenc" in command and timeout < 8 * 3:
            raise subprocess.TimeoutExpired(command, timeout)
        return run(command, timeout=timeout, **named)

    monkeypatch.setattr(subprocess, "run", slow)
    # Then NVENC works there, and x264 does not encode for the next ten minutes
    assert write(job_with(tmp_path / "a", NvencFfmpeg(tmp_path, "works")))["encoder"] == "h264_nvenc"


def test_a_fault_of_the_job_is_not_taken_for_the_gpus(tmp_path: Path) -> None:
    # Given NVENC that works, and frames that break off / When it is encoded / Then it is not started again
    ctx = job_with(tmp_path / "a", NvencFfmpeg(tmp_path, "works"))
    with pytest.raises(RuntimeError, match="composer broke"):
        write_video(ctx, Stripes(ctx, 192, 192, stop_after=3))
    assert ctx.warnings == []


def test_what_the_operator_demands_is_done_or_refused(tmp_path: Path) -> None:
    # Given an operator who wants x264 only / Then NVENC is not even tried
    ffmpeg = NvencFfmpeg(tmp_path / "works", "works")
    facts = write(job_with(tmp_path / "a", ffmpeg, encoder="libx264"))
    assert (facts["encoder"], ffmpeg.trials()) == ("libx264", 0)
    # Given one who wants NVENC only, where there is no driver / Then the machine lacks it, and it is tried again each time
    ffmpeg = NvencFfmpeg(tmp_path / "none", "no driver")
    for name in ("b", "c"):
        with pytest.raises(LackingError, match=r"libcuda\.so\.1") as caught:
            write(job_with(tmp_path / name, ffmpeg, encoder="h264_nvenc"))
        assert caught.value.code == "encoder-missing"
    assert ffmpeg.trials() == 2
    # And a GPU that is lost in the video fails it
    with pytest.raises(UnknownError, match="EncodePicture failed"):
        write(job_with(tmp_path / "d", NvencFfmpeg(tmp_path / "lost", "lost"), encoder="h264_nvenc"))


def test_the_finest_quality_is_not_left_to_nvenc() -> None:
    # NVENC takes a quality of 0 for none
    assert [H264_NVENC.options("veryfast", crf)["cq"] for crf in (0, 1, 51)] == [1, 1, 51]


def test_a_picture_that_is_too_small_for_nvenc_goes_to_x264(tmp_path: Path) -> None:
    ffmpeg = NvencFfmpeg(tmp_path, "works")
    facts = write(job_with(tmp_path / "a", ffmpeg), side=128)
    assert (facts["encoder"], ffmpeg.trials()) == ("libx264", 0)


@pytest.mark.parametrize(("manifest", "encoder"), [({"codec": "hevc"}, "libx265"), ({"format": "mov"}, "prores_ks")])
def test_an_ffmpeg_without_the_encoder_is_the_machines_fault(
    tmp_path: Path, manifest: dict[str, Any], encoder: str
) -> None:
    # Given an ffmpeg that was built without it
    poor = tmp_path / "ffmpeg"
    poor.write_text(f"#!/bin/sh\n{ffmpeg_path()} \"$@\" | grep -v ' {encoder} '\n")
    poor.chmod(0o755)
    ctx = beep_job(tmp_path / "job", settings={"stages": {"encode": {"ffmpeg": str(poor)}}}, **manifest)
    # Then the error names it, and what asked for it
    with pytest.raises(LackingError, match=f"no encoder {encoder}") as caught:
        write(ctx)
    assert caught.value.code == "encoder-missing"
    assert all(str(value) in caught.value.message for value in manifest.values())


def without(folder: Path, name: str) -> str:
    """Write an ffmpeg that was built without a filter, and return its path."""
    poor = folder / "ffmpeg"
    poor.write_text(
        f"""#!/bin/sh
case "$*" in
    *" -filters") {ffmpeg_path()} "$@" | grep -v ' {name} ';;
    *"{name}="*) echo "No such filter: '{name}'" >&2; exit 1;;
    *) exec {ffmpeg_path()} "$@";;
esac
"""
    )
    poor.chmod(0o755)
    return str(poor)


def test_an_ffmpeg_without_areas_encodes_all_of_the_picture_alike(tmp_path: Path) -> None:
    # Given an ffmpeg that knows no areas, and a job with a face / When its video is made
    ctx = with_face(job_with(tmp_path / "job", without(tmp_path, "addroi")))
    facts = write_video(ctx, Stripes(ctx, 320, 192))
    # Then there is one, and nobody is warned
    assert (facts["encoder"], ctx.warnings) == ("libx264", [])


def test_an_ffmpeg_that_cannot_draw_captions_is_named_before_anything_is_drawn(tmp_path: Path) -> None:
    # Given an ffmpeg that was built without libass
    poor = without(tmp_path, "ass")
    # Then a job that burns captions in says so, and leaves nothing
    ctx = job_with(tmp_path / "a", poor, captions="burn")
    with pytest.raises(LackingError, match="no filter ass, which `captions: burn` needs") as caught:
        write(ctx)
    assert caught.value.code == "filter-missing"
    assert {path.name for path in ctx.job_dir.iterdir()} == {"speech.wav", "timing.json"}
    # And one that does not goes on
    assert write(job_with(tmp_path / "b", poor))["captions"] == "none"


def test_an_ffmpeg_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    ctx = beep_job(tmp_path, settings={"stages": {"encode": {"ffmpeg": str(tmp_path / "gone")}}})
    with pytest.raises(MachineError, match=r"stages\.encode\.ffmpeg") as caught:
        write(ctx)
    assert caught.value.code == "ffmpeg-missing"
