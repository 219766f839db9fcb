"""Lists the voices of XTTS: profiles, and the model's own voices. Loads neither torch nor the model."""

from __future__ import annotations

import io
import pickle
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.system.installation import Missing, how_to_fetch_models
from stages.model_files.catalogue import check_model_files
from stages.tts.engines.base import Voice
from stages.tts.engines.xtts import checksum
from stages.tts.engines.xtts.model_files import PARTS
from stages.tts.engines.xtts.text_chunks import LANGUAGES
from stages.tts.profile_store import Profile, ProfileStore

#: Largest accepted pickle, in bytes; that of the published file, without its tensors, has 11 kB.
_MAX_PICKLE_BYTES = 1 << 20

LICENCE = "CPML (non-commercial use only)"


def licence_missing(settings: Settings) -> Missing | None:
    """Return the need to accept the licence; None where config.yaml accepts it."""
    if settings.stages.tts.xtts.accept_licence:
        return None
    return Missing(
        "XTTS is for non-commercial use only (CPML), and config.yaml does not accept its licence",
        "If you agree, write `accept_licence: true` under `stages.tts.xtts`; then `avatar jobs retry`.",
    )


def files_missing(settings: Settings) -> Missing | None:
    """Return the first file that is missing or damaged; None for none."""
    for look in check_model_files(PARTS, settings.paths.models):
        if not look.usable and look.part.role != "speakers":
            why = look.why or "it is missing"
            return Missing(
                f"XTTS needs {look.file.path}: {why}", f"{how_to_fetch_models('xtts')} Then `avatar jobs retry`."
            )
    return checksum.altered_model(
        settings.paths.models / "xtts" / "model.pth", settings.stages.tts.xtts.model_sha256, settings.paths.cache
    )


def list_xtts_voices(settings: Settings) -> list[Voice]:
    """Return the model's own voices and the profiles; all speak every language of the model."""
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
    """Return the profiles of this installation, also expired ones, so that using one gives a clear error."""
    return ProfileStore(settings.paths.profiles).all_profiles()


def model_voice_names(settings: Settings) -> list[str]:
    """Return the names of the model's own voices, in its order; empty where their file is missing."""
    path = settings.paths.models / "xtts" / "speakers_xtts.pth"
    try:
        info = path.stat()
    except OSError:
        return []
    return list(_read_names(path, info.st_size, info.st_mtime_ns))


@lru_cache(maxsize=4)
def _read_names(path: Path, size: int, mtime_ns: int) -> tuple[str, ...]:
    """Return the keys of the file's outermost dictionary, without reading tensors."""
    del size, mtime_ns
    try:
        with zipfile.ZipFile(path) as archive:
            inside = next(name for name in archive.namelist() if name.endswith("/data.pkl"))
            if archive.getinfo(inside).file_size > _MAX_PICKLE_BYTES:
                return ()
            # Reading it completely checks its CRC; one damaged byte may make the unpickler allocate gigabytes.
            content = _NamesUnpickler(io.BytesIO(archive.read(inside))).load()
    except Exception:  # a damaged file raises many types, and costs only these voices
        return ()
    return tuple(map(str, content)) if isinstance(content, dict) else ()


class _NamesUnpickler(pickle.Unpickler):
    """Unpickles dictionaries and strings only; replaces every other object by None."""

    def find_class(self, module: str, name: str) -> Any:
        return dict if (module, name) == ("collections", "OrderedDict") else _ignore

    def persistent_load(self, _: Any) -> None:
        return None


def _ignore(*_: Any) -> None:
    return None
