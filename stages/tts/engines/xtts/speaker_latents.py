"""Loads a speaker's latents: from a profile, computed once per model file, or from the model's own voices."""

from __future__ import annotations

import contextlib
import io
import zipfile

import numpy as np
import torch

from daemon.config import Settings
from daemon.errors import JobError
from daemon.system import fs
from stages.media.wav import WavError, open_wav
from stages.tts.engines.voice_hints import all_voices
from stages.tts.engines.xtts.checkpoint import read_speakers
from stages.tts.engines.xtts.network import REFERENCE_RATE, SpeakerLatents, XttsNetwork
from stages.tts.profile_store import Profile
from stages.tts.timing import Samples


def latents_of_profile(profile: Profile, network: XttsNetwork, sha256: str) -> SpeakerLatents:
    """Return the latents of a profile; caches them in its folder, named by the hash of the model file, if it is writable.

    Raises:
        JobError: `profile-unknown`: the profile was removed meanwhile.
    """
    kept = profile.folder / f"latents-xtts-{sha256[:16]}.npz"
    damaged = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
    with contextlib.suppress(*damaged), np.load(kept, allow_pickle=False) as saved:
        return SpeakerLatents(torch.from_numpy(saved["gpt"]), torch.from_numpy(saved["speaker"]))
    made = network.condition(_read_reference(profile))
    buffer = io.BytesIO()
    np.savez(buffer, gpt=made.gpt.numpy(), speaker=made.speaker.numpy())
    with contextlib.suppress(OSError):  # removed meanwhile or not writable: computed again next time
        fs.replace_bytes(kept, buffer.getvalue())
    return made


def _read_reference(profile: Profile) -> Samples:
    try:
        with open_wav(profile.reference) as source:
            if (source.channels, source.rate) != (1, REFERENCE_RATE):
                raise WavError("not mono at 22.05 kHz")
            return source.read(source.count)
    except (OSError, WavError) as exc:
        raise JobError(
            "profile-unknown",
            f"The reference of the voice profile '{profile.name}' cannot be read: {exc}.",
            "It was removed or is damaged; make the profile again.",
        ) from exc


def latents_of_model_voice(name: str, settings: Settings) -> SpeakerLatents:
    """Return the latents of one of the model's own voices, by name in any case.

    Raises:
        JobError: `voice-unknown`.
        MachineError: `model-damaged`, `model-foreign`.
    """
    voices = read_speakers(settings.paths.models / "xtts" / "speakers_xtts.pth")
    for key, entry in voices.items():
        if str(key).casefold() == name.casefold():
            gpt, speaker = entry["gpt_cond_latent"], entry["speaker_embedding"]
            return SpeakerLatents(gpt.float().clone(), speaker.float().clone())
    raise JobError(
        "voice-unknown",
        f"XTTS has no voice of its own named '{name}'.",
        f"{all_voices(settings)} lists those there are.",
    )
