"""What `avatar doctor` says of the voice engines that are not part of the base install, and of those in programs of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from daemon.cli.doctor.finding import Finding, Verdict
from daemon.config import Settings
from daemon.errors import MachineError


def voice_engines(settings: Settings) -> Iterator[Finding]:
    """One finding for each: how many voices it has, or the first thing that keeps it from speaking."""
    from stages.tts.engines.voices import catalogue  # the list of voices; loads no engine

    voices = catalogue(settings)
    for name in ("kokoro", "coqui", "xtts"):
        mine = [voice for voice in voices if voice.engine == name]
        bad = next((voice for voice in mine if voice.lacking), None)
        why, remedy = (bad.lacking, bad.remedy) if bad else _lacking(name, settings)
        there = sum(voice.installed for voice in mine)
        if why and not (bad and there):
            yield Finding(f"voices of {name}", _verdict(name, settings), f"{why}.", remedy)
        elif not mine:
            remedy = "`avatar voice clone` makes one of a recording; `avatar models fetch xtts` brings the model's own."
            yield Finding(f"voices of {name}", "note", "none yet", remedy)
        else:
            more = f"; {len(mine) - there} more where {why}" if why else ""
            yield Finding(f"voices of {name}", "good", f"{there}{more}", remedy if why else "")
    for name, engine in settings.engines.items():
        if engine.command and shutil.which(engine.command[0]) is None:
            remedy = f"Mend `engines.{name}.command` in config.yaml, or install it."
            yield Finding(f"voices of {name}", "bad", f"{engine.command[0]} is no program that can be run.", remedy)


def _lacking(name: str, settings: Settings) -> tuple[str, str]:
    """What the list of voices does not say: of XTTS without any voice, and of a file that must be read to be known."""
    if name != "xtts":
        return "", ""
    from stages.tts.engines.xtts import checksum, voices

    why, remedy = voices.lacking(settings)
    if not why:
        try:
            checksum.checked_sha256(
                settings.paths.models / "xtts" / "model.pth",
                settings.stages.tts.xtts.model_sha256,
                settings.paths.cache,
            )
        except MachineError as error:
            return error.message.rstrip("."), error.hint
    return why, remedy


def _verdict(name: str, settings: Settings) -> Verdict:
    """Bad where somebody asked for this engine; else it is only not used."""
    tts = settings.stages.tts
    asked = name in (tts.engine, tts.voice.partition("/")[0]) or name in settings.engines
    return "bad" if asked or (name == "xtts" and tts.xtts.accept_licence) else "note"
