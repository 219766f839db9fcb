"""The belt between device and host: results are right however late each of the device's queues does its work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from stages.gpu.queues import WorkQueue
from stages.musetalk.forward import ForwardPass, find_out_of_memory
from stages.musetalk.painter import Painter
from stages.musetalk.stream_pipeline import StreamPipeline
from tests.support.cuda.late_queues import Eager, Later
from tests.support.stages.musetalk_golden import arrays, load_painter

pytestmark = pytest.mark.usefixtures("one_thread")


Results = list[npt.NDArray[np.uint8]]


@torch.inference_mode()
def results(painter: Painter, queues: tuple[WorkQueue, WorkQueue] | None) -> Results:
    """Seven batches of one or two frames, all started before the first is fetched."""
    frames = torch.from_numpy(arrays("audio")["tokens"])
    pipeline = StreamPipeline(
        ForwardPass(painter._unet, painter._vae, painter.latents(arrays("v15")["crop256"]), 2), queues
    )
    pending = [pipeline.put(frames[turn % 3 : turn % 3 + 1 + turn % 2]) for turn in range(7)]
    return [item.get()[0].copy() for item in pending]


@pytest.fixture(scope="module")
def one_by_one(one_thread: None) -> tuple[Painter, Results]:
    painter = load_painter()
    return painter, results(painter, None)


@pytest.mark.parametrize(
    "make",
    [lambda: (Later(), Later()), lambda: (Eager(), Later()), lambda: (Later(), Eager()), lambda: (Eager(), Eager())],
)
def test_no_slot_is_filled_again_before_it_was_copied(
    one_by_one: tuple[Painter, Results], make: Callable[[], tuple[WorkQueue, WorkQueue]]
) -> None:
    # Given results computed and fetched one by one, and frames that differ, so that a mix-up would be seen
    painter, want = one_by_one
    assert not np.array_equal(want[0], want[1][:1])
    # When more batches are under way than there are slots, and the queues race or dawdle
    got = results(painter, make())
    # Then each batch got its own result
    assert all(np.array_equal(mine, theirs) for mine, theirs in zip(got, want, strict=True))


def test_one_recording_serves_every_portrait() -> None:
    # Given a belt, warm for one portrait
    painter, frames = load_painter(batch=3), torch.from_numpy(arrays("audio")["tokens"])
    crop = arrays("v15")["crop256"]
    list(painter.patches(painter.latents(crop), [frames]))
    pipeline = painter._pipeline
    # When another portrait is painted, then nothing is prepared anew, and the patches are those of a fresh painter
    mirrored = painter.latents(np.ascontiguousarray(crop[:, ::-1]))
    got = np.concatenate(list(painter.patches(mirrored, [frames])))
    assert painter._pipeline is pipeline
    fresh = load_painter(batch=3)
    assert np.array_equal(got, np.concatenate(list(fresh.patches(mirrored, [frames]))))


def test_memory_that_ends_while_recording_is_seen_behind_the_recordings_own_error() -> None:
    # Given the error of a recording that was broken off because memory ended
    error = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    error.__context__ = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    # Then it counts as one of memory, so that the batch is halved; another does not
    assert find_out_of_memory(error) is error.__context__
    assert find_out_of_memory(RuntimeError("CUDA error: operation not permitted when stream is capturing")) is None
