"""The network at work: a portrait's latents once, then patches, batch by batch."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from daemon.errors import MachineError, UnknownError
from stages.musetalk import gpu_memory, weights
from stages.musetalk.audio import Ear
from stages.musetalk.blend import SIDE
from stages.musetalk.device import Place, choose_place, trouble
from stages.musetalk.forward import Step
from stages.musetalk.stream_pipeline import Belt, Pending
from stages.musetalk.unet import UNet
from stages.musetalk.vae import Vae

Picture = npt.NDArray[np.uint8]
Patches = npt.NDArray[np.uint8]

#: First row of the crop that the network has to invent.
_MASKED_FROM = SIDE // 2


class Painter:
    """MuseTalk, loaded.

    Attributes:
        place: where it runs and in which precision; float32 from the moment a patch had to be done again.
        batch: frames at once; halved when memory does not suffice.
        repainted: patches that came out broken and were done again in float32.
    """

    def __init__(self, unet: UNet, vae: Vae, ear: Ear, place: Place, batch: int) -> None:
        """Take over loaded networks and move them to their place, channels last in memory."""
        self.ear = ear
        self.place, self.batch, self.repainted = place, batch, 0
        self._unet = unet.to(place.device, place.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._vae = vae.to(place.device, place.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._belt: Belt | None = None
        self._portrait: Tensor | None = None
        torch.backends.cudnn.benchmark = True  # shapes are fixed
        torch.backends.cudnn.allow_tf32 = False  # float32 is asked for where less did not do

    @classmethod
    def load(cls, engine: str, root: Path, place: Place | None = None, budget_mb: int = 5600, batch: int = 0) -> Self:
        """Load an engine's files.

        Args:
            engine: `musetalk` or `musetalk-v1`.
            root: the models folder.
            place: default: `choose_place()`.
            budget_mb: memory on the GPU that the batch is chosen for.
            batch: frames at once; 0: by memory.

        Raises:
            MachineError: `model-missing`, `model-damaged`, `model-foreign`, `gpu-memory`, `gpu-lost`.
        """
        paths = weights.model_paths(engine, root)
        place = place or choose_place()
        unet = weights.load_unet(paths["unet"], paths["unet_config"])
        vae = weights.load_vae(paths["vae"], paths["vae_config"])
        encoder = weights.load_whisper(paths["whisper"], paths["whisper_config"])
        numbers = sum(part.numel() for net in (unet, vae) for part in net.parameters())
        with trouble():
            memory = gpu_memory.look(place.device) if place.device.type == "cuda" else None
            gpu_memory.keep_within(place, budget_mb * 10**6)
            batch = batch or gpu_memory.fitting_batch(place.dtype, numbers, budget_mb * 10**6, memory)
            return cls(unet, vae, Ear(encoder, place.device), place, batch)

    @torch.inference_mode()
    def latents(self, crop: Picture, seed: int | None = None) -> Tensor:
        """What the UNet sees of a face, [1, 8, 32, 32]: the crop without its lower half, then the whole.

        Args:
            crop: BGR, [256, 256, 3].
            seed: draw from the encoder's distribution as the reference does; by default its mode is taken, which the
                network was trained with and which is the same on every run.
        """
        whole = torch.from_numpy(np.ascontiguousarray(crop[..., ::-1])).permute(2, 0, 1)[None].float() / 255
        masked = whole.clone()
        masked[:, :, _MASKED_FROM:] = 0
        chance = None if seed is None else torch.Generator().manual_seed(seed)
        with trouble():
            return torch.cat([self._encode(picture, chance) for picture in (masked, whole)], dim=1)

    def _encode(self, picture: Tensor, chance: torch.Generator | None) -> Tensor:
        pixels = ((picture - 0.5) / 0.5).to(self.place.device, self.place.dtype, memory_format=torch.channels_last)
        mean, log_variance = self._vae.encode(pixels)
        if chance is not None:
            noise = torch.randn(mean.shape, generator=chance).to(mean)
            mean = mean + torch.exp(0.5 * log_variance.clamp(-30.0, 20.0)) * noise
        scaled: Tensor = mean * weights.LATENT_SCALE
        return scaled

    def patches(self, latents: Tensor, tokens: Iterable[Tensor]) -> Iterator[Patches]:
        """Painted faces, BGR uint8 [n, 256, 256, 3], for each group of tokens [n, 50, 384].

        One group is computed while the one before is fetched and used. A group in which a patch is not finite or is one
        flat colour is painted again, in float32 from then on.

        Raises:
            UnknownError: `patch-broken`: float32 did not help.
            MachineError: `gpu-memory`, `gpu-lost`.
        """
        waiting: tuple[Tensor, list[Pending]] | None = None
        groups = iter(tokens)
        while (group := self._heard(groups)) is not None:
            started = group, self._start(latents, group)
            if waiting is not None:
                yield self._finish(latents, *waiting)
            waiting = started
        if waiting is not None:
            yield self._finish(latents, *waiting)

    def _heard(self, groups: Iterator[Tensor]) -> Tensor | None:
        """The next group; it is made on the device as well, which may fail there."""
        with trouble():
            return next(groups, None)

    def _start(self, latents: Tensor, tokens: Tensor) -> list[Pending]:
        """Begin a group in parts of `batch` frames, of fewer where memory runs out."""
        while True:
            try:
                with trouble():
                    belt = self._prepared(latents)
                    return [belt.put(part) for part in tokens.to(self.place.device).split(belt.step.batch)]
            except MachineError as exc:
                if exc.code != "gpu-memory" or self.batch == 1:
                    raise
                self.batch //= 2
                self._forget_step()

    def _finish(self, latents: Tensor, tokens: Tensor, parts: list[Pending]) -> Patches:
        with trouble():
            done = [part.get() for part in parts]
        good = np.concatenate([usable for _, usable in done])
        if good.all():
            return np.concatenate([patches for patches, _ in done])
        if all(part.dtype == torch.float32 for part in parts):
            raise UnknownError(
                "patch-broken",
                "The network painted nothing usable, even in float32.",
                "Check its files with `avatar models verify musetalk`, or use `stages.lipsync.engine: warp`.",
            )
        self.repainted += int((~good).sum())
        if self.place.dtype != torch.float32:  # it may be already: this group was begun before the last one was seen
            self._to_float32()
        return self._finish(latents, tokens, self._start(latents, tokens))

    def _prepared(self, latents: Tensor) -> Belt:
        """The belt for these latents; they are compared by identity, a portrait's are made once."""
        typed = latents.to(self.place.dtype)
        if self._belt is None or self._belt.step.batch != self.batch:
            self._forget_step()
            self._belt = Belt(Step(self._unet, self._vae, typed, self.batch))
        elif self._portrait is not latents:
            self._belt.step.look_at(typed)
        self._portrait = latents
        return self._belt

    def _to_float32(self) -> None:
        self._forget_step()
        self.place = Place(self.place.device, torch.float32)
        self._unet, self._vae = self._unet.float(), self._vae.float()

    def _forget_step(self) -> None:
        cuda = self.place.device.type == "cuda"
        with trouble():
            if cuda:  # the copying queue may still read what is about to be given back
                torch.cuda.synchronize(self.place.device)
            self._belt = self._portrait = None
            gc.collect()
            if cuda:
                torch.cuda.empty_cache()

    @property
    def recorded(self) -> str:
        """How passes are computed: see `Step.how`."""
        return self._belt.step.how if self._belt else ""

    def memory(self) -> dict[str, int]:
        """See `vram.report`."""
        return gpu_memory.report(self.place)

    def unload(self) -> dict[str, int]:
        """Give all memory back to the device and report what is left; the object is of no use afterwards."""
        del self._unet, self._vae, self.ear
        self._forget_step()
        return self.memory()
