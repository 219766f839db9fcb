"""The encode stage: exact length, true colours, a whole file or none."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from math import ceil
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from daemon.errors import AvatarError, MachineError, ResultError, UnknownError
from stages.context import Context
from stages.encode import ffmpeg_command as encoder
from stages.encode.formats.mp4_probe import probe_mp4
from stages.encode.video import write_video
from stages.lipsync.motion_track import PARAMETERS, MotionTrack
from stages.media.ffmpeg import FFMPEG_ENV, FfmpegProcess, ffmpeg_error, ffmpeg_path
from tests.conftest import PATIENCE_S
from tests.support.stages.sound_jobs import Picture, Stripes, beep_job, ffmpeg, look, save_timing

pytestmark = pytest.mark.usefixtures("models")


def leftovers(ctx: Context) -> list[str]:
    return sorted(path.name for path in ctx.job_dir.iterdir() if path.name not in ("speech.wav", "timing.json"))


@pytest.mark.parametrize("fps", ["23.976", "24", "25", "29.97", "30", "59.94", "60"])
@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.234567])
def test_picture_and_sound_are_equally_long(tmp_path: Path, fps: str, seconds: float) -> None:
    # Given speech of an odd length and a frame rate
    ctx = beep_job(tmp_path, seconds, fps=fps)
    # When it is encoded
    facts = write_video(ctx, Stripes(ctx))
    # Then there is a frame for every begun step of time, all equally long, and the sound ends with them
    movie, rate = probe_mp4(ctx.path("video.mp4")), ctx.manifest.frame_rate
    video, audio = movie.stream("video"), movie.stream("audio")
    assert video is not None
    assert audio is not None
    assert video.samples == facts["frames"] == ceil(Fraction(round(seconds * 48_000), 48_000) * rate)
    assert video.steps == (1 / rate,)
    assert video.duration == video.samples / rate
    assert abs(video.duration - audio.duration) <= Fraction(1, 48_000)


def test_format_is_what_every_player_takes(tmp_path: Path) -> None:
    # Given a video
    ctx = beep_job(tmp_path)
    write_video(ctx, Stripes(ctx))
    # Then it is H.264 in limited-range BT.709 with AAC at 48 kHz, and starts without seeking
    seen = look(ctx.path("video.mp4"))
    assert "h264" in seen
    assert "yuv420p(tv, bt709" in seen
    assert "aac (LC)" in seen
    assert "48000 Hz" in seen
    order = probe_mp4(ctx.path("video.mp4")).order
    assert order.index("moov") < order.index("mdat")


def test_the_file_says_that_it_is_generated(tmp_path: Path) -> None:
    ctx = beep_job(tmp_path, settings={"stages": {"encode": {"label": "Made by a machine; é = \\ :'"}}})
    write_video(ctx, Stripes(ctx))
    seen = look(ctx.path("video.mp4"))
    assert "comment         : Made by a machine; é = \\ :'" in seen
    assert "title " not in seen
    assert "digitalsourcetype/compositeWithTrainedAlgorithmicMedia" in seen


@pytest.mark.parametrize("form", ["mp4", "webm", "mov"])
def test_the_file_has_the_title_of_its_manifest(tmp_path: Path, form: str) -> None:
    ctx = beep_job(tmp_path, format=form, title="Garden tour: “spring” = 1; é")
    write_video(ctx, Stripes(ctx))
    assert re.search(r"title +: Garden tour: “spring” = 1; é$", look(ctx.path(f"video.{form}")), re.M | re.I)


def test_colours_come_back_as_they_were(tmp_path: Path) -> None:
    # Given frames of one colour, encoded well
    ctx = beep_job(tmp_path, quality="high")
    source = Stripes(ctx)
    source.background = (200, 60, 30)
    write_video(ctx, source)
    # When they are decoded as BT.709, as players do
    shown = tmp_path / "shown.png"
    matrix = "scale=in_color_matrix=bt709:in_range=tv:out_range=pc,format=bgr24"
    ffmpeg("-i", str(ctx.path("video.mp4")), "-frames:v", "1", "-vf", matrix, str(shown))
    # Then the colour is the same, within the rounding of 8 bits
    picture = cv2.imread(str(shown))
    assert picture is not None
    assert np.abs(picture[60, 60].astype(int) - source.background).max() <= 4


def test_same_job_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = beep_job(tmp_path / "a"), beep_job(tmp_path / "b")
    for ctx in (first, second):
        write_video(ctx, Stripes(ctx))
    assert first.path("video.mp4").read_bytes() == second.path("video.mp4").read_bytes()


def test_progress_goes_by_frames_to_the_end(tmp_path: Path) -> None:
    told: list[float] = []
    ctx = beep_job(tmp_path)
    write_video(Context(ctx.job_id, ctx.name, ctx.job_dir, ctx.manifest, ctx.settings, told.append), Stripes(ctx))
    assert len(told) >= 25
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_the_poster_is_the_first_frame(tmp_path: Path) -> None:
    ctx = beep_job(tmp_path)
    source = Stripes(ctx)
    write_video(ctx, source)
    poster = cv2.imread(str(ctx.path("poster.jpg")))
    assert poster is not None
    assert np.abs(poster.astype(int) - next(source.pictures())).mean() < 3


@pytest.mark.parametrize("frames", [0, 1, 10])
def test_a_composer_that_breaks_leaves_nothing(tmp_path: Path, frames: int) -> None:
    # Given a frame source that breaks on the way
    ctx = beep_job(tmp_path)
    # When it is encoded
    with pytest.raises(RuntimeError, match="composer broke"):
        write_video(ctx, Stripes(ctx, stop_after=frames))
    # Then neither a video nor a temporary file nor an ffmpeg is left
    assert leftovers(ctx) == []
    assert not _ffmpegs()


def test_an_ffmpeg_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    # Given speech that is not a WAV file
    ctx = beep_job(tmp_path)
    ctx.path("speech.wav").write_bytes(b"no sound")
    # When it is encoded
    with pytest.raises(UnknownError) as caught:
        write_video(ctx, Stripes(ctx))
    # Then ffmpeg's own words are in the error
    assert caught.value.code == "ffmpeg-failed"
    assert "Invalid data" in caught.value.message
    assert leftovers(ctx) == []


def test_an_ffmpeg_that_dies_midway_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an ffmpeg that goes away while frames are still coming
    dying = tmp_path / "ffmpeg"
    lists = f'case "$*" in *-encoders | *-filters) exec {ffmpeg_path()} "$@";; esac\n'
    dying.write_text(
        f"#!/bin/sh\n{lists}head -c 100000 >/dev/null\necho 'av_interleaved_write_frame(): Oh' >&2\nexit 3\n"
    )
    dying.chmod(0o755)
    monkeypatch.setenv(FFMPEG_ENV, str(dying))
    ctx = beep_job(tmp_path / "job")
    with pytest.raises(UnknownError) as caught:
        write_video(ctx, Stripes(ctx))
    assert caught.value.code == "ffmpeg-failed"
    assert "status 3" in caught.value.message
    assert leftovers(ctx) == []


def test_a_full_disk_is_the_machines_fault() -> None:
    # Given an ffmpeg that writes to a full device
    command = [ffmpeg_path(), "-v", "error", "-f", "lavfi", "-i", "sine=duration=9", "-f", "wav", "-y", "/dev/full"]
    with FfmpegProcess(command, Path("/")) as process:
        status = process.finish()
    # Then its last words are understood
    error: AvatarError = ffmpeg_error(status, process.log, "the video")
    assert isinstance(error, MachineError)
    assert error.code == "disk-full"


def test_no_ffmpeg_is_the_machines_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FFMPEG_ENV, str(tmp_path / "missing"))
    ctx = beep_job(tmp_path)
    with pytest.raises(MachineError) as caught:
        write_video(ctx, Stripes(ctx))
    assert caught.value.code == "ffmpeg-missing"


def test_ffmpeg_dies_with_its_stage() -> None:
    # Given a process that starts an endless ffmpeg, in the way of the first start and in that of later ones, and then is killed
    code = (
        "import os, signal, pathlib; from stages.media.ffmpeg import FfmpegProcess, ffmpeg_path;"
        "command = [ffmpeg_path(), '-v', 'quiet', '-re', '-f', 'lavfi', '-i', 'anullsrc', '-f', 'null', '-'];"
        "started = [FfmpegProcess(command, pathlib.Path('/')) for _ in range(2)];"
        "print(*(process.pid for process in started), flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    # Then both are gone too
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            process = os.pidfd_open(pid)
            poll = select.poll()
            poll.register(process, select.POLLIN)
            ended = poll.poll(PATIENCE_S * 1000)
            if not ended:
                signal.pidfd_send_signal(process, signal.SIGKILL)
            os.close(process)
            assert ended


def test_a_damaged_video_is_noticed(tmp_path: Path) -> None:
    # Given a good video that lost its end
    ctx = beep_job(tmp_path)
    write_video(ctx, Stripes(ctx))
    whole = ctx.path("video.mp4").read_bytes()
    broken = tmp_path / "broken.mp4"
    # Then reading it back fails wherever it was cut
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        broken.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"index|ends inside"):
            probe_mp4(broken)


class Broken(Stripes):
    """Stripes of which one frame comes out wrong."""

    def __init__(self, ctx: Context, wrong: Callable[[Picture], Picture]) -> None:
        super().__init__(ctx)
        self._wrong = wrong

    def pictures(self) -> Iterator[Picture]:
        for index, frame in enumerate(super().pictures()):
            yield self._wrong(frame) if index == 3 else frame


@pytest.mark.parametrize(
    "wrong",
    [lambda frame: frame * 0, lambda frame: np.where(np.indices(frame.shape).sum(0) > 9, 255 - frame // 4, frame)],
)
def test_a_frame_that_is_no_picture_is_not_delivered(tmp_path: Path, wrong: Callable[[Picture], Picture]) -> None:
    # Given a composer that draws one frame black, or all washed out
    ctx = beep_job(tmp_path)
    with pytest.raises(ResultError, match="Frame 3 ") as caught:
        write_video(ctx, Broken(ctx, wrong))
    # Then it is the machine's fault, and there is no video
    assert (caught.value.code, caught.value.fault) == ("picture-invalid", "machine")
    assert leftovers(ctx) == []


def test_movement_that_is_not_finite_is_not_kept(tmp_path: Path) -> None:
    values = np.zeros((5, len(PARAMETERS)), np.float32)
    values[2, 0] = np.nan
    with pytest.raises(ResultError) as caught:
        MotionTrack(values, Fraction(25), 1).save(tmp_path / "motion.npz")
    assert caught.value.code == "picture-invalid"
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_lost_its_sound_is_not_delivered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an encoder that hears silence where the speech is
    ctx, silent = beep_job(tmp_path / "job"), tmp_path / "silent.wav"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=48000:cl=mono", "-t", "1", str(silent))
    command = encoder.encode_command
    monkeypatch.setattr(encoder, "encode_command", lambda source, _, *rest: command(source, silent, *rest))
    with pytest.raises(ResultError) as caught:
        write_video(ctx, Stripes(ctx))
    # Then that is the machine's fault, and there is no video
    assert (caught.value.code, caught.value.fault) == ("video-silent", "machine")
    assert leftovers(ctx) == []


@pytest.mark.parametrize("kind", ["srt", "vtt"])
def test_caption_files_stand_beside_the_video(tmp_path: Path, kind: str) -> None:
    ctx = beep_job(tmp_path, captions=kind)
    facts = write_video(ctx, Stripes(ctx))
    assert facts["captions"] == f"captions.{kind}"
    assert "One two three." in ctx.path(f"captions.{kind}").read_text()


def test_burned_captions_are_in_the_picture_and_nowhere_else(tmp_path: Path) -> None:
    # Given the same job with and without burned captions, in a folder whose name needs quoting everywhere
    odd = tmp_path / "it's 100% [odd]: a,b;c=é\\"
    plain, burned = beep_job(odd / "a"), beep_job(odd / "b", captions="burn")
    for ctx in (plain, burned):
        write_video(ctx, Stripes(ctx, 320, 240))
    # When a frame in the middle is compared
    frames = []
    for ctx in (plain, burned):
        shown = tmp_path / f"{ctx.job_dir.name}.png"
        ffmpeg("-ss", "0.5", "-i", f"file:{ctx.path('video.mp4')}", "-frames:v", "1", str(shown))
        picture = cv2.imread(str(shown))
        assert picture is not None
        frames.append(picture.astype(int))
    changed = np.abs(frames[0] - frames[1]).max(axis=2) > 60
    # Then white letters stand in the lower part, the upper is untouched, and no working file is left
    assert changed[160:].sum() > 200
    assert not changed[20:120].any()
    assert leftovers(burned) == ["poster.jpg", "video.mp4"]


def test_captions_without_words_are_a_warning(tmp_path: Path) -> None:
    # Given brought sound, of which no words are known
    ctx = beep_job(tmp_path, captions="srt")
    save_timing(ctx, engine="brought", method="energy", sample_rate=48_000, duration=1.0)
    # Then there is a video, no caption file, and the person is told
    write_video(ctx, Stripes(ctx))
    assert ctx.path("video.mp4").exists()
    assert not ctx.path("captions.srt").exists()
    assert "captions" in ctx.warnings[0]
    assert "digitalsourcetype/algorithmicMedia" in look(ctx.path("video.mp4"))


def _ffmpegs() -> list[psutil.Process]:
    """The ffmpegs of this process; other tests' children are no concern of these."""
    return [child for child in psutil.Process().children(recursive=True) if child.name().startswith("ffmpeg")]


def test_what_ffmpeg_printed_ends_as_a_sentence_before_the_hint() -> None:
    for log in ("conversion failed!\nmoov atom not found", "moov atom not found.\n"):
        assert "moov atom not found. " in str(ffmpeg_error(1, log, "the video"))
