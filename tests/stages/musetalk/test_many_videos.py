"""MuseTalk on a GPU from one video to the next: what one of them needed is not kept from, or paid by, all later ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from daemon.errors import MachineError
from stages.musetalk.device import choose_placement
from stages.musetalk.painter import Painter
from tests.support.cuda.driver import Driver
from tests.support.stages.musetalk_golden import arrays
from tests.support.stages.small_musetalk import small_models

pytestmark = pytest.mark.usefixtures("one_thread")


def load(batch: int = 2) -> Painter:
    return Painter.load("musetalk", small_models(), choose_placement("float16"), 5600, batch)


def paint(painter: Painter, latents: torch.Tensor) -> npt.NDArray[np.uint8]:
    tokens = torch.from_numpy(arrays("audio")["tokens"])[:2]
    return np.concatenate(list(painter.patches(latents, [tokens])))


def latents(painter: Painter, *, mirrored: bool = False) -> torch.Tensor:
    crop = np.asarray(arrays("v15")["crop256"], np.uint8)
    return painter.latents(crop[:, ::-1] if mirrored else crop)


def test_a_portrait_that_overflows_does_not_slow_the_videos_of_others_down(driver: Driver) -> None:
    # Given a portrait that float16 cannot paint, though a batch of float32 has but one frame
    painter = load()
    painter._float32_batch = 1
    bad, good = latents(painter), latents(painter, mirrored=True)
    want = paint(painter, good)
    norm = painter._vae.decoder.conv_norm_out
    spoilt = norm.weight.clone()
    norm.weight.fill_(60_000)
    paint(painter, bad)
    assert (painter.placement.dtype, painter.batch, painter.repainted) == (torch.float32, 1, 2)
    norm = painter._vae.decoder.conv_norm_out
    norm.weight.copy_(spoilt.float())
    # When another one is painted, then in float16 and whole batches, with the same result as before
    assert np.array_equal(paint(painter, good), want)
    assert painter.placement == choose_placement("float16")
    assert (painter.batch, painter.recorded) == (2, "CUDA graph")
    assert {weight.dtype for net in (painter._unet, painter._vae) for weight in net.parameters()} == {torch.float16}
    # When the first one is painted again, then in float32 from its first frame on
    paint(painter, bad)
    assert (painter.placement.dtype, painter.batch, painter.repainted) == (torch.float32, 1, 2)
    # And what is remembered of it goes with the network
    painter.unload()
    del bad, good, norm, spoilt
    assert driver.card.memory.held == 0


def test_recordings_that_are_made_again_keep_no_more_memory_each_time(driver: Driver) -> None:
    # Given an engine whose batch changes from video to video, since others take memory and give it back
    painter = load()
    portrait = latents(painter)
    for batch in (2, 1, 2, 1):
        painter.whole_batch = batch
        paint(painter, portrait)
        assert painter.recorded == "CUDA graph"
    # Then PyTorch keeps memory for cuBLAS for the recording that is there, and for the portraits' encoder
    assert len(driver.card.workspaces.kept) == 2
    # And for the recording no more when the network is unloaded
    painter.unload()
    assert set(driver.card.workspaces.kept) == {0}


def test_a_gpu_that_is_lost_while_a_group_is_used_is_told_and_does_not_abort_the_process(driver: Driver) -> None:
    # Given a group that is written to disk, while the GPU computes the next one
    painter = load()
    tokens = torch.from_numpy(arrays("audio")["tokens"])[:2]
    groups = painter.patches(latents(painter), [tokens] * 3)
    next(groups)
    # When the GPU is lost meanwhile, then the stage tells it, and has freed no memory that the GPU has copied to
    driver.card.broken = 719
    with pytest.raises(MachineError) as told:
        next(groups)
    assert (told.value.code, driver.card.pinned.aborts) == ("gpu-lost", 0)
