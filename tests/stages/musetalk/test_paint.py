"""MuseTalk in the pipeline: a still portrait that speaks and moves, how long that takes, and what is done without a GPU."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import cv2
import numpy as np
import pytest
import torch

from daemon.config import Settings
from daemon.errors import MachineError, UnknownError
from stages import face, lipsync
from stages.context import Context, Facts
from stages.encode.compose import Composer
from stages.encode.planes import PlanarFrame
from stages.gpu.probe import CudaProbe
from stages.lipsync import painted_mouth
from stages.lipsync.audio_features import AudioFeatures
from stages.lipsync.choose import EngineAvailability
from stages.lipsync.motion_track import MOUTH, MotionTrack
from stages.lipsync.painted_mouth import PaintedMouths
from stages.musetalk import mask, paint
from stages.musetalk.face_box import CHIN_MARGIN, portrait_box
from stages.musetalk.forward import ForwardPass
from stages.musetalk.networks.face_parser import FaceParser
from stages.musetalk.portrait import PortraitCache
from tests.support.stages import picture_jobs
from tests.support.stages.musetalk_golden import MODELS

#: Silence until the mouth has its own shape, then speech.
PHONES = [("b", 0.35, 0.4), ("A", 0.4, 0.7)]
READY = EngineAvailability(packages=True, gpu=CudaProbe("usable", "an RTX 3080"), model_problem="")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def unloaded() -> Iterator[None]:
    yield
    paint.unload()


# -- without a GPU ------------------------------------------------------------------------------------------------


def test_auto_goes_on_with_warp_where_the_gpu_turns_out_unusable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a GPU that passes the trial, and then has no kernel for what MuseTalk computes
    def no_kernel(ctx: Context) -> None:
        raise MachineError("gpu-unusable", "PyTorch cannot use this GPU: no kernel image is available.")

    monkeypatch.setattr(paint, "_load_engine", no_kernel)
    monkeypatch.setattr("stages.lipsync.choose.check_availability", lambda *_: READY)
    # When a job leaves the choice to the program / Then it is done with the other engine, and the status says why
    ctx, facts = speaking(tmp_path / "auto", engine="auto")
    assert facts["engine"] == "warp"
    assert "no kernel image" in facts["why"]
    assert ctx.path("motion.npz").exists()
    # When config.yaml names the engine, then it is an error that no attempt can mend
    with pytest.raises(MachineError) as error:
        speaking(tmp_path / "named")
    assert error.value.code == "gpu-unusable"


def test_the_first_frames_have_time_that_does_not_depend_on_the_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given networks that take minutes to load, as with kernels to compile, and half a second of speech
    allowed: list[float] = []

    def load(ctx: Context) -> None:
        assert allowed[0] >= 300
        raise MachineError("gpu-memory", "enough seen")

    monkeypatch.setattr(paint, "_load_engine", load)
    with pytest.raises(MachineError, match="enough seen"):
        paint.paint_mouths(cast("Context", SimpleNamespace(allow_seconds=allowed.append)), cast("Any", None), 1)


# -- the whole -------------------------------------------------------------------------------------------------


def portrayed(folder: Path, engine: str = "musetalk", **manifest: Any) -> Context:
    """A job about the example portrait after the face stage."""
    ctx = picture_jobs.job(folder, picture_jobs.drawn(), **manifest)
    settings = ctx.settings.model_dump(mode="json")
    settings["paths"] |= {
        "models": str(MODELS),
        "cache": str(folder.parents[1] / "known-faces"),
    }  # one picture for all tests
    settings["stages"]["lipsync"] |= {"engine": engine}
    settings["stages"]["lipsync"]["musetalk"] |= {"precision": "float32"}
    ctx = Context(ctx.job_id, ctx.name, ctx.job_dir, ctx.manifest, Settings.model_validate(settings))
    face.run(ctx)
    return ctx


def speaking(folder: Path, engine: str = "musetalk", **manifest: Any) -> tuple[Context, Facts]:
    """A job about the example portrait after the face and the lipsync stage."""
    ctx = portrayed(folder, engine, **manifest)
    picture_jobs.say(ctx, PHONES, 0.8)
    return ctx, lipsync.run(ctx)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, Facts]:
    return speaking(tmp_path_factory.mktemp("m") / "job", motion={"seed": 5}, fps="29.97")


def test_the_stage_leaves_a_patch_for_every_frame_and_says_what_ran(spoken: tuple[Context, Facts]) -> None:
    ctx, facts = spoken
    track, painted = MotionTrack.load(ctx.path("motion.npz")), PaintedMouths.load(ctx.job_dir)
    assert painted is not None
    assert len(track.values) == len(painted.strength) == facts["frames"] == 24
    assert (facts["engine"], facts["model"]) == ("musetalk", "MuseTalk 1.5")
    assert "cpu, float32" in facts["device"]
    assert any("on the CPU" in warning for warning in ctx.warnings)
    # the mouth is painted, the rest is the track's
    assert not track.values[:, : len(MOUTH)].any()
    assert track.values[:, len(MOUTH) :].any()


def test_the_mouth_alone_is_painted_when_nothing_else_moves(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    # Given a job whose head is locked
    ctx, _ = speaking(tmp_path / "job", motion={"head": 0, "blink": 0, "expressiveness": 0})
    portrait = cv2.imread(str(ctx.path("portrait.png")))
    painted = PaintedMouths.load(ctx.job_dir)
    assert portrait is not None
    assert painted is not None
    shown = picture_jobs.portrait_shown(ctx)
    # When its frames are made
    frames = [frame.to_bgr() for frame in Composer.for_job(ctx).frames()]
    # Then outside of the mouth's region they are the portrait, and in it they are the patches, mixed in once
    for index, frame in enumerate(frames):
        want = np.asarray(portrait, np.uint8).copy()
        painted.paint(index, want)
        outside = np.ones(frame.shape[:2], bool)
        outside[painted.slices] = False
        assert not picture_jobs.changed(frame, shown)[outside].any()  # brows move a little with speech
        assert not picture_jobs.changed(frame, PlanarFrame.from_bgr(want).to_bgr())[painted.slices].any()
    assert not picture_jobs.changed(frames[0], shown).any()
    assert not picture_jobs.changed(frames[-1], shown).any()
    assert any(np.abs(frame.astype(int) - shown).max() > 20 for frame in frames)


def test_the_head_moves_as_with_warp(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    # Given the same job with the other engine
    ctx, _ = spoken
    other, facts = speaking(tmp_path / "job", engine="warp", motion={"seed": 5}, fps="29.97")
    assert facts["engine"] == "warp"
    # Then all but the mouth moves alike
    mine, theirs = (MotionTrack.load(job.path("motion.npz")).values for job in (ctx, other))
    assert np.array_equal(mine[:, len(MOUTH) :], theirs[:, len(MOUTH) :])
    frames = [frame.to_bgr() for frame in Composer.for_job(ctx).frames()]
    theirs_frames = [frame.to_bgr() for frame in Composer.for_job(other).frames()]
    brow = slice(0, frames[0].shape[0] // 4)
    assert max(np.abs(a[brow].astype(int) - b[brow]).max() for a, b in zip(frames, theirs_frames, strict=True)) <= 2
    assert np.abs(frames[20][brow].astype(int) - frames[0][brow]).max() > 5


def test_partial_rows_are_stored_as_whole_patches_rows_are(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    # Given a job that has its mouths, painted as a whole
    ctx, _ = spoken
    whole = PaintedMouths.load(ctx.job_dir)
    assert whole is not None
    shutil.copytree(ctx.job_dir, tmp_path / "job")
    settings = ctx.settings.model_dump(mode="json")
    settings["stages"]["lipsync"]["musetalk"]["partial_rows"] = True
    again = Context(ctx.job_id, ctx.name, tmp_path / "job", ctx.manifest, Settings.model_validate(settings))
    # When they are painted again without the rows that are not shown
    lipsync.run(again)
    # Then the same rows are stored; the first frame's are the same, and the others differ little
    partial = PaintedMouths.load(again.job_dir)
    assert partial is not None
    assert (partial.row, partial.frame_bytes) == (whole.row, whole.frame_bytes)
    pixels = [np.frombuffer(mouths.pixels.read(), np.uint8).astype(int) for mouths in (whole, partial)]
    apart = np.abs(pixels[1] - pixels[0]).reshape(len(whole.strength), -1)
    assert apart[0].max() <= 1
    assert 0 < apart[1:].mean() < 4


def test_another_try_with_warp_leaves_no_patches(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    ctx, _ = spoken
    shutil.copytree(ctx.job_dir, tmp_path / "job")
    settings = ctx.settings.model_dump(mode="json")
    settings["stages"]["lipsync"]["engine"] = "warp"
    again = Context(ctx.job_id, ctx.name, tmp_path / "job", ctx.manifest, Settings.model_validate(settings))
    lipsync.run(again)
    assert PaintedMouths.load(again.job_dir) is None


def test_a_portrait_with_an_odd_box_at_the_edge_is_painted_inside_it() -> None:
    landmarks = np.zeros((478, 3), np.float32) + np.array([120, 60, 0], np.float32)
    landmarks[[234, 454], 0] = -30, 111.7
    landmarks[152, 1], landmarks[[195, 5], 1] = 203.9, 120
    landmarks[list(range(20)), 0] = 40
    box = portrait_box(landmarks, (112, 204), chin_margin=CHIN_MARGIN)
    assert 0 <= box[0] < box[2] <= 112
    assert 0 <= box[1] < box[3] <= 204


def test_a_slow_machine_says_how_long_it_takes_and_refuses_beyond_the_patience(tmp_path: Path) -> None:
    # Given a job for the processor
    ctx = portrayed(tmp_path / "job")
    picture_jobs.say(ctx, [("A", 0.0, 0.24)], 0.24)
    left: list[float] = []
    # When it is painted, then the time that is left is known from the first group on, and comes down to nothing
    facts = lipsync.run(replace(ctx, report_seconds_left=left.append))
    assert left[-1] == 0
    assert left[0] > 0
    assert facts["frames_per_s"] > 0
    # When less time is accepted than it takes, then it ends after the first group and says what it would take
    ctx.path(painted_mouth.PIXELS_FILE).unlink()
    with pytest.raises(MachineError) as error:
        lipsync.run(replace(ctx, settings=with_musetalk(ctx.settings, patience=1e-6)))
    assert error.value.code == "engine-too-slow"
    assert "minutes for this speech" in error.value.message
    assert "stages.lipsync.musetalk.patience" in error.value.hint
    assert not ctx.path(painted_mouth.PIXELS_FILE).exists()


def test_the_time_to_prepare_a_pass_is_not_taken_for_the_speed_of_painting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a pass that takes an hour to prepare, as one whose kernels are compiled takes minutes, and a second a frame
    clock, passes = [0.0], list[int]()
    begin, run = ForwardPass.__init__, ForwardPass.run

    def slowly(self: ForwardPass, *args: Any) -> None:
        clock[0] += 3600
        begin(self, *args)

    def frame_by_frame(self: ForwardPass, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        clock[0] += len(tokens)
        passes.append(len(tokens))
        return run(self, tokens)

    monkeypatch.setattr(ForwardPass, "__init__", slowly)
    monkeypatch.setattr(ForwardPass, "run", frame_by_frame)
    ctx = portrayed(tmp_path / "job")
    picture_jobs.say(ctx, [("A", 0.0, 0.24)], 0.24)
    paint.unload()
    left: list[float] = []
    allowed: list[float] = []
    settings = with_musetalk(ctx.settings, precision="bfloat16")
    ctx = replace(ctx, settings=settings, report_seconds_left=left.append, allow_seconds=allowed.append)
    # And a video before it, whose portrait needed float32, with one frame in each pass, since others held memory
    painter, another = paint._load_engine(ctx).painter, torch.zeros(1, 8, 32, 32)
    painter._overflowing.append(another)
    painter._float32_batch = 1
    painter._choose_number_type(another)
    painter.batch = 1
    for module in ("paint", "painter"):
        monkeypatch.setattr(f"stages.musetalk.{module}.time", SimpleNamespace(monotonic=lambda: clock[0]))
    # When the first job is painted, then the pass is not refused as too slow, and the status tells the speed of painting
    facts = lipsync.run(ctx)
    assert clock[0] >= 3600
    # And it has its own time, beside those of the start and of each of the large networks' files
    assert allowed == [300.0] * 4
    # And each pass is filled again
    assert passes == [4, 2]
    assert max(left) < 10
    assert facts["frames_per_s"] == 1.0


def with_musetalk(settings: Settings, **changes: Any) -> Settings:
    changed = settings.model_dump(mode="json")
    changed["stages"]["lipsync"]["musetalk"] |= changes
    return Settings.model_validate(changed)


def test_a_portrait_is_looked_at_once(spoken: tuple[Context, Facts], monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an engine that has seen a portrait
    ctx, _ = spoken
    engine = paint._load_engine(ctx)
    first = engine.portraits.for_job(ctx)
    # When the next job has the same one, then nothing of it is worked out again; the network's eye is not even opened
    monkeypatch.setattr(engine.painter, "latents", None)
    assert engine.portraits.for_job(ctx) is first
    # When another is asked about, it is looked at
    cut = json.loads(ctx.path("face.json").read_bytes())
    cut["landmarks"] = (np.array(cut["landmarks"]) + 1).tolist()
    other = replace(ctx, job_dir=ctx.job_dir.parent / "other")
    shutil.copytree(ctx.job_dir, other.job_dir)
    other.path("face.json").write_text(json.dumps(cut))
    with pytest.raises(TypeError):
        engine.portraits.for_job(other)


def test_the_shift_moves_the_box_of_the_older_version_alone(spoken: tuple[Context, Facts]) -> None:
    ctx, _ = spoken

    def box(version: str, shift: int) -> tuple[int, int, int, int]:
        settings = with_musetalk(ctx.settings, version=version, bbox_shift=shift).stages.lipsync.musetalk
        return PortraitCache(paint._load_engine(ctx).painter, settings, MODELS).for_job(ctx).where.box

    plain, shifted = box("1.0", 0), box("1.0", 7)
    assert shifted[1] - plain[1] == 14  # the middle moves by 7, and the chin stays
    assert (plain[0], *plain[2:]) == (shifted[0], *shifted[2:])
    assert box("1.5", 7) == box("1.5", 0)


def test_the_parsing_network_is_used_where_chosen_and_named_where_missing(
    spoken: tuple[Context, Facts], tmp_path: Path
) -> None:
    # Given that the network's mask is chosen and its file is not there
    ctx, _ = spoken
    painter = paint._load_engine(ctx).painter
    settings = with_musetalk(ctx.settings, mask="parsing").stages.lipsync.musetalk
    with pytest.raises(MachineError, match=r"79999_iter\.pth is missing") as error:
        PortraitCache(painter, settings, tmp_path).for_job(ctx)
    assert error.value.code == "model-missing"
    # When a file with its tensors is there, one that takes everything for skin
    torch.manual_seed(0)
    parser = FaceParser()
    parser.conv_out.conv_out.weight.data.zero_()
    (tmp_path / "face-parse-bisent").mkdir()
    torch.save(parser.state_dict(), tmp_path / "face-parse-bisent" / "79999_iter.pth")
    seen_nothing = PortraitCache(painter, settings, tmp_path).for_job(ctx)
    # Then class 0, no face, is its answer: the landmarks' mask is taken, and that is said
    assert "found no mouth" in seen_nothing.warning
    assert np.array_equal(seen_nothing.where.mask, paint._load_engine(ctx).portraits.for_job(ctx).where.mask)
    # and where it answers skin everywhere, the whole lower half is painted
    parser.conv_out.conv.bn.bias.data.fill_(1.0)
    parser.conv_out.conv.bn.weight.data.zero_()
    parser.conv_out.conv_out.weight.data[mask.SKIN] = 1.0
    path = tmp_path / "face-parse-bisent" / "79999_iter.pth"
    torch.save(parser.state_dict(), path, _use_new_zipfile_serialization=False)  # the published file's format
    seen_skin = PortraitCache(painter, settings, tmp_path).for_job(ctx)
    assert seen_skin.warning == ""
    x1, _, x2, _ = seen_skin.where.box
    assert (seen_skin.where.mask[seen_skin.where.mask.shape[0] // 2] == 255).sum() > 0.5 * (x2 - x1)
    assert seen_skin.where.mask.sum() > seen_nothing.where.mask.sum()


def test_the_parsing_network_has_the_published_files_tensors() -> None:
    # 53,289,463 bytes published; without the heads that served its training and the counters 52,650,752 of tensors
    state = FaceParser().state_dict()
    kept = {name: value for name, value in state.items() if not name.startswith(("conv_out16", "conv_out32"))}
    assert len(state) == 191
    assert sum(value.nbytes for name, value in kept.items() if not name.endswith("tracked")) == 52_650_752


@pytest.mark.parametrize("seconds", [0.02, 0.1])
def test_a_moment_of_sound_is_a_short_video_of_the_portrait(tmp_path: Path, seconds: float) -> None:
    ctx = portrayed(tmp_path / "job", motion={"head": 0, "blink": 0, "expressiveness": 0})
    picture_jobs.say(ctx, [("A", 0.0, seconds)], seconds)
    facts = lipsync.run(ctx)
    frames = [frame.to_bgr() for frame in Composer.for_job(ctx).frames()]
    assert facts["frames"] == len(frames) == math.ceil(seconds * 25)
    assert not picture_jobs.changed(frames[0], picture_jobs.portrait_shown(ctx)).any()


def test_cut_patches_are_noticed(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    ctx, _ = spoken
    shutil.copytree(ctx.job_dir, tmp_path / "job")
    pixels = tmp_path / "job" / painted_mouth.PIXELS_FILE
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(UnknownError):
        PaintedMouths.load(tmp_path / "job")


# -- silence ---------------------------------------------------------------------------------------------------


def test_silence_eases_to_the_portraits_own_mouth() -> None:
    # Given a second of speech between two of silence
    loudness = np.zeros(300, np.float32)
    loudness[100:200] = 1
    # When the patches' strength is taken at 25 frames a second
    values = paint.patch_strength(
        AudioFeatures(Fraction(3), loudness, np.zeros((300, 5), np.float32)), 75, Fraction(25)
    )
    # Then it is full in the speech, nothing in the silence, and passes without a jump
    assert (values[25:50] == 1).all()
    assert not values[:18].any()
    assert not values[60:].any()
    assert np.abs(np.diff(values)).max() < 0.25
