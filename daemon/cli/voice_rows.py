"""The list of voices, as far as whoever asks can know it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from daemon.cli import outbox_view
from daemon.cli.common import Shell

if TYPE_CHECKING:
    from stages.tts.engines.voice_list import VoiceRow


def voice_rows(shell: Shell) -> list[VoiceRow]:
    """Return every voice: from the engines, or where their files may not be read from the list in the outbox.

    Raises:
        AvatarError: `not-allowed`, where there is no such list.
    """
    from stages.tts.engines.voice_list import list_voice_rows  # only the list of voices; loads no engine

    refused = outbox_view.voices_closed(shell)
    return list_voice_rows(shell.settings) if refused is None else outbox_view.voices(shell, refused)
