"""Keeps the words of a recording with their times, since a recogniser takes long to hear them.

They follow from the decoded sound, so that a job which is based on another one, and has another picture or other captions, need
not hear them again. The sound itself is decoded again: it takes ten times the space of the recording, and little time.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from daemon.jobs.record import HEARD
from stages.context import Context
from stages.kept import Kept, code_digest, content_key, digest, read_kept, write_kept
from stages.tts.alignment.languages import alignment_missing
from stages.tts.recorded_words import RecordedWords, find_words

_WORDS = TypeAdapter(RecordedWords)


def find_or_take_over(ctx: Context, seconds: float) -> tuple[RecordedWords, bool]:
    """Return the words of the job's speech.wav, of `seconds` s, as `find_words` does, and whether they were known."""
    record, key, told = ctx.path(HEARD), _key(ctx), len(ctx.warnings)
    if (known := _known(record, key)) is not None:
        words, warnings = known
        ctx.warnings.extend(warnings)
        return words, True
    words = find_words(ctx, seconds)
    if words.phones:  # else a recogniser may be installed, or work, the next time
        write_kept(record, key, Kept({}, ctx.warnings[told:], more=_WORDS.dump_python(words, mode="json")))
    return words, False


def _known(record: Path, key: str) -> tuple[RecordedWords, list[str]] | None:
    kept = read_kept(record, key)
    try:
        return None if kept is None else (_WORDS.validate_python(kept.more), kept.warnings)
    except ValidationError:
        return None


def _key(ctx: Context) -> str:
    """Return a digest of all that the words of the sound follow from."""
    settings = ctx.settings.stages.tts
    return content_key(
        {
            "sound": digest(ctx.path("speech.wav")),
            "keys": [ctx.manifest.text, ctx.manifest.language],
            "settings": [settings.model_dump(mode="json")[key] for key in ("lexicon", "transcribe", "whisper_model")],
            "aligner": alignment_missing(ctx.manifest.language) is None,
            "code": code_digest("tts", "transcribe"),
        }
    )
