"""Loads what a stage needs before the first job asks for it: modules, models, and the default voice.

A worker does it on the message `preload` (docs/worker.md), one stage at a time, so that a job that comes meanwhile waits for no
more than the stage that is being loaded.
"""

from __future__ import annotations

import importlib
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from daemon.jobs.stages import Stage
from stages.context import Context

#: Is told which engine is about to be loaded; raises where it is another lane's.
UseEngine = Callable[[str], None]


#: Modules that stages import only when they run.
MODULES: dict[Stage, tuple[str, ...]] = {
    "check": ("stages.check.speech",),
    "face": ("stages.face.measure",),
    "lipsync": ("stages.lipsync.choose", "stages.lipsync.motion"),
    "encode": (
        "stages.encode.captions.ass_subtitles",
        "stages.encode.compose",
        "stages.encode.output_checks",
        "stages.encode.parallel",
        "stages.encode.video",
    ),
}


def preload_stage(stage: Stage, settings: Settings, use_engine: UseEngine) -> None:
    """Load what a stage needs.

    Raises:
        AvatarError: what the stage itself would raise, such as `voice-missing`.
    """
    for module in (f"stages.{stage}", *MODULES.get(stage, ())):
        importlib.import_module(module)
    if stage == "face":
        from stages.face.landmarker import shared_landmarker

        shared_landmarker()
    elif stage == "tts":
        _speak(settings, use_engine)


def _speak(settings: Settings, use_engine: UseEngine) -> None:
    """Speak a sentence with the default voice: engines load dictionaries and networks when they are first used."""
    from stages.tts.engines.plain_sentences import sentences_in
    from stages.tts.engines.voice_hints import DEFAULT_VOICE
    from stages.tts.engines.voice_words import voices_meant
    from stages.tts.engines.voices import list_voices
    from stages.tts.synthesize import synthesize_text

    tts = settings.stages.tts
    usable = [voice for voice in list_voices(settings) if voice.installed and tts.engine in ("auto", voice.engine)]
    native = [voice.languages[0] for voice in voices_meant(tts.voice, usable)]
    language = next((tag for tag in native if sentences_in(tag)), "en")
    text = re.split(r"(?<=[.。।])", sentences_in(language) or "")[0]
    manifest = Manifest.model_validate({"kind": "speech", "text": text, "voice": DEFAULT_VOICE, "language": language})
    with tempfile.TemporaryDirectory(prefix="avatard-preload-") as folder:
        synthesize_text(Context("preload", "preload", Path(folder), manifest, settings, use_engine=use_engine))
