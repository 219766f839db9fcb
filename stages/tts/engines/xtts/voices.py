"""The voices XTTS can speak with: profiles, and those that come with the model. Loads neither torch nor the model."""

from __future__ import annotations

import io
import pickle
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.system.installation import Missing, fetch_models
from stages.model_files.catalogue import survey
from stages.tts.engines.base import Voice
from stages.tts.engines.xtts import checksum
from stages.tts.engines.xtts.model_files import PARTS
from stages.tts.engines.xtts.text_chunks import LANGUAGES
from stages.tts.profile_store import Profile, ProfileStore

#: The published file's part without the tensors has 11 kB.
_MAX_PICKLE_BYTES = 1 << 20

LICENCE = "CPML (non-commercial use only)"


def licence_missing(settings: Settings) -> Missing | None:
    """Its licence, as long as nobody has accepted it."""
    if settings.stages.tts.xtts.accept_licence:
        return None
    return Missing(
        "XTTS is for non-commercial use only (CPML), and config.yaml does not say that you agree",
        "If that suits you, write `accept_licence: true` under `stages.tts.xtts`; then `avatar jobs retry`.",
    )


def files_missing(settings: Settings) -> Missing | None:
    """The first of its files that cannot be used."""
    for look in survey(PARTS, settings.paths.models):
        if not look.usable and look.part.role != "speakers":
            why = look.why or "it is not there"
            return Missing(f"XTTS needs {look.file.path}: {why}", f"{fetch_models('xtts')} Then `avatar jobs retry`.")
    return checksum.altered_model(
        settings.paths.models / "xtts" / "model.pth", settings.stages.tts.xtts.model_sha256, settings.paths.cache
    )


def list_xtts_voices(settings: Settings) -> list[Voice]:
    """The voices that come with XTTS, and the profiles, which it speaks with in any of its languages."""
    return [Voice("xtts", name, LANGUAGES, "", LICENCE) for name in model_voice_names(settings)] + [
        Voice(
            "xtts",
            profile.name,
            (profile.language, *LANGUAGES),
            "",
            LICENCE,
            profile.folder,
            (profile.id,),
            is_profile=True,
        )
        for profile in list_profiles(settings)
    ]


def list_profiles(settings: Settings) -> list[Profile]:
    """The profiles of this installation, expired ones too: to speak with one says why not."""
    return ProfileStore(settings.paths.profiles).all_profiles()


def model_voice_names(settings: Settings) -> list[str]:
    """Names of the voices that come with the model, in its order; none where the file is not there."""
    path = settings.paths.models / "xtts" / "speakers_xtts.pth"
    try:
        info = path.stat()
    except OSError:
        return []
    return list(_read_names(path, info.st_size, info.st_mtime_ns))


@lru_cache(maxsize=4)
def _read_names(path: Path, size: int, mtime_ns: int) -> tuple[str, ...]:
    """The keys of the file's outermost dictionary; tensors are left out."""
    del size, mtime_ns
    try:
        with zipfile.ZipFile(path) as archive:
            inside = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            if archive.getinfo(inside).file_size > _MAX_PICKLE_BYTES:
                return ()
            # Read whole, which compares its checksum: one damaged byte may make the unpickler ask for gigabytes.
            content = _NamesUnpickler(io.BytesIO(archive.read(inside))).load()
    except Exception:  # a damaged file raises what it likes, and it is only these voices that are lost
        return ()
    return tuple(map(str, content)) if isinstance(content, dict) else ()


class _NamesUnpickler(pickle.Unpickler):
    """Plain dictionaries and names only; whatever would be called, is not."""

    def find_class(self, module: str, name: str) -> Any:
        return dict if (module, name) == ("collections", "OrderedDict") else _ignore

    def persistent_load(self, _: Any) -> None:
        return None


def _ignore(*_: Any) -> None:
    return None
