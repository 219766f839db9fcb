"""Whole frames drawn on a device, with painted mouths pasted there: they are the processor's, and a failing GPU ends no video."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import stages.face
from daemon.config import Settings
from stages.context import Context
from stages.encode.compose import Composer
from stages.encode.device import choose
from stages.encode.device.choose import SamplerChoice, choose_sampler, drawing_bytes
from stages.encode.framing import frames_of_job, shared_frames_of_job
from stages.encode.parallel import ParallelFrames
from stages.encode.planes import PlanarFrame
from tests.support.stages.painted_mouths import paint_mouths
from tests.support.stages.picture_jobs import drawn, job, show

torch = pytest.importorskip("torch")

from stages.encode.device.frames import IN_FLIGHT, DeviceFrames  # noqa: E402
from stages.gpu.queues import WorkQueue  # noqa: E402
from tests.support.cuda.driver import Driver  # noqa: E402
from tests.support.cuda.install import install  # noqa: E402
from tests.support.cuda.late_queues import Eager, Later  # noqa: E402
from tests.support.cuda.memory import CardMemory  # noqa: E402

pytestmark = pytest.mark.usefixtures("models", "one_thread")

GB = 1 << 30
FRAMES = 5
#: Motion of everything but the mouth, and of the mouth.
HEAD = [
    {
        "head_yaw": 3.0, "head_pitch": -2.0, "head_roll": 0.3 * k, "head_x": 0.01, "breath": 1.0, "lean": 0.02,
        "brow_left": 0.7, "gaze_x": 0.5, "blink_left": 0.15 * k, "blink_right": 0.2 * k,
    }
    for k in range(FRAMES)
]  # fmt: skip
LIPS = [{**row, "jaw": 0.15 * k, "smile": 0.2 * k} for k, row in enumerate(HEAD)]


def moving(folder: Path, *, mouths: bool, **manifest: Any) -> Context:
    """A job whose mouth is painted, with noise, or is moved by the track."""
    ctx = job(folder / "job", drawn(320), {"min_face_px": 40}, **manifest)
    stages.face.run(ctx)
    show(ctx, *(HEAD if mouths else LIPS))
    if mouths:
        paint_mouths(ctx, FRAMES)
    return ctx


def with_settings(ctx: Context, **sections: dict[str, Any]) -> Context:
    """The same job with other settings of `stages` and `lanes`."""
    values = ctx.settings.model_dump(mode="json", exclude_unset=True)
    for name, changed in sections.items():
        values[name] = {**values.get(name, {}), **changed}
    return replace(ctx, settings=Settings.model_validate(values), warnings=[])


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return moving(tmp_path_factory.mktemp("painted"), mouths=True)


def on_device(
    ctx: Context,
    device: str = "cpu",
    told: list[str] | None = None,
    queues: tuple[WorkQueue, WorkQueue] | None = None,
    lost: Callable[[], None] = lambda: None,
) -> DeviceFrames:
    composer = Composer.for_job(ctx)
    warn = (told if told is not None else []).append
    return DeviceFrames(composer, device, "there", lambda first: ParallelFrames(composer, 1, first), warn, queues, lost)


def copies(frames: Iterator[PlanarFrame]) -> npt.NDArray[np.uint8]:
    return np.stack([frame.data.copy() for frame in frames])


def assert_alike(got: npt.NDArray[np.uint8], want: npt.NDArray[np.uint8]) -> None:
    """Assert that frames differ by at most 1, but where a coordinate on the edge between two roundings fell to the other side."""
    assert got.shape == want.shape
    apart = np.abs(got.astype(np.int16) - want)
    assert (apart > 1).mean() <= 1e-4
    assert (apart > 0).mean() < 0.02


@pytest.mark.parametrize(
    ("mouths", "manifest"),
    [
        (True, {}),
        (False, {}),
        (True, {"background": "transparent"}),
        (False, {"background": "transparent"}),
        (True, {"aspect": "16:9", "fit": "pad"}),
    ],
    ids=["painted", "moved", "painted, transparent", "moved, transparent", "painted, in a border"],
)
def test_a_device_draws_the_frames_that_the_processor_draws(
    mouths: bool, manifest: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job, and the settings and the GPU that have a device draw it: here torch's processor
    ctx = moving(tmp_path, mouths=mouths, **manifest)
    want = copies(frames_of_job(ctx).frames())
    here = SamplerChoice("cpu", "torch's processor")
    monkeypatch.setattr("stages.encode.framing.choose_sampler", lambda *_: here)
    # When the stage draws it
    frames = shared_frames_of_job(ctx)
    got = copies(frames.source.frames())
    # Then the frames are the same, none is the one before, and no processor has helped
    assert_alike(got, want)
    assert len({frame.tobytes() for frame in got}) == FRAMES
    assert (frames.sampled(), ctx.warnings) == ("torch's processor", [])


def test_no_frame_is_drawn_over_before_it_was_copied(painted: Context) -> None:
    # Given queues that race or dawdle, then each frame is the one that is drawn by itself
    want = copies(on_device(painted).frames())
    for queues in ((Later(), Later()), (Eager(), Later()), (Later(), Eager())):
        assert np.array_equal(copies(on_device(painted, queues=queues).frames()), want)


# -- on a GPU: see tests/support/cuda ---------------------------------------------------------------------------

without_cuda = pytest.mark.skipif(
    torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none"
)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    monkeypatch.setattr(choose, "_drawn_on", "")
    with install(Driver(CardMemory(24 * GB))) as installed:
        yield installed


@without_cuda
def test_a_gpu_draws_without_a_wait_for_its_work_in_the_memory_that_is_counted(
    painted: Context, driver: Driver
) -> None:
    # Given a job, and a GPU that has drawn its first frames
    want = copies(Composer.for_job(painted).frames())
    source = on_device(painted, "cuda:0")
    frames = source.frames()
    got = [next(frames).data.copy()]
    driver.card.uploads = driver.card.downloads = 0
    # When it draws the others
    got.extend(frame.data.copy() for frame in frames)
    # Then they are the processor's, no copy made the host wait for the GPU's work, and whoever waited slept
    assert_alike(np.stack(got), want)
    assert (driver.card.uploads, driver.card.downloads) == (0, 0)
    assert driver.blocking_events == FRAMES
    assert not driver.spinning_waits
    # And all memory was given back, of which no more was used than the choice of the GPU counts with
    assert driver.card.memory.peak <= drawing_bytes(Composer.for_job(painted))
    assert driver.card.memory.reserved == 0
    assert driver.card.memory.peak > 0.6 * drawing_bytes(Composer.for_job(painted))


@without_cuda
@pytest.mark.parametrize("number", [719, 209, 0], ids=["lost", "unusable", "memory"])
def test_the_processor_draws_the_rest_when_a_gpu_fails(painted: Context, driver: Driver, number: int) -> None:
    # Given a GPU that has drawn two frames
    want, told, lost = copies(Composer.for_job(painted).frames()), list[str](), list[bool]()
    source = on_device(painted, "cuda:0", told, lost=lambda: lost.append(True))
    frames = source.frames()
    got = [next(frames).data.copy() for _ in range(2)]
    # When it fails, or others take its memory
    driver.card.broken = number
    if not number:
        driver.card.memory.cached = 0
        driver.card.memory.others = driver.card.memory.free
    got.extend(frame.data.copy() for frame in frames)
    # Then every frame is there, the last ones are the processor's, and the status says what has happened
    assert_alike(np.stack(got), want)
    assert np.array_equal(np.stack(got[-(FRAMES - 2 - IN_FLIGHT + 1) :]), want[-(FRAMES - 2 - IN_FLIGHT + 1) :])
    reason = {
        719: "the GPU stopped working", 209: "PyTorch cannot use the GPU", 0: "the GPU's memory did not suffice"
    }[number]  # fmt: skip
    assert len(told) == 1
    assert told[0].startswith(f"The processor drew the rest of the frames, since {reason}: ")
    assert source.sampled == f"cpu: {reason} in this job"
    # And a new process takes the next job where this one cannot use the GPU any more
    assert lost == [True] * (number != 0)
    # When the encoder needs the frames again, then the processor draws all of them, without another warning
    assert np.array_equal(copies(source.frames()), want)
    assert len(told) == 1
    driver.card.broken = 0


@without_cuda
def test_a_gpu_is_chosen_where_a_network_still_has_room_beside_the_drawing(
    painted: Context, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    composer = Composer.for_job(painted)
    need = drawing_bytes(composer)
    # Given the default, then no GPU is used or even looked at
    assert choose_sampler(painted.settings, composer) == SamplerChoice(None, "")
    assert driver.card.kernels == 0
    # Given the setting, then one with room for the drawing and for MuseTalk's budget is, and none with less
    wanted = with_settings(painted, stages={"encode": {"sampler": "cuda"}}).settings
    memory, left = driver.card.memory, int(0.4 * driver.card.memory.total)
    monkeypatch.setattr(choose, "_drawn_on", "")
    for free, device in ((need + left - GB, None), (need + left + GB, "cuda:0"), (need + left - GB, None)):
        memory.others = memory.total - memory.reserved - free
        choice = choose_sampler(wanted, composer)
        assert choice.device == device
        assert choice.why.startswith("cuda:0 (NVIDIA" if device else "cpu: the GPU has ")
        # And a process opens no GPU that it does not draw on, since that takes memory there until it ends
        assert driver.card.contexts == ({0} if choose._drawn_on else set())
    # And the operator's own budget for MuseTalk is what stays free
    own = {"encode": {"sampler": "cuda"}, "lipsync": {"musetalk": {"memory_mb": 4000}}}
    assert choose_sampler(with_settings(painted, stages=own).settings, composer).device == "cuda:0"
    # Given an operator who gives no GPU to avatard, then none is used
    none = with_settings(painted, stages=own, lanes={"gpu": {"devices": "none"}})
    assert choose_sampler(none.settings, composer).why == "cpu: `lanes.gpu.devices` is none"


@without_cuda
def test_processes_spread_over_the_gpus_stay_there_and_go_on_with_another_one(
    painted: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_drawn_on", "")
    composer = Composer.for_job(painted)
    wanted = with_settings(painted, stages={"encode": {"sampler": "cuda"}}).settings
    # Given two GPUs, on the first of which another process draws already
    first, second = CardMemory(24 * GB, others=GB), CardMemory(24 * GB)
    with install(Driver(first, further=[second])) as driver:
        # And eight that NVML lists, of which CUDA opens no more than these two, as beside slices of a GPU. Before CUDA is opened
        # torch.cuda.device_count tells NVML's number, and get_device_properties raises an AssertionError for the others
        monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: 8)
        # Then this one draws on the second, and stays there, where its CUDA context is, when the first one has more room
        for second.others in (0, 2 * GB):
            assert choose_sampler(wanted, composer).device == "cuda:1"
        assert torch.cuda.current_device() == 1
        # When the second one has no room, or fails, then it draws on the first
        second.others = 20 * GB  # room for the drawing, and none for a network
        assert choose_sampler(wanted, composer).device == "cuda:0"
        second.others, driver.lost = 0, {1}
        assert choose_sampler(wanted, composer).device == "cuda:0"
        # When no GPU can be used, then the reason is said for each
        driver.lost = {0, 1}
        why = choose_sampler(wanted, composer).why
    assert why.startswith("cpu: cuda:0: a trial on the GPU failed: ")
    assert "; cuda:1: a trial on the GPU failed: " in why
    # Nor where PyTorch is the build for processors, whose `torch.cuda.init` raises an AssertionError
    assert choose_sampler(wanted, composer).why == "cpu: the installed PyTorch has no CUDA"


@without_cuda
def test_what_the_networks_hold_already_is_not_left_free_for_them_again(
    painted: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choose, "_drawn_on", "")
    composer = Composer.for_job(painted)
    wanted = with_settings(painted, stages={"encode": {"sampler": "cuda"}}).settings
    # Given a GPU of 8 GB, of which others hold 5.5 GB: not enough is free for MuseTalk, nor for a trial of it
    with install(Driver(CardMemory(8 * GB, others=55 * GB // 10))) as driver:
        driver.held_by = {1: 55 * GB // 10}
        assert choose_sampler(wanted, composer).device is None
        # When it is MuseTalk that holds it, in a worker of the gpu lane, then the GPU draws
        monkeypatch.setattr("stages.gpu.memory._is_gpu_worker", lambda pid: pid == 1)
        assert choose_sampler(wanted, composer).device == "cuda:0"
