"""Model files as operators have them: converted, damaged, of another kind, with code in them."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from daemon.errors import MachineError
from stages.musetalk.device import Placement
from stages.musetalk.networks import weights
from stages.musetalk.networks.layers import Upsample
from stages.musetalk.painter import Painter
from tests.support.stages.musetalk_golden import MODELS, arrays

CPU32 = Placement(torch.device("cpu"), torch.float32)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return Path(shutil.copytree(MODELS, tmp_path / "models"))


def test_safetensors_are_preferred_and_paint_the_same(models: Path) -> None:
    # Given the published files, and the same tensors as safetensors where the .pth has become useless
    crop = arrays("v15")["crop256"]
    tokens = torch.from_numpy(arrays("audio")["tokens"])
    before = Painter.load("musetalk", models, CPU32)
    want = np.concatenate(list(before.patches(before.latents(crop), [tokens])))
    for old, new in (
        ("musetalkV15/unet.pth", "musetalkV15/unet.safetensors"),
        ("sd-vae/diffusion_pytorch_model.bin", "sd-vae/diffusion_pytorch_model.safetensors"),
        ("whisper/pytorch_model.bin", "whisper/model.safetensors"),
    ):
        state = {name: value.contiguous() for name, value in weights.read_tensors(models / old).items()}
        save_file(state, models / new)
        (models / old).write_bytes(b"")
    # When they are loaded, then the patches are the same to the last bit
    after = Painter.load("musetalk", models, CPU32)
    assert np.array_equal(np.concatenate(list(after.patches(after.latents(crop), [tokens]))), want)


class Bomb:
    """What unpickling this does, a model file must never do."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def cut_of_the_old_format(path: Path) -> None:
    torch.save({"conv_in.weight": torch.zeros(1000)}, path, _use_new_zipfile_serialization=False)
    cut(path)


def swap(path: Path) -> None:
    shutil.copy(path.parent.parent / "musetalk" / "pytorch_model.bin", path)


def bomb(path: Path) -> None:
    torch.save({"conv_in.weight": Bomb(path.parent / "ran")}, path)


def old_bomb(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.parent / "ran")))


def nested(path: Path) -> None:
    torch.save({"state_dict": {"conv_in.weight": torch.zeros(1)}, "epoch": 3}, path)


def page(path: Path) -> None:
    path.write_text("<html>Sign in to download</html>")


@pytest.mark.parametrize(
    ("harm", "code"),
    [(Path.unlink, "model-missing"), (cut, "model-damaged"), (page, "model-damaged"), (old_bomb, "model-damaged"),
     (cut_of_the_old_format, "model-damaged"),
     (swap, "model-foreign"), (bomb, "model-foreign"), (nested, "model-foreign")],
)  # fmt: skip
def test_bad_weights_are_named_and_run_nothing(models: Path, harm: Callable[[Path], None], code: str) -> None:
    path = models / "musetalkV15" / "unet.pth"
    harm(path)
    with pytest.raises(MachineError) as error:
        Painter.load("musetalk", models, CPU32)
    assert error.value.code == code
    assert str(path) in error.value.message
    assert error.value.hint
    assert not (path.parent / "ran").exists()


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [("musetalkV15/musetalk.json", "cross_attention_dim", 768), ("musetalkV15/musetalk.json", "in_channels", 4),
     ("sd-vae/config.json", "scaling_factor", 0.13025), ("whisper/config.json", "d_model", 512)],
)  # fmt: skip
def test_another_architecture_is_refused_by_name(models: Path, file: str, key: str, value: object) -> None:
    path = models / file
    path.write_text(json.dumps({**json.loads(path.read_bytes()), key: value}))
    with pytest.raises(MachineError) as error:
        Painter.load("musetalk", models, CPU32)
    assert error.value.code == "model-foreign"
    assert str(path) in error.value.message


def test_the_autoencoder_is_found_where_forks_keep_it(models: Path) -> None:
    (models / "sd-vae").rename(models / "sd-vae-ft-mse")
    paths = weights.model_paths("musetalk", models)
    assert paths["vae"].parent == paths["vae_config"].parent == models / "sd-vae-ft-mse"


def test_a_forks_file_of_another_format_is_named_where_the_readable_one_is_missing(models: Path) -> None:
    # Given a folder as forks fill it, with Whisper in OpenAI's format
    for path in (models / "whisper").glob("*.[sb]*"):
        path.unlink()
    (models / "whisper" / "tiny.pt").write_bytes(b"theirs")
    # Then the error says what is to be fetched, and why that file does not do
    with pytest.raises(MachineError) as error:
        weights.model_paths("musetalk", models)
    assert "whisper/model.safetensors is missing" in error.value.message
    assert "whisper/tiny.pt has OpenAI's own format" in error.value.message


def test_a_half_downloaded_safetensors_says_how_much_is_missing(models: Path) -> None:
    path = models / "whisper" / "model.safetensors"
    save_file({"model.encoder.conv1.bias": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(MachineError, match="100 bytes are missing"):
        Painter.load("musetalk", models, CPU32)


def test_doubling_the_size_and_a_convolution_are_one_transposed_convolution() -> None:
    # Given a kernel of the file, and a map whose borders matter
    generator = torch.Generator().manual_seed(2)
    kernel, bias = torch.randn(6, 6, 3, 3, generator=generator), torch.randn(6, generator=generator)
    x = torch.randn(2, 6, 5, 7, generator=generator)
    layer = Upsample(6)
    layer.load_state_dict({"conv.weight": weights.transposed_kernel(kernel), "conv.bias": bias})
    # When the layer enlarges it, then that is what the two steps of the public implementation give
    enlarged = torch.nn.functional.interpolate(x.double(), scale_factor=2.0, mode="nearest")
    want = torch.nn.functional.conv2d(enlarged, kernel.double(), bias.double(), padding=1)
    with torch.inference_mode():
        got = layer(x)
    assert float((got.double() - want).abs().max()) < 1e-6 * float(want.abs().max())
