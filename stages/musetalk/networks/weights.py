"""Loads the networks from the published model files: safetensors, or PyTorch files, without running any code in them."""

from __future__ import annotations

import json
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from daemon.errors import MachineError
from daemon.system.installation import how_to_fetch_models
from stages.model_files.catalogue import check_model_files
from stages.musetalk.model_files import MODELS
from stages.musetalk.networks.face_parser import FaceParser
from stages.musetalk.networks.unet import UNet, UNetShape
from stages.musetalk.networks.vae import LATENT_CHANNELS, Vae, VaeShape
from stages.musetalk.networks.whisper import WhisperEncoder, WhisperShape

State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)

#: Latents are multiplied by this between the autoencoder and the UNet. Source: Stable Diffusion
LATENT_SCALE = 0.18215
#: Names of sd-vae's attention layers in its .bin file, and their current names.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
#: Values of the configuration file that the code assumes.
_UNET_FIXED = {
    "in_channels": 8,
    "out_channels": 4,
    "cross_attention_dim": 384,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
}


def _fetch_again() -> str:
    return f"Check it with `avatar models verify musetalk`. To fetch it again: {how_to_fetch_models('musetalk')}"


def model_paths(engine: str, root: Path) -> dict[str, Path]:
    """Find the files of an engine below the models folder `root`, by the role of each part.

    Raises:
        MachineError: `model-missing` or `model-damaged`.
    """
    found = check_model_files(MODELS[engine], root)
    for status in found:
        path = root / status.file.path
        if status.state == "missing":
            there = f" {status.why}." if status.why else ""
            raise MachineError(
                "model-missing", f"{path} is missing ({status.part.what}).{there}", how_to_fetch_models(engine)
            )
        if status.state == "damaged":
            raise MachineError("model-damaged", f"{path} is damaged: {status.why}.", _fetch_again())
    return {status.part.role: root / status.file.path for status in found}


def load_unet(weights: Path, config: Path) -> UNet:
    """Load the UNet on the CPU, in the file's number type, with its time embedding folded into biases.

    Raises:
        MachineError: `model-damaged`, `model-foreign`.
    """
    settings = _config(config, ("block_out_channels", "attention_head_dim", "norm_num_groups", "layers_per_block"))
    for key, value in _UNET_FIXED.items():
        if settings.get(key) != value:
            raise _foreign_model_error(config, f"{key} is {settings.get(key)!r}, not {value!r}")
    shape = UNetShape(
        channels=tuple(settings["block_out_channels"]),
        heads=settings["attention_head_dim"],
        groups=settings["norm_num_groups"],
        layers=settings["layers_per_block"],
    )
    state = read_tensors(weights)
    try:
        state = fold_time_embedding(state, shape.channels[0])
    except (KeyError, RuntimeError) as exc:
        raise _foreign_model_error(weights, f"its time embedding is not that of this network: {exc}") from exc
    return _build_network(lambda: UNet(shape), fold_upsampling(state), weights)


def load_vae(weights: Path, config: Path) -> Vae:
    """Load the autoencoder on the CPU; its decoder takes scaled latents and returns BGR.

    Raises:
        MachineError: `model-damaged`, `model-foreign`.
    """
    settings = _config(config, ("block_out_channels", "norm_num_groups", "layers_per_block"))
    if settings.get("latent_channels") != LATENT_CHANNELS:
        raise _foreign_model_error(
            config, f"latent_channels is {settings.get('latent_channels')!r}, not {LATENT_CHANNELS}"
        )
    scale = settings.get("scaling_factor", LATENT_SCALE)
    if scale != LATENT_SCALE:
        raise _foreign_model_error(config, f"scaling_factor is {scale!r}, not {LATENT_SCALE}")
    shape = VaeShape(tuple(settings["block_out_channels"]), settings["norm_num_groups"], settings["layers_per_block"])
    state = {_renamed(name): value for name, value in read_tensors(weights).items()}
    for name, value in state.items():  # some copies store the attention's weights as 1 × 1 convolutions
        if ".attentions." in name and value.dim() == 4:
            state[name] = value[:, :, 0, 0]
    try:
        state["post_quant_conv.weight"] = state["post_quant_conv.weight"].float() / LATENT_SCALE
        for name in ("decoder.conv_out.weight", "decoder.conv_out.bias"):
            state[name] = state[name].flip(0)
    except KeyError as exc:
        raise _foreign_model_error(weights, f"it has no {exc}") from exc
    return _build_network(lambda: Vae(shape), fold_upsampling(state), weights)


def load_whisper(weights: Path, config: Path) -> WhisperEncoder:
    """Load Whisper's encoder, without the decoder, on the CPU.

    Raises:
        MachineError: `model-damaged`, `model-foreign`.
    """
    keys = ("d_model", "encoder_layers", "encoder_attention_heads", "encoder_ffn_dim", "num_mel_bins",
            "max_source_positions")  # fmt: skip
    settings = _config(config, keys)
    shape = WhisperShape(*(settings[key] for key in keys))
    if (shape.width, shape.layers, shape.bands, shape.places) != (384, 4, 80, 1500):
        raise _foreign_model_error(config, "it does not describe Whisper tiny")
    prefix = "model.encoder."
    state = {name[len(prefix) :]: value for name, value in read_tensors(weights).items() if name.startswith(prefix)}
    return _build_network(lambda: WhisperEncoder(shape), state, weights)


def load_parser(weights: Path) -> FaceParser:
    """Load the face-parsing network, which runs on the CPU, once per portrait.

    Raises:
        MachineError: `model-damaged`, `model-foreign`.
    """
    return _build_network(FaceParser, read_tensors(weights), weights)


def read_tensors(path: Path) -> State:
    """Read the tensors of a model file, by name. Unpickling a PyTorch file allows only tensors.

    Raises:
        MachineError: `model-damaged` if it cannot be read, `model-foreign` if it contains anything else.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # Files of PyTorch's format before 1.6, such as the face-parsing network's, cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as exc:
        raise _foreign_model_error(path, "it contains more than tensors, and code in model files is not run") from exc
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, SafetensorError) as exc:
        raise MachineError("model-damaged", f"{path} cannot be read: {_first_line(exc)}.", _fetch_again()) from exc
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise _foreign_model_error(path, "it is not a plain dictionary of named tensors")
    return dict(content)


def fold_time_embedding(state: State, width: int) -> State:
    """Add the time embedding to the ResNets' biases, because MuseTalk's time is always 0.

    At time 0 the sinusoidal embedding consists of `width`/2 ones (cosines) and as many zeros.
    """
    embedding = torch.cat([torch.ones(width // 2), torch.zeros(width // 2)])
    for layer in ("time_embedding.linear_1", "time_embedding.linear_2"):
        embedding = functional.linear(embedding, state[f"{layer}.weight"].float(), state[f"{layer}.bias"].float())
        embedding = functional.silu(embedding)  # after the second, as every ResNet does before its projection
    folded = {name: value for name, value in state.items() if not re.search(r"time_emb(edding|_proj)\.", name)}
    for name in state:
        if name.endswith(".time_emb_proj.weight"):
            stem = name.removesuffix(".time_emb_proj.weight")
            shift = functional.linear(embedding, state[name].float(), state[f"{stem}.time_emb_proj.bias"].float())
            folded[f"{stem}.conv1.bias"] = state[f"{stem}.conv1.bias"].float() + shift
    return folded


def fold_upsampling(state: State) -> State:
    """Return the state with the convolutions after a doubling of the size as `networks.layers.Upsample` takes them."""
    return {
        name: transposed_kernel(value)
        if name.endswith(".upsamplers.0.conv.weight") and value.shape[2:] == (3, 3)
        else value
        for name, value in state.items()
    }


def transposed_kernel(kernel: Tensor) -> Tensor:
    """Return the kernel of a transposed convolution, [in, out, 4, 4], that does what repeating pixels and `kernel` do.

    Args:
        kernel: of a convolution, [out, in, 3, 3].
    """
    for axis in (2, 3):
        # Of two equal rows a kernel of three sees one row once and the other twice.
        first, middle, last = kernel.float().unbind(axis)
        kernel = torch.stack([last, middle + last, first + middle, first], axis)
    return kernel.transpose(0, 1).contiguous()


def _renamed(name: str) -> str:
    head, _, last = name.rpartition(".")
    stem, _, layer = head.rpartition(".")
    return f"{stem}.{_OLD_NAMES[layer]}.{last}" if ".attentions." in name and layer in _OLD_NAMES else name


def _build_network(build: Callable[[], Network], state: State, path: Path) -> Network:
    """Build a network without initialising it, and load exactly the tensors of `state` into it."""
    with torch.device("meta"):
        network = build()
    try:
        network.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as exc:
        raise _foreign_model_error(path, f"its tensors are not those of this network: {_first_line(exc, 1)}") from exc
    return network.requires_grad_(False).eval()


def _config(path: Path, keys: tuple[str, ...]) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads(path.read_bytes())
        missing = [key for key in keys if key not in settings]
    except (OSError, ValueError, TypeError) as exc:
        raise MachineError("model-damaged", f"{path} cannot be read: {_first_line(exc)}.", _fetch_again()) from exc
    if missing:
        raise _foreign_model_error(path, f"it has no {', '.join(missing)}")
    return settings


def _foreign_model_error(path: Path, why: str) -> MachineError:
    return MachineError("model-foreign", f"{path} is of another kind: {why}.", _fetch_again())


def _first_line(exc: BaseException, line: int = 0) -> str:
    lines = str(exc).splitlines() or [type(exc).__name__]
    return lines[min(line, len(lines) - 1)].strip()[:200].rstrip(".")
