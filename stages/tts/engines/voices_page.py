"""Writes the voices of an installation as plain text, for people who see only the folders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from daemon.jobs.language import LANGUAGE_NAMES
from stages.tts.engines.base import primary_language
from stages.tts.engines.voice_words import language_name

if TYPE_CHECKING:
    from stages.tts.engines.voice_list import VoiceRow

_HEAD = """\
A manifest names one of them, and the language of its text:

    voice: {voice}
    language: {language}

Words do, too, such as `voice: british female`. Without `voice` the service chooses one for the language; without `language` the
text is English.
"""
#: Most remedies of one language, and most voices that are named for one.
_MOST_REMEDIES, _MOST_NAMED = 3, 3


def voices_page(rows: Sequence[VoiceRow]) -> str:
    """Return the installed voices by language, and what would bring voices that are not installed."""
    there = [row for row in rows if row.installed]
    first = next(iter(there), None)
    lines = [_HEAD.format(voice=_name(first, there), language=first.languages[0])] if first else []
    lines += ["VOICES THAT CAN BE USED NOW", ""]
    for language in _languages(there):
        lines.append(f"{language_name(language)} (language: {language})")
        lines += [f"    {_name(row, there)}: {row.description}" for row in there if row.speaks(language)]
        lines.append("")
    lines += [] if there else ["None.", ""]
    if more := list(_missing([row for row in rows if not row.installed], set(_languages(there)))):
        lines += [
            "VOICES THAT CAN BE ADDED",
            "",
            "Whoever runs avatard can do it, by what stands behind them.",
            "",
            *more,
            "",
        ]
    lines.append("For any other language, record the speech and name the sound file with `audio` in place of `text`.")
    return "\n".join(lines) + "\n"


def _name(row: VoiceRow, rows: Iterable[VoiceRow]) -> str:
    """Return what a manifest writes for a voice: its name, or with its engine where several have that name."""
    return row.name if sum(other.is_called(row.name) for other in rows) == 1 else row.id


def _languages(rows: Iterable[VoiceRow]) -> list[str]:
    """Return the languages of voices by their English names; each as a primary tag."""
    tags = {primary_language(language) for row in rows for language in row.languages}
    return sorted(tags, key=language_name)


def _missing(rows: Sequence[VoiceRow], spoken: set[str]) -> Iterator[str]:
    """Yield each language with what brings voices of it: the first is enough where there is no voice of the language yet."""
    for language in filter(LANGUAGE_NAMES.get, _languages(rows)):
        able = [row for row in rows if row.speaks(language) and row.remedy and not row.profile]
        remedies = Counter(row.remedy for row in able)
        chosen = list(remedies) if language in spoken else list(remedies)[:1]
        if chosen:
            yield f"{language_name(language)} (language: {language})"
        for remedy in chosen[:_MOST_REMEDIES]:
            named = [row.name for row in able if row.remedy == remedy]
            others = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
            yield f"    {', '.join(named[:_MOST_NAMED])}{others}: {remedy}"
