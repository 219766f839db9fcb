"""MuseTalk's whole way on a GPU: load, record, paint, unload, and what goes wrong there; see tests/support/cuda."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from daemon.errors import MachineError, UnknownError
from stages.musetalk.audio import SpeechReader
from stages.musetalk.device import choose_placement
from stages.musetalk.forward import ForwardPass
from stages.musetalk.networks import number_type
from stages.musetalk.networks.group_norm import GroupNorm, group_norm_channels_last
from stages.musetalk.networks.layers import attend
from stages.musetalk.networks.vae import Vae
from stages.musetalk.painter import Painter
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory
from tests.support.cuda.tensor import GPU, CardTensor
from tests.support.stages.musetalk_golden import INPUTS, arrays
from tests.support.stages.small_musetalk import load_small_painter, small_models

pytestmark = pytest.mark.usefixtures("one_thread")

GB = 1 << 30


def load(precision: str = "float32", budget_mb: int = 5600, batch: int = 2) -> Painter:
    """Load the smallest engine by the product's own door; two frames a pass, because the processor does the stand-in's work."""
    return Painter.load("musetalk", small_models(), choose_placement(precision), budget_mb, batch)  # type: ignore[arg-type]


def crop() -> npt.NDArray[np.uint8]:
    return np.asarray(arrays("v15")["crop256"], np.uint8)


def tokens(frames: int = 2) -> torch.Tensor:
    """The tokens of at most three frames; two are a whole batch."""
    return torch.from_numpy(arrays("audio")["tokens"])[:frames]


@functools.cache
def painted_by_the_processor(frames: int = 2) -> npt.NDArray[np.uint8]:
    return paint(load_small_painter(), frames=frames)


def paint(painter: Painter, groups: int = 1, frames: int = 2) -> npt.NDArray[np.uint8]:
    return np.concatenate(list(painter.patches(painter.latents(crop()), [tokens(frames)] * groups)))


def test_a_gpu_paints_what_the_processor_paints_and_gives_everything_back(driver: Driver) -> None:
    # Given what the processor paints, of which the last batch of a group is not whole
    want = np.tile(painted_by_the_processor(3), (2, 1, 1, 1))
    # When the product's own door loads the engine on a GPU and paints
    painter = load()
    got = paint(painter, 2, frames=3)
    # Then the pass was recorded, the patches are the same, and after unloading neither memory nor a limit is left
    assert painter.recorded == "CUDA graph"
    assert np.abs(got.astype(int) - want).max() <= 1
    assert driver.card.memory.fraction < 0.6
    painter.unload()
    del painter
    assert driver.card.memory.reserved == 0
    assert driver.pools == {}
    assert driver.card.memory.fraction == 1.0


def test_half_precision_on_a_gpu_is_float16_and_near_to_float32(driver: Driver) -> None:
    painter = load("auto")
    got = paint(painter)
    want = painted_by_the_processor()
    assert painter.placement.description == "cuda:0 (NVIDIA GeForce RTX 3080), float16"
    assert np.abs(got.astype(int) - want).mean() < 1.5


def test_a_pass_copies_no_layout_waits_without_a_core_and_leaves_the_switches_of_others(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given switches as another network of the process has set them
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    seen: set[tuple[bool, bool]] = set()
    decode = Vae.decode

    def watched(self: Vae, latents: torch.Tensor) -> torch.Tensor:
        seen.add((torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32))
        return decode(self, latents)

    monkeypatch.setattr(Vae, "decode", watched)
    # When it paints two groups
    painter = load()
    latents, groups = painter.latents(crop()), [tokens().to(GPU)] * 2
    driver.card.uploads = driver.card.downloads = 0
    list(painter.patches(latents, groups))
    # Then no copy made the host wait
    assert (driver.card.uploads, driver.card.downloads) == (0, 0)
    # And no convolution and no norm found its input in another layout than it works in
    assert driver.card.copies == []
    # And whoever waited for the GPU slept
    assert driver.blocking_events
    assert not driver.spinning_waits
    # And cuDNN chose its kernels by trial, without TF32, but only for this network
    assert seen == {(True, False)}
    assert (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32) == (False, True)


def test_the_tokens_of_a_video_come_from_the_gpu_without_a_wait_for_each_pass(driver: Driver) -> None:
    # Given the sound of a video on a GPU, and what the processor makes of it
    speech, found, uploads, tf32 = SpeechReader(INPUTS / "audio.wav"), [], [], set()
    want = torch.cat(list(load_small_painter().audio_encoder.tokens(speech, 30, Fraction(25), 10)))
    encoder = load().audio_encoder
    encoder._encoder.conv1.register_forward_hook(lambda *_: tf32.add(torch.backends.cudnn.allow_tf32))
    for batch in (10, 3):
        driver.card.uploads = 0
        found.append(torch.cat(list(encoder.tokens(speech, 30, Fraction(25), batch))).cpu())
        uploads.append(driver.card.uploads)
    # Then the tokens are the same, and only the places of all windows were copied in a way that waits for the GPU's work
    for tokens_of_all in found:
        assert torch.allclose(tokens_of_all, want, atol=1e-4)
    assert uploads == [1, 1]
    # And no convolution was computed in TF32, which has three digits
    assert tf32 == {False}


def test_a_recording_that_fails_leaves_the_stream_as_it_was(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the release of torch for which `forward._release_pool` is made: with a later one, look there first
    assert torch.__version__.startswith("2.13.")
    # And a pass that does what may not be recorded: it waits for a number
    compute = ForwardPass._compute

    def waiting(self: ForwardPass) -> tuple[torch.Tensor, torch.Tensor]:
        patches, good = compute(self)
        bool(good.all())
        return patches, good

    monkeypatch.setattr(ForwardPass, "_compute", waiting)
    # When it paints, then it does without a recording, says why, and further work goes where it went before
    painter = load()
    got = paint(painter)
    assert painter.recorded.startswith("eager: CUDA error: operation")
    assert driver.card.stream == 0
    assert np.abs(got.astype(int) - painted_by_the_processor()).max() <= 1
    # And the allocator does not wait for its end, and has its memory back
    assert (driver.recorded_into, driver.pools) == (set(), {})
    painter.unload()
    assert driver.card.memory.cached == 0


def test_memory_that_a_library_lacks_while_a_pass_is_recorded_halves_the_batch(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a cuDNN whose own memory does not suffice for a batch of two, which invalidates the recording
    compute = ForwardPass._compute

    def lacking(self: ForwardPass) -> tuple[torch.Tensor, torch.Tensor]:
        if driver.card.recording is not None and self.batch > 1:
            driver.card.recording = None
            raise RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")
        return compute(self)

    monkeypatch.setattr(ForwardPass, "_compute", lacking)
    # When it paints, then it records a pass of one frame, and does not start the calls of every pass one by one
    painter = load()
    paint(painter)
    assert (painter.batch, painter.recorded) == (1, "CUDA graph")
    painter.unload()


def test_memory_that_others_take_halves_the_batch_until_they_give_it_back(driver: Driver) -> None:
    # Given an engine that painted with a batch of two, and another program that takes what this needed
    painter, memory = load(), driver.card.memory
    latents, held = painter.latents(crop()), driver.card.memory.reserved
    memory.peak = held
    assert len(np.concatenate(list(painter.patches(latents, [tokens()])))) == 2
    whole, needed = memory.total - held, memory.peak - held
    painter._discard_pipeline()
    memory.others = whole - int(0.8 * needed)
    # When it paints, then with half the batch, and nothing is lost
    got = np.concatenate(list(painter.patches(latents, [tokens()])))
    assert np.abs(got.astype(int) - painted_by_the_processor()).max() <= 1
    assert painter.batch == 1
    # When the memory is free again, then the next video has the whole batch
    memory.others = 0
    next(painter.patches(latents, [tokens()]))
    assert painter.batch == 2


def test_a_gpu_that_fails_is_lost_and_one_that_cannot_be_used_is_told_apart(driver: Driver) -> None:
    painter = load()
    latents = painter.latents(crop())
    for number, code in ((719, "gpu-lost"), (700, "gpu-lost"), (209, "gpu-unusable")):
        driver.card.broken = number
        with pytest.raises(MachineError) as error:
            list(painter.patches(latents, [tokens()]))
        assert error.value.code == code
    driver.card.broken = 0


def test_a_fault_of_the_program_is_not_called_one_of_the_gpu(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(self: ForwardPass, tokens: torch.Tensor) -> None:
        raise RuntimeError("Expected all tensors to be on the same device, cpu and cuda:0! CUDA")

    monkeypatch.setattr(ForwardPass, "run", wrong)
    with pytest.raises(RuntimeError, match="same device"):
        paint(load())


def test_latents_that_overflow_are_made_again_in_float32(driver: Driver) -> None:
    # Given an encoder whose numbers float16 cannot hold, though their result is an ordinary one
    painter, exact = load("float16"), load_small_painter()
    want = exact.latents(crop())
    for network in (painter, exact):
        encoder = network._vae.encoder
        encoder.conv_norm_out.weight.mul_(30_000)
        encoder.conv_norm_out.bias.mul_(30_000)
        encoder.conv_out.weight.div_(30_000)
    made = exact.latents(crop())
    # When a portrait is encoded, then its latents are float32's, and the engine still works in float16
    got = painter.latents(crop())
    assert bool(got.isfinite().all())
    assert torch.allclose(got.float().cpu(), made, atol=0.05 * float(want.abs().max()))
    assert painter.placement.dtype == torch.float16
    assert painter._vae.encoder.conv_out.weight.dtype == torch.float16


@pytest.mark.parametrize("part", ["latents", "patches"])
def test_memory_that_ends_on_the_way_to_float32_leaves_one_number_type_and_a_second_try_works(
    driver: Driver, part: str
) -> None:
    # Given an engine whose float16 overflows, on a GPU whose memory others have taken meanwhile
    painter, memory = load("float16"), driver.card.memory
    spoilt = painter._vae.encoder.conv_norm_out if part == "latents" else painter._vae.decoder.conv_norm_out
    spoilt.weight.fill_(60_000)
    latents = None if part == "latents" else painter.latents(crop())

    def work() -> None:
        list(painter.patches(latents if latents is not None else painter.latents(crop()), [tokens()]))

    to_float32 = number_type.convert_weights

    def convert(networks: Sequence[nn.Module], dtype: torch.dtype) -> None:
        torch.cuda.empty_cache()
        memory.others = (
            memory.total - memory.reserved - sum(weight.numel() for net in networks for weight in net.parameters())
        )
        to_float32(networks, dtype)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("stages.musetalk.painter.convert_weights", convert)
        # When it goes over to float32, then the lack is told as the machine's
        with pytest.raises(MachineError) as error:
            work()
    assert error.value.code == "gpu-memory"
    # And all weights have one type, so that it paints when there is memory again
    assert {weight.dtype for net in (painter._unet, painter._vae) for weight in net.parameters()} == {torch.float16}
    memory.others = 0
    with torch.inference_mode():  # in which they were converted
        spoilt.weight.fill_(1)
    work()


def test_each_pass_that_is_prepared_has_time_also_in_mid_video(driver: Driver) -> None:
    # Given a decoder that overflows in float16, so that a pass in float32 is prepared after the first group, and a budget
    # that holds two frames in float16
    painter, prepared = load("float16", budget_mb=1100, batch=0), []
    latents = painter.latents(crop())
    painter._vae.decoder.conv_norm_out.weight.fill_(60_000)

    def begin() -> Iterator[npt.NDArray[np.uint8]]:
        return painter.patches(
            latents, [tokens()] * 3, 0, lambda: prepared.append((painter.placement.dtype, painter.batch))
        )

    # When it paints, then whoever limits its time is told before each of both, and not again
    patches = begin()
    next(patches)
    list(patches)
    assert prepared == [(torch.float16, 2), (torch.float32, 1)]
    # And no later video tries more frames at once than fit in float32
    next(begin())
    assert len(prepared) == 2
    painter.unload()


def test_a_load_that_fails_leaves_no_limit_to_the_other_networks_of_the_process(driver: Driver) -> None:
    driver.card.memory.others = driver.card.memory.total - (1 << 20)
    with pytest.raises(MachineError) as error:
        load()
    assert (error.value.code, driver.card.memory.fraction) == ("gpu-memory", 1.0)


def test_latents_that_are_not_finite_in_float32_either_are_an_error(driver: Driver) -> None:
    painter = load("float16")
    painter._vae.encoder.conv_out.weight.fill_(float("nan"))
    with pytest.raises(UnknownError) as error:
        painter.latents(crop())
    assert error.value.code == "patch-broken"


@pytest.mark.parametrize("budget_mb", [5600, 0], ids=["set", "chosen"])
def test_the_limit_is_the_slices_where_a_gpu_is_divided(budget_mb: int) -> None:
    # Given a slice of 10 GB of a GPU of 80 GB, of which NVML tells the whole
    driver = Driver(CardMemory(10 * GB))
    driver.nvml_total = 80 * GB
    with install(driver):
        painter = load(budget_mb=budget_mb)
        # Then the engine may use its budget, and neither an eighth of it nor a part of what is not there
        assert driver.card.memory.fraction * 10 * GB == pytest.approx(5600e6 - 600 * 2**20, rel=0.01)
        painter.unload()


# -- the parts that differ on a GPU ----------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 2e-5), (torch.float16, 1e-3), (torch.bfloat16, 8e-3)])
def test_group_norm_channels_last_is_group_norm(dtype: torch.dtype, limit: float) -> None:
    # Given maps with means far from 0, at which a difference of squares would lose everything
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 64, 16, 8, generator=generator) * 0.5 + torch.randn(1, 64, 1, 1, generator=generator) * 20
    x = x.to(dtype).to(memory_format=torch.channels_last)
    weight, bias = torch.randn(2, 64, generator=generator)
    weight, bias, shift = (values.to(dtype) for values in (weight, bias, 3 * bias.flip(0)))
    # When they are normalized, with the summands of a convolution
    got = group_norm_channels_last(x, 8, weight, bias, 1e-6, shift)
    # Then the result is float64's within the number type's precision, in the same layout
    moved = x.double().contiguous() + shift.double()[:, None, None]
    want = torch.nn.functional.group_norm(moved, 8, weight.double(), bias.double(), 1e-6)
    assert float((got.double() - want).abs().max()) < limit * float(want.abs().max())
    assert got.is_contiguous(memory_format=torch.channels_last)
    assert got.dtype == dtype


def test_group_norm_on_a_processor_keeps_float32s_digits_in_any_layout() -> None:
    # Given a map as convolutions on a processor leave it, with means far from 0
    generator = torch.Generator().manual_seed(1)
    x = (
        torch.randn(1, 64, 64, 64, generator=generator) * 0.1
        + torch.randn(1, 64, 1, 1, generator=generator).sign() * 30
    )
    norm = GroupNorm(64, 64)
    with torch.inference_mode():
        got = norm(x.to(memory_format=torch.channels_last))
    # Then the result is float64's but for rounding, which the differences of the values from their mean have already
    want = torch.nn.functional.group_norm(x.double(), 64)
    assert float((got.double() - want).abs().max()) < 1e-3


def test_a_query_for_all_frames_reaches_the_attention_with_strides(driver: Driver) -> None:
    query = torch.randn(1, 16, 8).to(GPU)
    key = torch.randn(3, 50, 8).to(GPU)
    with torch.inference_mode():
        mixed = attend(query, key, key, heads=2)
    assert isinstance(mixed, CardTensor)
    assert mixed.shape == (3, 16, 8)
