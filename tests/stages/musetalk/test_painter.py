"""What the engine promises beyond the reference's numbers: any length, rate and batch; broken patches; little memory."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from daemon.errors import MachineError, UnknownError
from stages.musetalk import audio_windows
from stages.musetalk import painter as painting
from stages.musetalk.audio import SpeechReader
from stages.musetalk.forward import ForwardPass
from stages.musetalk.mel import log_mel
from stages.musetalk.networks import weights
from stages.musetalk.painter import Painter
from tests.conftest import ROOT
from tests.support.stages.musetalk_golden import INPUTS, MODELS, arrays
from tests.support.stages.musetalk_golden import load_painter as load

CPU = torch.device("cpu")


pytestmark = pytest.mark.usefixtures("one_thread")


def tokens() -> torch.Tensor:
    return torch.from_numpy(arrays("audio")["tokens"])


def write(path: Path, sound: npt.NDArray[np.float64], rate: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(sound * 32767).astype("<i2").tobytes())
    return path


# -- sound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 22050, 24000, 44100, 48000])
def test_any_rate_becomes_16_khz_without_delay_or_alias(tmp_path: Path, rate: int) -> None:
    # Given a tone that 16 kHz can carry (and, where the file can, one that it cannot)
    seconds = 31.3  # a little more than one of the encoder's pieces
    time = np.arange(round(seconds * rate)) / rate
    tone = 0.4 * np.sin(2 * np.pi * 997 * time)
    above = 0.4 * np.sin(2 * np.pi * 9500 * time) if rate > 20_000 else 0
    # When it is read
    pieces = list(SpeechReader(write(tmp_path / "a.wav", tone + above, rate)).pieces())
    # Then the first is left, at the same times, across the joint of two pieces too
    got = np.concatenate(pieces)
    assert len(pieces) == 2
    assert abs(len(got) - seconds * 16000) <= 1
    want = 0.4 * np.sin(2 * np.pi * 997 * np.arange(len(got)) / 16000)
    inner = slice(400, -400)  # at its ends the tone is cut off, which is no tone
    assert np.abs(got - want)[inner].max() < 2e-4


def test_a_long_sound_is_heard_as_a_whole_would_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given sound over the seams of three pieces, at a rate no whole number of steps fits
    noise = np.random.default_rng(1).normal(0, 0.05, 61 * 16000)
    speech = SpeechReader(write(tmp_path / "a.wav", noise, 16000))
    audio_encoder, fps, frames = load().audio_encoder, Fraction(30000, 1001), 1829
    makers: list[str] = []

    def watched(samples: torch.Tensor) -> torch.Tensor:
        makers.append(threading.current_thread().name)
        assert samples.device.type == "cpu"
        return log_mel(samples)

    # When its frames are asked for in small groups
    with monkeypatch.context() as patched:
        patched.setattr("stages.musetalk.audio.log_mel", watched)
        got = list(audio_encoder.tokens(speech, frames, fps, 64))
    # Then the spectrograms were made in a thread, beside the painting
    assert len(makers) == 3
    assert all(name.startswith("read-ahead") for name in makers)
    # And the tokens are those of all hidden states at once, one for each frame
    hidden = torch.cat([audio_encoder.hidden_states(piece) for piece in speech.pieces()])
    whole = (
        audio_windows.gather_windows(hidden, audio_windows.window_starts(0, frames, fps))
        + audio_windows.position_table()
    )
    assert [len(group) for group in got] == [64] * 28 + [37]
    assert torch.equal(torch.cat(got), whole)


@pytest.mark.parametrize(
    "fps", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60), Fraction(1000)]
)
def test_windows_follow_the_exact_time_for_two_hours(fps: Fraction) -> None:
    last = int(7200 * fps)
    start = int(audio_windows.window_starts(last, last + 1, fps)[0])
    assert (
        0
        <= last / fps - Fraction(start + audio_windows.LEAD, audio_windows.STEPS_PER_S)
        < Fraction(1, audio_windows.STEPS_PER_S)
    )


@pytest.mark.parametrize("count", [0, 1, 1600])
def test_a_sound_of_almost_nothing_gives_all_its_frames(tmp_path: Path, count: int) -> None:
    speech = SpeechReader(write(tmp_path / "a.wav", np.zeros(count), 16000))
    assert [len(group) for group in load().audio_encoder.tokens(speech, 3, Fraction(25), 2)] == [2, 1]


# -- painting --------------------------------------------------------------------------------------------------


def test_patches_depend_neither_on_the_batch_nor_on_the_run() -> None:
    crop, frames = arrays("v15")["crop256"], tokens()
    made = []
    for batch in (1, 3, 4):
        painter = load(batch=batch)
        made.append(np.concatenate(list(painter.patches(painter.latents(crop), [frames]))))
        assert np.array_equal(made[-1], np.concatenate(list(painter.patches(painter.latents(crop), [frames]))))
    assert max(np.abs(patches.astype(int) - made[0]).max() for patches in made) <= 1


def test_each_portrait_gets_its_own_patches() -> None:
    # Given a painter that has painted one portrait
    painter, golden = load(), arrays("v15")
    first = painter.latents(golden["crop256"])
    before = next(painter.patches(first, [tokens()[:1]]))
    # When it paints another and then the first again, then nothing of the one is in the other
    other = next(painter.patches(painter.latents(golden["crop256"][:, ::-1]), [tokens()[:1]]))
    assert np.abs(other.astype(int) - before).mean() > 1
    assert np.array_equal(next(painter.patches(first, [tokens()[:1]])), before)


def overflow(painter: Painter) -> None:
    """Weights that float16 cannot hold the products of: what black mouths on some cards come from."""
    first = painter._vae.decoder.conv_in
    assert first.bias is not None
    factor = 50_000 / float(first.weight.abs().max())
    first.weight.mul_(factor)
    first.bias.mul_(factor)


def test_broken_patches_are_painted_again_in_float32_and_counted(matrix_units: None) -> None:
    # Given a network that overflows in float16
    painter, exact = load(torch.float16), load(torch.float32)
    overflow(painter)
    overflow(exact)
    crop = arrays("v15")["crop256"]
    latents = painter.latents(crop)
    # When it paints
    got = np.concatenate(list(painter.patches(latents, [tokens()[:1], tokens()[:1]])))
    # Then the patches are what float32 paints, and it is known that it was needed
    want = next(exact.patches(latents.float(), [tokens()[:1]]))
    assert painter.repainted == 2  # the second group was begun before the first was seen
    assert painter.placement.dtype == torch.float32
    assert np.abs(got.astype(int) - np.concatenate([want, want])).mean() < 1


def test_what_float32_cannot_paint_either_is_an_error() -> None:
    painter = load()
    painter._vae.decoder.conv_out.weight.fill_(float("nan"))
    with pytest.raises(UnknownError) as error:
        list(painter.patches(painter.latents(arrays("v15")["crop256"]), [tokens()[:1]]))
    assert error.value.code == "patch-broken"


def test_one_flat_colour_is_no_mouth() -> None:
    painter = load()
    painter._vae.decoder.conv_out.weight.zero_()
    with pytest.raises(UnknownError):
        list(painter.patches(painter.latents(arrays("v15")["crop256"]), [tokens()[:1]]))


class _LittleMemory(ForwardPass):
    most = 1

    def run(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if self.batch > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().run(tokens)


def test_out_of_memory_halves_the_batch_and_loses_no_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    crop, frames = arrays("v15")["crop256"], tokens()
    want = np.concatenate(list(load(batch=1).patches(load().latents(crop), [frames])))
    monkeypatch.setattr(painting, "ForwardPass", _LittleMemory)
    painter = load(batch=8)
    got = np.concatenate(list(painter.patches(painter.latents(crop), [frames])))
    assert painter.batch == 1
    assert np.array_equal(got, want)


def test_no_memory_for_one_frame_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "ForwardPass", _LittleMemory)
    monkeypatch.setattr(_LittleMemory, "most", 0)
    painter = load(batch=2)
    with pytest.raises(MachineError) as error:
        list(painter.patches(painter.latents(arrays("v15")["crop256"]), [tokens()[:1]]))
    assert error.value.code == "gpu-memory"


def test_a_gpu_that_disappears_is_the_machines_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(step: ForwardPass, tokens: torch.Tensor) -> None:
        raise RuntimeError("CUDA error: unspecified launch failure\nmore")

    monkeypatch.setattr(ForwardPass, "run", lost)
    painter = load()
    with pytest.raises(MachineError) as error:
        list(painter.patches(painter.latents(arrays("v15")["crop256"]), [tokens()[:1]]))
    assert error.value.code == "gpu-lost"


def test_folding_the_time_embedding_leaves_nothing_of_it() -> None:
    state = weights.read_tensors(MODELS / "musetalkV15" / "unet.pth")
    folded = weights.fold_time_embedding(state, 16)
    assert len(state) == 686
    assert not [name for name in folded if "time_emb" in name]
    assert torch.equal(state["conv_in.weight"], folded["conv_in.weight"])


def test_the_golden_sound_is_16_khz() -> None:
    assert sum(map(len, SpeechReader(INPUTS / "audio.wav").pieces())) == 19400


def test_a_long_speech_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    # Given the whole way from a WAV to painted mouths on the disk, in a process of its own, where what is not used any more goes
    # back to the system at once: what is kept for later use differs from run to run
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "131072"}
    command = [sys.executable, "-m", "tests.support.stages.long_speech", str(tmp_path), "2", "4"]
    told = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    # When a speech is twice as long as one that is read ahead, too / Then its memory is the same (the sound of 2 min is 6 MB in a
    # file, 8 MB as it is heard, the mouths are 5 MB)
    short, long = (int(number) * 1024 / 1e6 for number in told.split())
    assert long < short + 4
