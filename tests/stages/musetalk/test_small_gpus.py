"""MuseTalk where a GPU's memory is short: who opens the GPU, who gives way, and what `auto` does then; see tests/support/cuda."""

from __future__ import annotations

import sys
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import stages.lipsync.motion
from daemon.config import Settings
from daemon.errors import MachineError
from daemon.jobs.record import MOVED_RECORD
from stages import worker
from stages.context import Context, Facts
from stages.gpu.memory import memory_report
from stages.lipsync.engines.base import LipsyncEngine
from stages.model_memory import ModelMemory
from stages.musetalk import paint
from stages.musetalk.device import choose_placement
from stages.musetalk.forward import ForwardPass
from stages.musetalk.painter import Painter
from stages.musetalk.stream_pipeline import PendingResult, StreamPipeline
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory
from tests.support.cuda.tensor import GPU
from tests.support.stages import picture_jobs
from tests.support.stages.musetalk_golden import MODELS, arrays
from tests.support.stages.small_musetalk import small_models

pytestmark = pytest.mark.usefixtures("one_thread")

GB = 1 << 30


@pytest.fixture
def gpu_memory() -> int:
    return 4 * GB


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The engines that made a motion track, in place of the tracks."""
    engines: list[str] = []

    def make(ctx: Context, engine: LipsyncEngine) -> Facts:
        engines.append(engine.name)
        return {}

    monkeypatch.setattr("stages.lipsync.motion.make_motion_track", make)
    return engines


def job(folder: Path, lane: str = "gpu", engine: str = "auto") -> Context:
    """A job before its stage lipsync, in a worker of a lane, with the model files of the tiny network."""
    ctx = picture_jobs.job(folder / "job")
    settings = ctx.settings.model_dump(mode="json")
    settings["paths"] |= {"models": str(MODELS)}
    settings["stages"]["lipsync"] |= {"engine": engine}
    return Context(
        ctx.job_id, ctx.name, ctx.job_dir, ctx.manifest, Settings.model_validate(settings),
        use_engine=lambda name: worker.use_engine(lane, name),
    )  # fmt: skip


def test_the_voice_lane_tells_a_job_for_the_gpu_without_taking_memory_there(
    driver: Driver, moved: list[str], tmp_path: Path
) -> None:
    # When a worker of the voice lane gets a job first / Then it says that the gpu lane's engine does it, and opens no GPU
    with pytest.raises(worker.OtherLaneError, match="musetalk"):
        stages.lipsync.run(job(tmp_path, lane="voice"))
    assert (driver.card.contexts, moved) == (set(), [])
    # When the gpu lane gets it, then that tries the GPU
    stages.lipsync.run(job(tmp_path))
    assert (driver.card.contexts, moved) == ({0}, ["musetalk"])


def test_of_several_gpus_one_that_can_be_used_is_enough_for_the_gpu_lane(moved: list[str], tmp_path: Path) -> None:
    # Given a first GPU that is too small, and a second one
    with install(Driver(CardMemory(2 * GB), further=[CardMemory(10 * GB)])) as driver:
        with pytest.raises(worker.OtherLaneError, match="musetalk"):
            stages.lipsync.run(job(tmp_path, lane="voice"))
        assert driver.card.contexts == set()
        # When both are too small, then warp does the job at once
        driver.memories[1].total = 2 * GB
        stages.lipsync.run(job(tmp_path, lane="voice"))
    assert moved == ["warp"]


def test_auto_goes_on_with_warp_where_a_desktop_holds_the_memory_and_a_named_engine_waits(
    driver: Driver, moved: list[str], tmp_path: Path
) -> None:
    # Given a GPU of 4 GB, of which a desktop holds 1.5 GB
    driver.card.memory.others = 3 * GB // 2
    # When a job leaves the choice to the program, then warp moves the mouth, and status and warning say why
    ctx = job(tmp_path)
    facts = worker.run_with_room(stages.lipsync, ctx, "lipsync")
    assert (facts["engine"], moved) == ("warp", ["warp"])
    assert "has 2,684 of 4,294 MB free, and 3,000 are needed" in facts["why"]
    (warning,) = ctx.warnings
    assert "2,684 of 4,294 MB" in warning
    assert "stages.lipsync.engine: musetalk" in warning
    # And no later job takes this track over, which may find the memory free
    assert not ctx.path(MOVED_RECORD).exists()
    # When config.yaml names the engine, then it is tried, and what it lacks is the machine's fault, for which the job waits
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stages.lipsync.motion.make_motion_track", lacking)
        with pytest.raises(MachineError) as error:
            worker.run_with_room(stages.lipsync, job(tmp_path, engine="musetalk"), "lipsync")
    assert error.value.code == "gpu-memory"
    # When the desktop has ended, then the next job has the network
    driver.card.memory.others = 0
    assert worker.run_with_room(stages.lipsync, job(tmp_path), "lipsync")["engine"] == "musetalk"


def test_a_loaded_network_gives_way_to_other_programs_where_auto_does_without_it(
    driver: Driver, moved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a network that an earlier job has loaded, and too little memory to paint with it, since others took the rest. What a
    # voice's network has used for a long text, and PyTorch keeps for it, was free for the batch
    make = stages.lipsync.motion.make_motion_track
    told: list[ModelMemory] = []
    ctx = replace(job(tmp_path), report_model=told.append)
    driver.card.memory.cached = 3 * GB
    assert paint._load_engine(ctx).painter.batch == 16

    def full(ctx: Context, engine: LipsyncEngine) -> Facts:
        return lacking() if engine.name == "musetalk" else make(ctx, engine)

    monkeypatch.setattr("stages.lipsync.motion.make_motion_track", full)
    # When a job leaves the choice to the program, then it is done with warp, and the network is unloaded, which the lane is told
    worker.run_with_room(stages.lipsync, ctx, "lipsync")
    assert moved == ["warp"]
    assert driver.card.memory.reserved == 0
    assert [(one.model, one.change) for one in told if "other stages" not in one.model] == [
        ("MuseTalk 1.5", "loaded"), ("MuseTalk 1.5", "unloaded"),
    ]  # fmt: skip


def lacking(*_: object) -> Facts:
    raise MachineError("gpu-memory", "There is not enough memory.")


def test_models_of_another_stage_give_way_before_auto_does_without_the_gpu(
    driver: Driver, moved: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given memory that another stage holds, and gives back
    driver.card.memory.others = 2 * GB

    def release() -> Facts:
        driver.card.memory.others = 0
        return {"model": "xtts"}

    monkeypatch.setitem(sys.modules, "stages.tts", SimpleNamespace(release=release))
    ctx = job(tmp_path)
    assert worker.run_with_room(stages.lipsync, ctx, "lipsync")["engine"] == "musetalk"
    assert (moved, ctx.warnings) == (["musetalk"], [])


def test_a_try_that_found_no_memory_holds_none_in_the_next_one(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pipeline that finds no memory when it is given the first frames
    made: list[weakref.ref[StreamPipeline]] = []
    alive: list[bool] = []
    put, begin = StreamPipeline.put, ForwardPass.__init__

    def full(self: StreamPipeline, tokens: torch.Tensor) -> PendingResult:
        made.append(weakref.ref(self))
        if len(made) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return put(self, tokens)

    def begun(self: ForwardPass, *args: Any) -> None:
        alive.extend(ref() is not None for ref in made)
        begin(self, *args)

    monkeypatch.setattr(StreamPipeline, "put", full)
    monkeypatch.setattr(ForwardPass, "__init__", begun)
    # When it paints, then it has given its memory back before the next one, with half the batch, is made
    painter = Painter.load("musetalk", small_models(), choose_placement("float32"), 5600, 2)
    latents = torch.zeros(1, 8, 32, 32, device=GPU)
    list(painter.patches(latents, [torch.from_numpy(arrays("audio")["tokens"])[:2]]))
    assert (painter.batch, alive) == (1, [False])
    painter.unload()


def test_a_gpu_that_fails_when_it_is_opened_is_the_machines_fault(driver: Driver) -> None:
    driver.card.broken = 719
    with pytest.raises(MachineError) as error:
        choose_placement()
    assert error.value.code == "gpu-lost"


def test_a_gpu_without_convolutions_in_bfloat16_refuses_that_precision_before_it_seems_to_lack_memory(
    driver: Driver,
) -> None:
    # Given a GPU of 2018: what cuDNN says there, "unable to find an engine", it says where memory does not suffice, too
    driver.properties.major, driver.properties.minor = 7, 5
    with pytest.raises(MachineError, match="bfloat16") as error:
        choose_placement("bfloat16")
    assert error.value.code == "gpu-unusable"
    assert choose_placement("float16").dtype == torch.float16


def test_a_gpu_that_is_lost_after_the_last_frame_does_not_lose_the_video(driver: Driver) -> None:
    assert memory_report(GPU)["vram_total_mb"] == 4096
    driver.lost = {0}
    assert memory_report(GPU) == {}
