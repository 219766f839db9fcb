"""MuseTalk in the pipeline: which engine is taken and why, and a still portrait that speaks and moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from daemon.config import Settings
from daemon.errors import MachineError, UnknownError
from stages import face, lipsync
from stages.context import Context, Facts
from stages.encode.compose import Composer
from stages.lipsync import engines, patches
from stages.lipsync.engines import Machine, choose
from stages.lipsync.musetalk import work
from stages.lipsync.musetalk.box import CHIN_MARGIN, portrait_box
from stages.lipsync.patches import Patches
from stages.lipsync.sound import Sound
from stages.lipsync.track import MOUTH, Track
from tests.stages import picture_jobs
from tests.stages.musetalk_golden import MODELS

#: Half a second of silence, then speech.
PHONES = [("b", 0.5, 0.6), ("A", 0.6, 1.1)]
READY = Machine(packages=True, gpu=True, lacking="")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are tiny
    yield
    torch.set_num_threads(before)
    work.unload()


# -- the choice ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "machine", "engine", "why"),
    [
        ("auto", READY, "musetalk", "CUDA"),
        ("auto", Machine(True, False, ""), "warp", "no CUDA GPU"),
        ("auto", Machine(True, False, "musetalkV15/unet.pth: missing"), "warp", "unet.pth: missing"),
        ("auto", Machine(False, False, ""), "warp", "not installed"),
        ("warp", READY, "warp", "config.yaml asks"),
        ("musetalk", READY, "musetalk", "on the GPU"),
        ("musetalk", Machine(True, False, ""), "musetalk", "slow"),
    ],
)
def test_the_engine_is_chosen_and_the_reason_said(asked: Any, machine: Machine, engine: str, why: str) -> None:
    choice = choose(asked, machine)
    assert choice.engine == engine
    assert why in choice.why


def test_musetalk_asked_for_without_torch_is_the_machines_fault() -> None:
    with pytest.raises(MachineError) as error:
        choose("musetalk", Machine(False, False, ""))
    assert error.value.code == "engine-not-installed"


def test_the_machine_is_looked_at_by_its_files(tmp_path: Path) -> None:
    def lacking() -> str:
        return engines.look(Settings.model_validate({"paths": {"models": str(tmp_path / "m")}})).lacking

    assert "musetalkV15/unet.pth: missing" in lacking()
    shutil.copytree(MODELS, tmp_path / "m")
    assert lacking() == ""
    (tmp_path / "m" / "whisper" / "pytorch_model.bin").write_bytes(b"half")
    assert "whisper/pytorch_model.bin" in lacking()


# -- the whole -------------------------------------------------------------------------------------------------


def speaking(folder: Path, engine: str = "musetalk", **manifest: Any) -> tuple[Context, Facts]:
    """A job about the example portrait after the face and the lipsync stage."""
    ctx = picture_jobs.job(folder, picture_jobs.drawn(), **manifest)
    settings = ctx.settings.model_dump(mode="json")
    settings["paths"]["models"] = str(MODELS)
    settings["stages"]["lipsync"] |= {"engine": engine}
    settings["stages"]["lipsync"]["musetalk"] |= {"precision": "float32"}
    ctx = Context(ctx.job_id, ctx.name, ctx.job_dir, ctx.manifest, Settings.model_validate(settings))
    face.run(ctx)
    picture_jobs.say(ctx, PHONES, 1.2)
    return ctx, lipsync.run(ctx)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Context, Facts]:
    return speaking(tmp_path_factory.mktemp("m") / "job", motion={"seed": 5}, fps="29.97")


def test_the_stage_leaves_a_patch_for_every_frame_and_says_what_ran(spoken: tuple[Context, Facts]) -> None:
    ctx, facts = spoken
    track, painted = Track.load(ctx.path("motion.npz")), Patches.load(ctx.job_dir)
    assert painted is not None
    assert len(track.values) == len(painted.strength) == facts["frames"] == 36
    assert (facts["engine"], facts["model"]) == ("musetalk", "MuseTalk 1.5")
    assert "cpu, float32" in facts["device"]
    assert any("processor" in warning for warning in ctx.warnings)
    # the mouth is painted, the rest is the track's
    assert not track.values[:, : len(MOUTH)].any()
    assert track.values[:, len(MOUTH) :].any()


def test_the_mouth_alone_is_painted_when_nothing_else_moves(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    # Given a job whose head is locked
    ctx, _ = speaking(tmp_path / "job", motion={"head": 0, "blink": 0, "expressiveness": 0})
    portrait = cv2.imread(str(ctx.path("portrait.png")))
    painted = Patches.load(ctx.job_dir)
    assert portrait is not None
    assert painted is not None
    # When its frames are made
    frames = [frame.copy() for frame in Composer.open(ctx).frames()]
    # Then outside of the mouth's region they are the portrait, and in it they are the patches, mixed in once
    for index, frame in enumerate(frames):
        want = np.asarray(portrait, np.uint8).copy()
        painted.paint(index, want)
        outside = np.ones(frame.shape[:2], bool)
        outside[painted.slices] = False
        assert np.abs(frame.astype(int) - portrait)[outside].max() <= 2  # brows move a little with speech
        assert np.abs(frame.astype(int) - want)[painted.slices].max() <= 2
    assert np.array_equal(frames[0], portrait)
    assert np.array_equal(frames[-1], portrait)
    assert any(np.abs(frame.astype(int) - portrait).max() > 20 for frame in frames)


def test_the_head_moves_as_with_warp(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    # Given the same job with the other engine
    ctx, _ = spoken
    other, facts = speaking(tmp_path / "job", engine="warp", motion={"seed": 5}, fps="29.97")
    assert facts["engine"] == "warp"
    # Then all but the mouth moves alike
    mine, theirs = (Track.load(job.path("motion.npz")).values for job in (ctx, other))
    assert np.array_equal(mine[:, len(MOUTH) :], theirs[:, len(MOUTH) :])
    frames = [frame.copy() for frame in Composer.open(ctx).frames()]
    theirs_frames = [frame.copy() for frame in Composer.open(other).frames()]
    brow = slice(0, frames[0].shape[0] // 3)
    assert max(np.abs(a[brow].astype(int) - b[brow]).max() for a, b in zip(frames, theirs_frames, strict=True)) <= 2
    assert np.abs(frames[20][brow].astype(int) - frames[0][brow]).max() > 5


def test_another_try_with_warp_leaves_no_patches(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    ctx, _ = spoken
    shutil.copytree(ctx.job_dir, tmp_path / "job")
    settings = ctx.settings.model_dump(mode="json")
    settings["stages"]["lipsync"]["engine"] = "warp"
    again = Context(ctx.job_id, ctx.name, tmp_path / "job", ctx.manifest, Settings.model_validate(settings))
    lipsync.run(again)
    assert Patches.load(again.job_dir) is None


def test_a_portrait_with_an_odd_box_at_the_edge_is_painted_inside_it() -> None:
    landmarks = np.zeros((478, 3), np.float32) + np.array([120, 60, 0], np.float32)
    landmarks[[234, 454], 0] = -30, 111.7
    landmarks[152, 1], landmarks[[195, 5], 1] = 203.9, 120
    landmarks[list(range(20)), 0] = 40
    box = portrait_box(landmarks, (112, 204), chin_margin=CHIN_MARGIN)
    assert 0 <= box[0] < box[2] <= 112
    assert 0 <= box[1] < box[3] <= 204


def test_painting_that_cannot_end_in_time_says_how_long_it_would_take(tmp_path: Path) -> None:
    ctx = picture_jobs.job(tmp_path / "job", picture_jobs.drawn())
    settings = ctx.settings.model_dump(mode="json")
    settings["paths"]["models"] = str(MODELS)
    settings["stages"]["lipsync"] |= {"engine": "musetalk"}
    settings["lanes"]["timeout"] = {"base_s": 0.001, "per_audio_s": 0.0}
    ctx = Context(ctx.job_id, ctx.name, ctx.job_dir, ctx.manifest, Settings.model_validate(settings))
    face.run(ctx)
    picture_jobs.say(ctx, PHONES, 1.2)
    with pytest.raises(MachineError) as error:
        lipsync.run(ctx)
    assert error.value.code == "engine-too-slow"
    assert "lanes.timeout.per_audio_s" in error.value.hint
    assert not ctx.path(patches.PIXELS).exists()


def test_cut_patches_are_noticed(spoken: tuple[Context, Facts], tmp_path: Path) -> None:
    ctx, _ = spoken
    shutil.copytree(ctx.job_dir, tmp_path / "job")
    pixels = tmp_path / "job" / patches.PIXELS
    pixels.write_bytes(pixels.read_bytes()[:-1])
    with pytest.raises(UnknownError):
        Patches.load(tmp_path / "job")


# -- silence ---------------------------------------------------------------------------------------------------


def test_silence_eases_to_the_portraits_own_mouth() -> None:
    # Given a second of speech between two of silence
    loudness = np.zeros(300, np.float32)
    loudness[100:200] = 1
    # When the patches' strength is taken at 25 frames a second
    values = work.strength(Sound(Fraction(3), loudness, np.zeros((300, 5), np.float32)), 75, Fraction(25))
    # Then it is full in the speech, nothing in the silence, and passes without a jump
    assert (values[25:50] == 1).all()
    assert not values[:18].any()
    assert not values[60:].any()
    assert np.abs(np.diff(values)).max() < 0.25
