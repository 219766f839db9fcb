"""Loads SDXL from its published files and draws pictures with it. Nothing is asked of a network."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from daemon.errors import TRIED_AGAIN, MachineError, ResultError
from stages.generate.memory_plan import ON_PROCESSOR, MemoryPlan, plan_memory
from stages.generate.model_files import FOLDER
from stages.generate.words import PromptWords
from stages.gpu import errors as gpu_errors
from stages.gpu.device import current_device
from stages.gpu.memory import lift_memory_limit, memory_limited, memory_report, read_gpu_memory
from stages.gpu.torchaudio_import import import_torchaudio

Picture: TypeAlias = npt.NDArray[np.uint8]

_TILE_PX = 512
#: A picture whose values, of 0 to 1, spread less than this shows nothing.
_LEAST_SPREAD = 1 / 255
#: Switches of huggingface_hub, which diffusers and transformers ask.
_OFFLINE = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
_VERIFY = "`avatar models verify sdxl` checks the model's files."


class SdxlPipeline:
    """The loaded model.

    Attributes:
        device: where it computes.
        plan: how it uses the GPU's memory.
    """

    def __init__(self, pipeline: Any, device: torch.device, plan: MemoryPlan) -> None:
        """Take over diffusers' pipeline, whose networks are on their device."""
        self._pipeline, self.device, self.plan = pipeline, device, plan

    @classmethod
    def load(cls, root: Path, variants: Mapping[str, str | None], budget_mb: int = 0) -> Self:
        """Load the model: in float16 on a GPU, in float32 on a processor.

        Args:
            root: the models folder.
            variants: precision of each network's file, see `stages.generate.ready.check_ready`.
            budget_mb: most memory on the GPU, MB; 0 for what is free.

        Raises:
            MachineError: `model-foreign`, `gpu-memory`, `gpu-unusable`, `gpu-lost`, `out-of-memory`.
        """
        device = current_device()
        on_gpu = device.type == "cuda"
        with _device_errors(device), _offline():
            pipeline = _read(root / FOLDER, variants, torch.float16 if on_gpu else torch.float32)
            pipeline.set_progress_bar_config(disable=True)
            if not on_gpu:
                return cls(pipeline, device, ON_PROCESSOR)
            networks = [
                sum(weight.numel() * weight.element_size() for weight in getattr(pipeline, name).parameters())
                for name in variants
            ]
            memory = read_gpu_memory(device)
            budget = budget_mb * 10**6
            plan = plan_memory(networks, memory, budget)
            with memory_limited(device, budget or memory.free):
                if plan.tiles:
                    pipeline.vae.enable_tiling()
                    pipeline.vae.tile_sample_min_size = _TILE_PX
                    pipeline.vae.tile_latent_min_size = _TILE_PX // pipeline.vae_scale_factor
                if plan.offload == "networks":
                    pipeline.enable_model_cpu_offload(device=device)
                elif plan.offload == "layers":
                    pipeline.enable_sequential_cpu_offload(device=device)
                else:
                    pipeline.to(device)
            return cls(pipeline, device, plan)

    def words_left_out(self, text: str) -> bool:
        """Whether a text is longer than the model reads."""
        longest = self._pipeline.tokenizer.model_max_length
        return bool(len(self._pipeline.tokenizer(text, truncation=False).input_ids) > longest)

    def draw(
        self,
        words: PromptWords,
        seed: int,
        size: tuple[int, int],
        steps: int,
        guidance: float,
        stepped: Callable[[int], None],
    ) -> Picture:
        """Draw a picture. The same arguments give the same picture on the same machine; noise comes from the processor, so that
        a GPU's picture is almost the same.

        Args:
            words: what is shown, and what is not.
            seed: of the noise from which the picture is made.
            size: width and height, px.
            steps: of denoising.
            guidance: how closely the picture follows the words.
            stepped: is told how many steps are done, after each.

        Returns:
            RGB uint8 [height, width, 3].

        Raises:
            ResultError: `portrait-broken`: the picture has values that are no numbers, or shows nothing.
            MachineError: `gpu-memory`, `gpu-unusable`, `gpu-lost`, `out-of-memory`.
        """
        width, height = size

        def after_step(_: Any, step: int, __: Any, values: dict[str, Any]) -> dict[str, Any]:
            stepped(step + 1)
            return values

        with _device_errors(self.device), _offline(), torch.inference_mode():
            made = self._pipeline(
                prompt=words.prompt,
                negative_prompt=words.negative or None,
                width=width,
                height=height,
                num_inference_steps=steps,
                guidance_scale=guidance,
                generator=torch.Generator("cpu").manual_seed(seed),
                output_type="np",
                callback_on_step_end=after_step,
            ).images[0]
        return _checked(made, size)

    def memory(self) -> dict[str, int]:
        """Report the memory on the GPU: see `stages.gpu.memory.memory_report`."""
        return memory_report(self.device)

    def unload(self) -> dict[str, int]:
        """Release all memory and its limit, and report the memory afterwards; the object cannot be used any more."""
        with _device_errors(self.device):
            self._pipeline.remove_all_hooks()
            del self._pipeline
            gc.collect()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            lift_memory_limit(self.device)
        return self.memory()


def _checked(made: npt.NDArray[np.floating[Any]], size: tuple[int, int]) -> Picture:
    width, height = size
    if made.shape != (height, width, 3):
        raise ResultError(
            "portrait-broken", f"The model made a picture of the shape {made.shape}.", f"{TRIED_AGAIN} {_VERIFY}"
        )
    if not np.isfinite(made).all():
        raise ResultError(
            "portrait-broken", "The model made a picture with values that are no numbers.", f"{TRIED_AGAIN} {_VERIFY}"
        )
    if made.std() < _LEAST_SPREAD:
        raise ResultError("portrait-broken", "The model made a picture of one colour.", f"{TRIED_AGAIN} {_VERIFY}")
    picture: Picture = np.round(np.clip(made, 0, 1) * 255).astype(np.uint8)
    return picture


def _read(folder: Path, variants: Mapping[str, str | None], dtype: torch.dtype) -> Any:
    """Read the model's files on the processor. Only classes that are named here are made, whatever model_index.json says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if importlib.util.find_spec("torchaudio") is not None:
            import_torchaudio()  # transformers imports it, and fails where its compiled part does not fit
        import diffusers
        import transformers

        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        networks = {
            "unet": diffusers.UNet2DConditionModel,
            "vae": diffusers.AutoencoderKL,
            "text_encoder": transformers.CLIPTextModel,
            "text_encoder_2": transformers.CLIPTextModelWithProjection,
        }
        try:
            parts: dict[str, Any] = {
                name: kind.from_pretrained(
                    folder / name,
                    variant=variants[name],
                    use_safetensors=True,
                    local_files_only=True,
                    **{"torch_dtype" if kind.__module__.startswith("diffusers.") else "dtype": dtype},
                )
                for name, kind in networks.items()
            }
            for name in ("tokenizer", "tokenizer_2"):
                parts[name] = transformers.CLIPTokenizer.from_pretrained(folder / name, local_files_only=True)
            parts["scheduler"] = diffusers.EulerDiscreteScheduler.from_pretrained(
                folder / "scheduler", local_files_only=True
            )
            return diffusers.StableDiffusionXLPipeline(**parts, add_watermarker=False)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            said = (str(exc).strip().splitlines() or [type(exc).__name__])[0][:300].rstrip(".")
            raise MachineError(
                "model-foreign", f"{folder} is not SDXL in the published layout: {said}.", _VERIFY
            ) from exc


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Have the libraries ask nothing of a network in the block, also where they were imported before."""
    from huggingface_hub import constants

    before = {name: getattr(constants, name) for name in _OFFLINE}
    for name in _OFFLINE:  # the libraries read the variables of these names only when they are imported
        setattr(constants, name, True)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(constants, name, value)


def _device_errors(device: torch.device) -> contextlib.AbstractContextManager[None]:
    return gpu_errors.device_errors(
        "There is not enough memory to generate a portrait.",
        "End other programs that use it; on a GPU, set `stages.generate.memory_mb`: a smaller one keeps less of the model there.",
        without_gpu="a job with a picture of its own (`image` in place of `prompt`) needs no GPU",
        on_gpu=device.type == "cuda",
    )
