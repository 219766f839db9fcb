"""What `avatar doctor` says of the voice engines that are not part of the base install, and of those in programs of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from daemon.cli.doctor.finding import Finding, Verdict
from daemon.config import Settings

if TYPE_CHECKING:
    from stages.tts.engines.base import TtsEngine


def check_default_voice(settings: Settings) -> Iterator[Finding]:
    """Yield whether there is the voice that jobs have which name none."""
    from stages.tts.engines.choose_default import default_voice_error

    if (error := default_voice_error(settings)) is None:
        yield Finding("default voice", "good", settings.stages.tts.voice)
    else:
        yield Finding("default voice", "bad", error.message, error.hint)


def check_voice_engines(settings: Settings) -> Iterator[Finding]:
    """Yield one finding for each: how many voices it has, or the first thing that keeps it from speaking."""
    from stages.tts.engines.registry import ENGINES, engine_missing
    from stages.tts.engines.voices import list_voices  # the list of voices; loads no engine

    voices = list_voices(settings)
    for engine in ENGINES.values():
        if not engine.fetches:
            continue
        mine = [voice for voice in voices if voice.engine == engine.name]
        missing = next((voice.missing for voice in mine if voice.missing), None)
        some = missing is not None and any(voice.installed for voice in mine)
        if missing is None:  # which the list of voices does not say where there is none, or a file must be read to know
            missing = engine_missing(engine, settings) or engine.verify(settings)
        there = sum(voice.installed for voice in mine)
        what = f"voices of {engine.name}"
        if engine.named_models and missing and not some:  # what one of its voices lacks helps only who wants that one
            yield Finding(what, _verdict(engine, settings), "none yet", engine.no_voices)
        elif missing and not some:
            yield Finding(what, _verdict(engine, settings), f"{missing.why}.", missing.remedy)
        elif not mine:
            yield Finding(what, "note", "none yet", engine.no_voices)
        else:
            more = f"; {len(mine) - there} more where {missing.why}" if missing else ""
            yield Finding(what, "good", f"{there}{more}", missing.remedy if missing else "")
    for name, program in settings.engines.items():
        if program.command and shutil.which(program.command[0]) is None:
            remedy = f"Mend `engines.{name}.command` in config.yaml, or install it."
            yield Finding(f"voices of {name}", "bad", f"{program.command[0]} is no program that can be run.", remedy)


def _verdict(engine: TtsEngine, settings: Settings) -> Verdict:
    """Bad where somebody asked for this engine; else it is only not used."""
    tts = settings.stages.tts
    asked = engine.name in (tts.engine, tts.voice.partition("/")[0]) or engine.name in settings.engines
    return "bad" if asked or engine.wanted(settings) else "note"
