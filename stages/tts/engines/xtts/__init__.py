"""The engine `xtts`: Coqui's XTTS v2, which speaks 17 languages with the voice of a few seconds of somebody's speech.

The networks are coqui-tts's own. Around them: files that are checked before they are read and never changed (`checkpoint`,
`network`), text in portions that the network can hold (`text_chunks`), and a look at everything it says, since it sometimes
says more, or less, than it was given (`quality_check`, `engine`).
"""

from __future__ import annotations

import sys

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.system.installation import Missing
from stages.context import Facts
from stages.tts.engines import coqui_library
from stages.tts.engines.base import LoadedVoice, TextNeeds, TtsEngine, Voice
from stages.tts.engines.xtts import checksum, voices
from stages.tts.engines.xtts.model_files import PARTS
from stages.tts.profile_store import ProfileStore


def _load(voice: Voice, settings: Settings) -> LoadedVoice:
    from stages.tts.engines.xtts.engine import load_xtts

    if voice.is_profile:
        return load_xtts(ProfileStore(settings.paths.profiles).find_profile(voice.aliases[0]), settings)
    return load_xtts(voice.name, settings)


def _unload() -> Facts:
    engine = sys.modules.get("stages.tts.engines.xtts.engine")  # if it was never imported, nothing is loaded
    return engine.unload_network() if engine else {}


def _verify(settings: Settings) -> Missing | None:
    try:
        checksum.checked_sha256(
            settings.paths.models / "xtts" / "model.pth", settings.stages.tts.xtts.model_sha256, settings.paths.cache
        )
    except MachineError as error:
        return Missing(error.message.rstrip("."), error.hint)
    return None


ENGINE = TtsEngine(
    "xtts", voices.list_xtts_voices, _load, packages=coqui_library.PACKAGES, pins=coqui_library.PINS, extra="xtts",
    models={"xtts": PARTS},
    needs=TextNeeds(least_letters=15, in_words=True),  # it adds sounds after "Yes." and says "1990" as a number
    tries=lambda settings: settings.stages.tts.xtts.attempts,
    refused=voices.licence_missing, missing=voices.files_missing, verify=_verify,
    wanted=lambda settings: settings.stages.tts.xtts.accept_licence,
    no_voices="`avatar voice clone` makes one of a recording; `avatar models fetch xtts` brings the model's own.",
    unload=_unload,
)  # fmt: skip
