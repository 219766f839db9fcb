"""WAV files: read as mono of any length, and refused by one error where they are not what the house writes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from stages.media.wav import WavError, open_wav, open_wav_writer, read_wav_blocks, to_pcm


def written(path: Path, samples: int) -> bytes:
    with open_wav_writer(path, 24_000, samples) as sink:
        sink.writeframes(to_pcm(np.linspace(-1, 1, samples, dtype=np.float32)))
    return path.read_bytes()


def test_what_is_written_is_read_back_in_blocks(tmp_path: Path) -> None:
    # Given more sound than is read at once
    whole = written(tmp_path / "a.wav", 150_001)
    # Then the blocks are all of it, from a file and from memory
    blocks = list(read_wav_blocks(tmp_path / "a.wav"))
    assert len(blocks) > 1
    assert np.abs(np.concatenate(blocks) - np.linspace(-1, 1, 150_001)).max() < 1e-4
    with open_wav(io.BytesIO(whole)) as file:
        assert (file.rate, file.count, file.channels) == (24_000, 150_001, 1)
        assert np.array_equal(file.read(10), blocks[0][:10])
        assert np.array_equal(file.read(10), blocks[0][10:20])


def test_a_file_that_ends_in_the_middle_of_a_sample_gives_the_whole_ones(tmp_path: Path) -> None:
    whole = written(tmp_path / "a.wav", 1000)
    (tmp_path / "a.wav").write_bytes(whole[:-501])
    assert len(np.concatenate(list(read_wav_blocks(tmp_path / "a.wav")))) == 749


def test_channels_are_averaged(tmp_path: Path) -> None:
    with open_wav_writer(tmp_path / "a.wav", 8000) as sink:
        sink.setnchannels(2)
        sink.writeframes(np.array([[8192, 0], [-8192, 8192]], "<i2").tobytes())
    assert np.concatenate(list(read_wav_blocks(tmp_path / "a.wav"))).tolist() == [0.125, 0.0]


@pytest.mark.parametrize("at", [0, 3, 20, 30])
def test_a_cut_head_is_told(tmp_path: Path, at: int) -> None:
    (tmp_path / "a.wav").write_bytes(written(tmp_path / "a.wav", 10)[:at])
    with pytest.raises(WavError, match=r"\w"), open_wav(tmp_path / "a.wav"):
        pass


def test_another_width_is_told(tmp_path: Path) -> None:
    with open_wav_writer(tmp_path / "a.wav", 8000) as sink:
        sink.setsampwidth(3)
        sink.writeframes(bytes(30))
    with pytest.raises(WavError, match="16 bits"), open_wav(tmp_path / "a.wav"):
        pass
