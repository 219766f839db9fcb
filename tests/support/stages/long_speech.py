"""Paint speeches with the tiny network, and print the largest memory until the end of each.

    python -m tests.support.stages.long_speech FOLDER MINUTES…

One frame in five seconds is painted, by networks that give their input and noise in place of latents and a picture, as they keep
nothing: hearing, reading and writing are what grows with the length, if anything does.
"""

from __future__ import annotations

import sys
import wave
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from stages.lipsync import painted_mouth
from stages.musetalk.audio import SpeechReader
from stages.musetalk.mask import MaskRegion
from tests.support.stages.musetalk_golden import arrays, load_painter

RATE, FPS = 24_000, Fraction(1, 5)


def write_sound(path: Path, minutes: int) -> None:
    """Write a mono WAV of noise, of as many minutes."""
    noise = (np.random.default_rng(0).normal(0, 0.05, 10 * RATE) * 32767).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(6 * minutes):
            file.writeframes(noise)


def paint(minutes: int, folder: Path) -> None:
    """Paint the mouths of as many minutes into `folder`, and print the largest resident memory so far in kB."""
    folder.mkdir()
    write_sound(folder / "speech.wav", minutes)
    painter, frames = load_painter(batch=4), 12 * minutes
    noise = torch.rand(painter.batch, 3, 256, 256, generator=torch.Generator().manual_seed(0)) * 2 - 1
    painter._unet.forward = lambda latents, tokens: latents[:, :4]
    painter._vae.decode = lambda latents: noise
    where = MaskRegion((100, 100, 300, 360), (100, 230, 300, 360), np.full((130, 200), 255, np.uint8))
    tokens = painter.audio_encoder.tokens(SpeechReader(folder / "speech.wav"), frames, FPS, painter.batch)
    painted = painter.patches(painter.latents(arrays("v15")["crop256"]), tokens)
    painted_mouth.save_painted_mouths(folder, where, np.ones(frames, np.float32), painted)
    assert painted_mouth.PaintedMouths.load(folder) is not None
    assert "torch._dynamo" not in sys.modules, (
        "torch's compiler was imported, which takes more than a second of every start"
    )
    # Not ru_maxrss, which begins with what the process that started this one had.
    print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for number in sys.argv[2:]:
        paint(int(number), Path(sys.argv[1]) / number)
