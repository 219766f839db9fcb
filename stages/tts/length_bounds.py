"""Refuses a `duration` that no voice could keep to, before anything is spoken.

How long a text takes is only estimated here, so that what is near the limits is left to `fit_length`, which measures it.
"""

from __future__ import annotations

from daemon.config import Settings
from daemon.config.lexicon import entries_for_language
from daemon.jobs.manifest import Manifest
from daemon.jobs.speech_length import CHARS_PER_S, estimated_s
from stages.tts.fit_length import LONGEST_PAUSE, SHORTEST_PAUSE, speed_limits, unreachable
from stages.tts.text.clean import clean_text
from stages.tts.text.scripts import script_of
from stages.tts.text.sentences import split_text

#: A text may take this many times less or more than estimated: voices differ. Letters of other scripts than Latin are estimated
#: less well.
_MARGIN, _MARGIN_OTHERS = 1.25, 2.0
#: Silence and slow beginnings, which count in a short text. s
_SLACK_S = 1.0
#: "7" may be "seventy", "%" is "percent", and capitals are spelled: characters that each is spoken as at most, in addition.
_MORE_CHARS = 10
#: Signs around and in words that are not spoken.
_PUNCTUATION = ".,;:!?…'’\"“”„«»()[]-–—"


def check_reachable(manifest: Manifest, settings: Settings) -> None:
    """Refuse a text that cannot be as long as `duration` asks for, whichever voice speaks it.

    Raises:
        JobError: `duration-unreachable`.
    """
    text, wanted_s = clean_text(manifest.text or ""), manifest.duration
    if wanted_s is None or _is_said_otherwise(text, manifest, settings):
        return
    sentences = split_text(text, manifest.language)
    words = [word for sentence in sentences for word in sentence.words]
    tts = settings.stages.tts
    usual_s = sum(tts.paragraph_pause_s if one.ends_paragraph else tts.sentence_pause_s for one in sentences)
    marked_s = sum(seconds for one in sentences for _, seconds in one.pauses)
    slowest, fastest = speed_limits(manifest.speed)
    margin = _MARGIN if set(map(script_of, set(text))) <= {"Latin", ""} else _MARGIN_OTHERS

    spoken = " ".join("".join(filter(str.isalnum, word)) for word in words)
    least_s = estimated_s(spoken, manifest.speed * fastest)
    if least_s / margin > wanted_s:
        raise unreachable(wanted_s, len(words), least_s + marked_s + SHORTEST_PAUSE * usual_s)

    more = _MORE_CHARS * sum(map(_signs_spoken_long, words)) / CHARS_PER_S
    most_s = estimated_s(" ".join(words), manifest.speed * slowest) + more / manifest.speed / slowest
    pauses_s = marked_s + LONGEST_PAUSE * usual_s
    if most_s * margin + pauses_s + _SLACK_S < wanted_s:
        raise unreachable(wanted_s, len(words), most_s + pauses_s)


def _signs_spoken_long(word: str) -> int:
    """Return how many signs of a word may be words of their own: figures, symbols, letters of an abbreviation."""
    inner = word.strip(_PUNCTUATION)
    if inner.isupper():
        return len(inner)
    return sum(not (char.isalpha() or char in _PUNCTUATION) for char in inner) + inner.count(".")


def _is_said_otherwise(text: str, manifest: Manifest, settings: Settings) -> bool:
    """Return whether a lexicon may say something else, of any length, than what is written."""
    lexicons = (settings.stages.tts.lexicon, manifest.lexicon or {})
    words = (word for lexicon in lexicons for word in entries_for_language(lexicon, manifest.language))
    return any(word.casefold() in text.casefold() for word in words)
