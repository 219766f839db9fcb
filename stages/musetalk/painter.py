"""Runs the network: encodes a portrait to latents once, then paints patches, batch by batch."""

from __future__ import annotations

import contextlib
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daemon.errors import TRIED_AGAIN, MachineError, UnknownError
from stages.gpu.memory import lift_memory_limit, memory_limited, memory_report, read_gpu_memory
from stages.musetalk import gpu_memory
from stages.musetalk.audio import AudioEncoder
from stages.musetalk.blend import SIDE
from stages.musetalk.device import Placement, choose_placement, device_errors, network_switches
from stages.musetalk.forward import ForwardPass
from stages.musetalk.networks import weights
from stages.musetalk.networks.number_type import convert_weights
from stages.musetalk.networks.unet import UNet
from stages.musetalk.networks.vae import Vae
from stages.musetalk.norm_choice import choose_norm
from stages.musetalk.norm_record import NormRecord
from stages.musetalk.stream_pipeline import PendingResult, StreamPipeline

Picture = npt.NDArray[np.uint8]
Patches = npt.NDArray[np.uint8]

#: Where rows are left out, they begin at a multiple of it, so that one recording serves nearly all portraits.
_ROW_STEP = 16
#: Portraits of which it is remembered that they need float32.
_REMEMBERED = 64
#: First row of the crop that is masked for the network, which paints it.
_MASKED_FROM = SIDE // 2
_BROKEN_HINT = (
    f"{TRIED_AGAIN} `avatar models verify musetalk` checks the network's files; `stages.lipsync.engine: warp` does without "
    "them."
)


class Painter:
    """The loaded MuseTalk networks.

    Attributes:
        audio_encoder: makes the tokens from speech.
        placement: device and number type; float32 while it paints a portrait of which a patch had to be painted again.
        batch: frames per pass; halved when memory does not suffice, until the next video.
        whole_batch: frames per pass while memory suffices; fewer in float32 than in a lower precision.
        repainted: number of incorrect patches that were painted again in float32.
        norm: how each GroupNorm is computed, see `norm_choice.choose_norm`.
        preparing_s: seconds spent so far on passes before their first frame: on a GPU convolutions are tried out, and the pass is
            recorded. It is done once for many videos.
    """

    def __init__(
        self,
        unet: UNet,
        vae: Vae,
        audio_encoder: AudioEncoder,
        placement: Placement,
        batch: int,
        float32_batch: int = 0,
        *,
        fused_norm: bool = True,
        cache: Path | None = None,
        preparing: Callable[[], None] = lambda: None,
    ) -> None:
        """Take over loaded networks and move them to their device, channels last in memory.

        `float32_batch`: most frames per pass in float32; 0 for no other limit than `batch`. The others as for `load`.
        """
        self.audio_encoder = audio_encoder
        self.placement, self.batch, self.repainted = placement, batch, 0
        self.preparing_s = 0.0
        self.whole_batch, self._float32_batch = batch, float32_batch or batch
        self._loaded_as = placement, batch
        #: Latents of the portraits that are painted in float32. Compared by identity, as those of a portrait are made once.
        self._overflowing: deque[Tensor] = deque(maxlen=_REMEMBERED)
        self._unet = unet.to(placement.device, placement.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._vae = vae.to(placement.device, placement.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        record = NormRecord(cache, placement.device) if cache is not None and placement.device.type == "cuda" else None
        self.norm = choose_norm(
            (self._unet, self._vae), placement, wanted=fused_norm, record=record, preparing=preparing
        )
        self._norm_record = record if self.norm == "fused" else None
        self._pipeline: StreamPipeline | None = None
        self._portrait: Tensor | None = None
        self._first_row = 0
        self._preparing: Callable[[], None] = lambda: None

    @classmethod
    def load(
        cls,
        engine: str,
        root: Path,
        placement: Placement | None = None,
        budget_mb: int = 0,
        batch: int = 0,
        *,
        fused_norm: bool = True,
        cache: Path | None = None,
        preparing: Callable[[], None] = lambda: None,
    ) -> Self:
        """Load an engine's files.

        Args:
            engine: `musetalk` or `musetalk-v1`.
            root: the models folder.
            placement: device and number type; None for `choose_placement()`.
            budget_mb: maximum memory on the GPU, MB; the batch is chosen for it. 0 for `gpu_memory.choose_budget`.
            batch: frames per pass; 0 to choose it by memory.
            fused_norm: whether to use the kernels of `networks.fused_norm` on a GPU where they work.
            cache: folder in which to remember between processes that those kernels lost the GPU; None to remember nothing.
            preparing: is called before each network is read, and before each norm's kernels are compiled and tried: whatever it
                raises ends the load.

        Raises:
            MachineError: `model-missing`, `model-damaged`, `model-foreign`, `gpu-memory`, `gpu-lost`, `gpu-unusable`.
        """
        paths = weights.model_paths(engine, root)
        placement = placement or choose_placement()
        preparing()
        unet = weights.load_unet(paths["unet"], paths["unet_config"])
        preparing()
        vae = weights.load_vae(paths["vae"], paths["vae_config"])
        encoder = weights.load_whisper(paths["whisper"], paths["whisper_config"])
        numbers = sum(part.numel() for net in (unet, vae) for part in net.parameters())
        with device_errors():
            memory = read_gpu_memory(placement.device) if placement.device.type == "cuda" else None
            budget = budget_mb * 10**6 or gpu_memory.choose_budget(memory)
            with memory_limited(placement.device, budget):
                batch = batch or gpu_memory.choose_batch(placement.dtype, numbers, budget, memory)
                in_float32 = min(batch, gpu_memory.choose_batch(torch.float32, numbers, budget, memory))
                audio_encoder = AudioEncoder(encoder, placement.device)
                return cls(
                    unet, vae, audio_encoder, placement, batch, in_float32,
                    fused_norm=fused_norm, cache=cache, preparing=preparing,
                )  # fmt: skip

    def norm_in_use(self) -> contextlib.AbstractContextManager[None]:
        """Remember whether the block, in which a whole video is painted, loses the GPU: see `NormRecord.in_use`."""
        return self._norm_record.in_use() if self._norm_record else contextlib.nullcontext()

    @torch.inference_mode()
    def latents(self, crop: Picture, seed: int | None = None) -> Tensor:
        """Encode a face to the UNet's latents, [1, 8, 32, 32]: those of the crop without its lower half, then of the whole crop.

        Args:
            crop: BGR uint8 [256, 256, 3].
            seed: sample the encoder's distribution with this seed, as the reference does; None uses its mode, which the
                network was trained with and which is reproducible.

        Raises:
            UnknownError: `patch-broken`: the latents are not finite in float32 either.
            MachineError: `gpu-memory`, `gpu-lost`, `gpu-unusable`.
        """
        whole = torch.from_numpy(np.ascontiguousarray(crop[..., ::-1])).permute(2, 0, 1)[None].float() / 255
        masked = whole.clone()
        masked[:, :, _MASKED_FROM:] = 0
        with device_errors(), network_switches():
            latents = self._encode_both(masked, whole, seed)
            if not bool(latents.isfinite().all()) and self.placement.dtype != torch.float32:
                # Every frame of the portrait uses them: one that overflowed would spoil them all.
                with self._exact_encoder():
                    latents = self._encode_both(masked, whole, seed)
            if not bool(latents.isfinite().all()):
                raise UnknownError("patch-broken", "The network made unusable latents of the portrait.", _BROKEN_HINT)
        return latents

    @contextlib.contextmanager
    def _exact_encoder(self) -> Iterator[None]:
        """Have the encoder in float32 in the block."""
        parts = self._vae.encoder, self._vae.quant_conv
        convert_weights(parts, torch.float32)
        try:
            yield
        finally:
            convert_weights(parts, self.placement.dtype)

    def _encode_both(self, masked: Tensor, whole: Tensor, seed: int | None) -> Tensor:
        chance = None if seed is None else torch.Generator().manual_seed(seed)
        return torch.cat([self._encode(picture, chance) for picture in (masked, whole)], dim=1)

    def _encode(self, picture: Tensor, chance: torch.Generator | None) -> Tensor:
        weight = self._vae.quant_conv.weight
        pixels = ((picture - 0.5) / 0.5).to(weight.device, weight.dtype, memory_format=torch.channels_last)
        mean, log_variance = self._vae.encode(pixels)
        if chance is not None:
            noise = torch.randn(mean.shape, generator=chance).to(mean)
            mean = mean + torch.exp(0.5 * log_variance.clamp(-30.0, 20.0)) * noise
        scaled: Tensor = mean * weights.LATENT_SCALE
        return scaled

    def pass_size(self, latents: Tensor) -> int:
        """Return how many frames a pass for these latents has while memory suffices: groups of as many fill it."""
        return self._wanted(latents)[1]

    def patches(
        self,
        latents: Tensor,
        tokens: Iterable[Tensor],
        first_row: int = 0,
        preparing: Callable[[], None] = lambda: None,
    ) -> Iterator[Patches]:
        """Yield painted faces, BGR uint8 [n, rows, 256, 3], for each group of tokens, [n, 50, 384].

        They have all 256 rows, or, with `first_row`, those from there on, and up to 15 before. The decoder then computes less,
        and for some frames its norms know the rows above only from the frames beside them: see `networks.lower_rows`.

        One group is computed while the previous one is copied and used. If a patch of a group is not finite or is one flat
        colour, the group is painted again in float32, and so is the rest of the video, and later ones of the same latents. Others
        are computed in the number type that the networks were loaded in.

        `preparing` is called before a pass is prepared, which may take minutes on a GPU: for the first group, and again where the
        batch is halved or float32 is needed.

        Raises:
            UnknownError: `patch-broken`: a patch is also unusable in float32.
            MachineError: `gpu-memory`, `gpu-lost`.
        """
        self._first_row, self._preparing = first_row - first_row % _ROW_STEP, preparing
        self._choose_number_type(latents)
        self.batch = self.whole_batch  # others may have released memory since it was halved
        waiting: tuple[Tensor, list[PendingResult]] | None = None
        groups = iter(tokens)
        while (group := self._next_group(groups)) is not None:
            started = group, self._start(latents, group)
            if waiting is not None:
                yield self._finish(latents, *waiting)
            waiting = started
        if waiting is not None:
            yield self._finish(latents, *waiting)

    def _next_group(self, groups: Iterator[Tensor]) -> Tensor | None:
        """Return the next group of tokens; it is computed on the device, too, which may raise a device error."""
        with device_errors():
            return next(groups, None)

    def _start(self, latents: Tensor, tokens: Tensor) -> list[PendingResult]:
        """Start a group in parts of `batch` frames, or of fewer if memory runs out."""
        while True:
            try:
                return self._put(latents, tokens)
            except MachineError as exc:
                if exc.code != "gpu-memory" or self.batch == 1:
                    raise
            # After the clause: its error holds the tensors of this try.
            self.batch //= 2
            self._discard_pipeline()

    def _put(self, latents: Tensor, tokens: Tensor) -> list[PendingResult]:
        """Start a group in parts of `batch` frames. Its frame ends with a failed try, and holds no pipeline beyond it."""
        with device_errors():
            pipeline = self._prepared_pipeline(latents)
            parts = tokens.to(self.placement.device).split(pipeline.forward_pass.batch)
            return [pipeline.put(part) for part in parts]

    def _finish(self, latents: Tensor, tokens: Tensor, parts: list[PendingResult]) -> Patches:
        with device_errors():
            done = [part.get() for part in parts]
        good = np.concatenate([usable for _, usable in done])
        patches = np.concatenate([painted for painted, _ in done])
        exact = all(part.dtype == torch.float32 for part in parts)
        # Freed while the GPU has just answered: to free pinned memory PyTorch calls the driver, whose error ends the process.
        # While the group is used, the GPU computes the next one, and may be lost.
        del done
        parts.clear()
        if good.all():
            return patches
        if exact:
            raise UnknownError(
                "patch-broken",
                "The network painted unusable patches, even in float32.",
                _BROKEN_HINT,
            )
        self.repainted += int((~good).sum())
        # The group before may have switched to float32 after this one was started.
        if self.placement.dtype != torch.float32:
            self._overflowing.append(latents)
            self._choose_number_type(latents)
            self.batch = min(self.batch, self.whole_batch)
        return self._finish(latents, tokens, self._start(latents, tokens))

    def _prepared_pipeline(self, latents: Tensor) -> StreamPipeline:
        """Return the pipeline for these latents, which are compared by identity: those of a portrait are made once."""
        typed = latents.to(self.placement.dtype)
        if self._pipeline is None or not self._pipeline.forward_pass.serves(self.batch, self._first_row):
            self._discard_pipeline()
            self._preparing()
            began = time.monotonic()
            try:
                self._pipeline = StreamPipeline(ForwardPass(self._unet, self._vae, typed, self.batch, self._first_row))
            finally:
                self.preparing_s += time.monotonic() - began
        if self._portrait is not latents:
            self._pipeline.forward_pass.set_portrait(typed)
            self._portrait = latents
        return self._pipeline

    def _choose_number_type(self, latents: Tensor) -> None:
        """Compute in float32 what is known to need it, and all else as the networks were loaded: on a GPU float32 takes several
        times as long.
        """
        placement, batch = self._wanted(latents)
        if placement != self.placement:
            self._convert(placement, batch)

    def _wanted(self, latents: Tensor) -> tuple[Placement, int]:
        if any(known is latents for known in self._overflowing):
            return Placement(self.placement.device, torch.float32), self._float32_batch
        return self._loaded_as

    def _convert(self, placement: Placement, batch: int) -> None:
        """Convert the networks to another number type, in which passes have up to `batch` frames. Weights lose nothing on the way
        to float32 and back.
        """
        self._discard_pipeline()
        with device_errors():
            convert_weights((self._unet, self._vae), placement.dtype)
        self.placement, self.whole_batch = placement, batch

    def _discard_pipeline(self) -> None:
        cuda = self.placement.device.type == "cuda"
        with device_errors():
            if cuda:  # the copying queue may still read memory that is about to be released
                torch.cuda.synchronize(self.placement.device)
            self._pipeline = self._portrait = None
            gc.collect()
            if cuda:
                torch.cuda.empty_cache()

    @property
    def recorded(self) -> str:
        """How passes are computed, see `ForwardPass.execution`; empty before the first pass."""
        return self._pipeline.forward_pass.execution if self._pipeline else ""

    def memory(self) -> dict[str, int]:
        """Report the memory on the GPU: see `stages.gpu.memory.memory_report`."""
        return memory_report(self.placement.device)

    def unload(self) -> dict[str, int]:
        """Release all memory and its limit, and report the memory afterwards; the object cannot be used any more."""
        del self._unet, self._vae, self.audio_encoder
        self._overflowing.clear()
        self._discard_pipeline()
        with device_errors():
            lift_memory_limit(self.placement.device)
        return self.memory()
