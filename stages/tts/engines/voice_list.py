"""The voices of an installation as a list: for `avatar voice list`, and for the daemon, which publishes it in the outbox.

`python -m stages.tts.engines.voice_list` reads settings as JSON from standard input and writes the list as JSON; the daemon,
which imports no stage, runs it so. Loads no engine and no model.
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
from daemon.errors import visible
from stages.tts.engines.base import Voice, primary_language
from stages.tts.engines.voices import list_voices

#: What whoever runs it may wait for at most, in s. It ends itself then, also where nobody waits any more.
LIMIT_S = 120


def _one_line(text: str) -> str:
    return " ".join(visible(text).split())


#: The published list lies where people can write: what is read from there must not move a terminal's cursor.
OneLineText = Annotated[str, AfterValidator(_one_line)]


class VoiceRow(BaseModel):
    """One voice, as it is listed.

    Attributes:
        id: `engine/name`, which no other voice has.
        languages: BCP 47 tags, its own first.
        profile: it is a person's, kept with `avatar voice clone` or a job of `kind: voice`.
        aliases: other names it is found by, such as a profile's id.
        lacking, remedy: why it cannot be used, and what to do; None where it can.
    """

    id: OneLineText
    name: OneLineText
    engine: OneLineText
    languages: list[OneLineText]
    gender: OneLineText | None
    licence: OneLineText
    profile: bool
    aliases: list[OneLineText]
    installed: bool
    lacking: OneLineText | None
    remedy: OneLineText | None

    @classmethod
    def of(cls, voice: Voice) -> VoiceRow:
        return cls(
            id=voice.id,
            name=voice.name,
            engine=voice.engine,
            languages=list(voice.languages),
            gender=voice.gender or None,
            licence=voice.licence,
            profile=voice.is_profile,
            aliases=list(voice.aliases),
            installed=voice.installed,
            lacking=voice.missing.why if voice.missing else None,
            remedy=voice.missing.remedy if voice.missing else None,
        )

    def is_called(self, wanted: str) -> bool:
        """Whether a manifest that names `wanted`, in whatever case, means this voice."""
        return wanted.strip().casefold() in (name.casefold() for name in (self.name, self.id, *self.aliases))

    def speaks(self, language: str) -> bool:
        """Whether it speaks a language; a tag with a region means that region, one without any."""
        if "-" in language:
            return language.casefold() in map(str.casefold, self.languages)
        return primary_language(language) in map(primary_language, self.languages)


def list_voice_rows(settings: Settings) -> list[VoiceRow]:
    """Every voice that is known, installed or not."""
    return [VoiceRow.of(voice) for voice in list_voices(settings)]


def main() -> None:
    signal.alarm(LIMIT_S)
    with contextlib.suppress(PermissionError):  # which systemd/cpu-only.conf forbids
        os.nice(10)  # nobody waits for it
    settings = Settings.model_validate(json.load(sys.stdin))
    json.dump([row.model_dump() for row in list_voice_rows(settings)], sys.stdout)


if __name__ == "__main__":
    main()
