"""Lists the voices of an installation, for `avatar voice list` and for the daemon, which publishes the list in the outbox.

`python -m stages.tts.engines.voice_list` reads settings as JSON from stdin and writes to stdout, as JSON, the list (`voices`)
and the same for people (`page`). The daemon runs it as a process, because it imports no stage. Loads no engine and no model.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import Annotated

from pydantic import AfterValidator, BaseModel

from daemon.config import Settings
from daemon.errors import escape_unprintable
from stages.tts.engines.base import Voice, primary_language
from stages.tts.engines.voice_words import describe_voice
from stages.tts.engines.voices import list_voices
from stages.tts.engines.voices_page import voices_page

#: Time limit of the process, which ends itself then. s
LIMIT_S = 120


def _one_line(text: str) -> str:
    return " ".join(escape_unprintable(text).split())


#: A line without control characters, because people can write to the published list and terminals show it.
OneLineText = Annotated[str, AfterValidator(_one_line)]


class VoiceRow(BaseModel):
    """One voice in the list.

    Attributes:
        id: `engine/name`, which is unique.
        languages: BCP 47 tags, its native one first.
        description: one line for people: language and accent, gender, and what was measured.
        profile: True for a voice profile, made by `avatar voice clone` or a job of `kind: voice`.
        aliases: other names for it, such as a profile's id.
        lacking, remedy: why it cannot be used, and what to do; None where it can.
    """

    id: OneLineText
    name: OneLineText
    engine: OneLineText
    languages: list[OneLineText]
    gender: OneLineText | None
    description: OneLineText = ""  # a list that an older daemon published has none
    licence: OneLineText
    profile: bool
    aliases: list[OneLineText]
    installed: bool
    lacking: OneLineText | None
    remedy: OneLineText | None

    @classmethod
    def of(cls, voice: Voice) -> VoiceRow:
        """Return the row of a voice."""
        return cls(
            id=voice.id,
            name=voice.name,
            engine=voice.engine,
            languages=list(voice.languages),
            gender=voice.gender or None,
            description=describe_voice(voice),
            licence=voice.licence,
            profile=voice.is_profile,
            aliases=list(voice.aliases),
            installed=voice.installed,
            lacking=voice.missing.why if voice.missing else None,
            remedy=voice.missing.remedy if voice.missing else None,
        )

    def is_called(self, wanted: str) -> bool:
        """Return whether `wanted`, in any case, is a name of this voice."""
        return wanted.strip().casefold() in (name.casefold() for name in (self.name, self.id, *self.aliases))

    def speaks(self, language: str) -> bool:
        """Return whether it speaks a language; a tag with a region matches that region only, one without matches all."""
        if "-" in language:
            return language.casefold() in map(str.casefold, self.languages)
        return primary_language(language) in map(primary_language, self.languages)


def list_voice_rows(settings: Settings) -> list[VoiceRow]:
    """Return every known voice, installed or not."""
    return [VoiceRow.of(voice) for voice in list_voices(settings)]


def main() -> None:
    """Print all voices as JSON, with the settings on the standard input; SIGALRM ends the process after `LIMIT_S` seconds."""
    signal.alarm(LIMIT_S)
    with contextlib.suppress(PermissionError):  # systemd/cpu-only.conf forbids it
        os.nice(10)
    settings = Settings.model_validate(json.load(sys.stdin))
    rows = list_voice_rows(settings)
    json.dump({"voices": [row.model_dump() for row in rows], "page": voices_page(rows)}, sys.stdout)


if __name__ == "__main__":
    main()
