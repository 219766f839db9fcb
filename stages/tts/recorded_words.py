"""Finds the words of a recording and their times: those of the manifest's `text`, else those that a recogniser hears."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import structlog

from daemon.config.lexicon import entries_for_language
from daemon.errors import AvatarError
from daemon.jobs.language import LANGUAGE_NAMES
from daemon.system.installation import Missing
from stages.context import Context
from stages.transcribe.base import HeardWord
from stages.tts.alignment.languages import UNKNOWN_LANGUAGE, alignment_missing
from stages.tts.phonemes.english_words import is_english_word
from stages.tts.text.clean import clean_text
from stages.tts.text.language_guess import guess_by_scripts
from stages.tts.text.markup import recording_markup_warnings
from stages.tts.text.scripts import script_names, scripts_of_others
from stages.tts.text.sentences import Sentence, split_text
from stages.tts.text.spoken_words import WordPreparer
from stages.tts.timing import UNKNOWN_PHONE, Phone

log = structlog.get_logger()

#: Faster than anybody speaks; a longer text is not a transcript of the sound.
MAX_CHARS_PER_S = 40
#: A recognised sentence is kept where at least this share of its words is found in the sound again, by other means.
_LEAST_FOUND = 0.5
#: Shortest time of a recognised word; some have none. s
_LEAST_WORD_S = 0.02
_BY_SOUND = "the mouth follows the loudness of the sound"


@dataclass(frozen=True)
class RecordedWords:
    """The words of a recording.

    Attributes:
        sentences: as written; none where no words are known.
        phones: times in s; `word` counts the words of all sentences.
        language: BCP 47 tag.
        recogniser: name of the recogniser that heard the words; empty where they are the manifest's, or none are known.
    """

    sentences: tuple[Sentence, ...]
    phones: tuple[Phone, ...]
    language: str
    recogniser: str = ""

    @property
    def spoken(self) -> int:
        """Number of words that are spoken, and not only punctuation."""
        return sum(_is_spoken(word) for one in self.sentences for word in one.words)


def find_words(ctx: Context, seconds: float) -> RecordedWords:
    """Find the words of the job's speech.wav, of `seconds` s, and their times. Warns where words or times are not known."""
    text = clean_text(ctx.manifest.text or "")
    language = ctx.manifest.language
    if text:
        ctx.warnings.extend(recording_markup_warnings(ctx.manifest.text or ""))
        if len(text) > MAX_CHARS_PER_S * (seconds + 1):
            ctx.warnings.append(
                f"The text is too long for {seconds:.0f} s of sound and is ignored. "
                "Write the words that are spoken in the sound."
            )
            return RecordedWords((), (), language)
        return _align(ctx, text, _language_of(ctx, text))
    if ctx.settings.stages.tts.transcribe:
        return _recognise(ctx)
    return RecordedWords((), (), language)


def _language_of(ctx: Context, text: str) -> str:
    """Return the job's language; where the text has other letters, what these tell, with a warning."""
    language = ctx.manifest.language
    if not (scripts := scripts_of_others(text, language)):
        return language
    guess = guess_by_scripts(text, scripts)
    what = f"The text is in {script_names(scripts)} letters, which are not those of `language: {language}`"
    ctx.warnings.append(
        f"{what}; it is taken for {LANGUAGE_NAMES[guess]}. If it is, write `language: {guess}`."
        if guess
        else f"{what}. Write in `language` which one the text is in."
    )
    return guess or UNKNOWN_LANGUAGE


def _align(ctx: Context, text: str, language: str) -> RecordedWords:
    sentences = split_text(text, language)
    preparer = WordPreparer(language, entries_for_language(ctx.settings.stages.tts.lexicon, language), is_english_word)
    words: list[str] = []
    owners: list[int] = []
    first = 0
    for sentence in sentences:
        prepared = preparer.prepare(sentence.words)
        said = list(zip(prepared.owners, prepared.words, strict=True))
        unread = _unread(sentence.words, said)
        said = sorted([*(one for one in said if one[0] not in unread), *unread.items()], key=itemgetter(0))
        words += [word for _, word in said]
        owners += [first + owner for owner, _ in said]
        first += len(sentence.words)
    if not words:
        return RecordedWords((), (), language)
    from stages.tts.alignment.forced import align_file

    found = align_file(ctx.path("speech.wav"), words, language)
    phones = tuple(replace(phone, word=owners[phone.word]) for phone in found)
    return RecordedWords(tuple(sentences), phones, language)


def _unread(written: Sequence[str], said: Sequence[tuple[int, str]]) -> dict[int, str]:
    """Return the words, by index, that no voice of the language could read: a person has said them all the same.

    Args:
        said: what a voice could read, each word with the index of its written one.
    """
    read = {owner for owner, word in said if _is_spoken(word)}
    return {at: word for at, word in enumerate(written) if at not in read and any(map(str.isalpha, word))}


def _recognise(ctx: Context) -> RecordedWords:
    from stages.transcribe.registry import choose_recogniser
    from stages.transcribe.transcribe import transcribe_file

    nothing = RecordedWords((), (), ctx.manifest.language)
    recogniser = choose_recogniser(ctx.settings, ctx.manifest.language)
    if isinstance(recogniser, Missing):
        ctx.warnings.append(
            f"The words of the recording are not known, since {recogniser.why}: {_BY_SOUND}. "
            "Write what is said in `text`, and the lips form its sounds."
        )
        return nothing
    try:
        heard = transcribe_file(
            ctx.path("speech.wav"),
            recogniser,
            ctx.settings,
            ctx.manifest.language,
            lambda share: ctx.progress(0.3 + 0.5 * share),
        )
    except AvatarError as exc:
        log.warning("recording not transcribed", code=exc.code, message=exc.message)
        ctx.warnings.append(f"The words of the recording are not known: {exc.message} {exc.hint} Now {_BY_SOUND}.")
        return nothing
    except Exception:  # other people's program; the job can do without it
        log.exception("recording not transcribed", recogniser=recogniser.name)
        ctx.warnings.append(
            f"The words of the recording are not known, since the recogniser {recogniser.name} failed (the log has the "
            f"traceback): {_BY_SOUND}. Write what is said in `text`, and the lips form its sounds."
        )
        return nothing
    if not heard.text:
        ctx.warnings.append(f"No words were recognised in the recording: {_BY_SOUND}.")
        return nothing
    language = _tag(ctx.manifest.language, heard.language)
    text = clean_text(heard.text)
    if alignment_missing(language) is not None:
        sentences = tuple(split_text(text, language))
        if phones := place_words(sentences, [word for part in heard.parts for word in part.words]):
            return RecordedWords(sentences, phones, language, recogniser.name)
    found = _align(ctx, text, language)
    if alignment_missing(language) is None:
        found = keep_confirmed(found)
        if not found.sentences:
            ctx.warnings.append(
                f"What {recogniser.name} recognised in the recording is not found in its sound, which may be in another "
                f"language than '{language}': {_BY_SOUND}. Set `language`, or write what is said in `text`."
            )
            return nothing
    return replace(found, recogniser=recogniser.name)


def _tag(asked: str, heard: str) -> str:
    """Return the manifest's tag where its language was heard, as it may name a region; else what was heard."""
    return asked if asked.casefold().partition("-")[0] == heard else heard


def keep_confirmed(words: RecordedWords) -> RecordedWords:
    """Return only the sentences of which at least half of the words were found in the sound.

    A recogniser writes plausible sentences over music, and over speech in a language that it does not know. The search for
    their sounds is independent of it, and does not find them.
    """
    found = {phone.word for phone in words.phones if phone.phone != UNKNOWN_PHONE}
    kept: list[Sentence] = []
    places: dict[int, int] = {}
    first = 0
    for sentence in words.sentences:
        spoken = [first + at for at, word in enumerate(sentence.words) if _is_spoken(word)]
        if spoken and len(found.intersection(spoken)) >= _LEAST_FOUND * len(spoken):
            size = len(places)
            places.update({first + at: size + at for at in range(len(sentence.words))})
            kept.append(sentence)
        first += len(sentence.words)
    phones = tuple(replace(phone, word=places[phone.word]) for phone in words.phones if phone.word in places)
    return replace(words, sentences=tuple(kept), phones=phones)


def place_words(sentences: Sequence[Sentence], heard: Sequence[HeardWord]) -> tuple[Phone, ...]:
    """Return a phone without a sound for each word, at the times of the recogniser's words, which may be cut otherwise.

    Returns:
        The phones; none where the words do not have the letters that were heard.
    """
    letters = [char for word in heard for char in word.text if not char.isspace()]
    words = [word for sentence in sentences for word in sentence.words]
    if not heard or letters != list("".join(words)):
        return ()
    starts: list[float] = []  # of each letter, s
    ends: list[float] = []
    for one in heard:
        size = sum(not char.isspace() for char in one.text)
        edges = np.linspace(one.start, max(one.end, one.start + _LEAST_WORD_S), size + 1).tolist()
        starts += edges[:-1]
        ends += edges[1:]
    phones, at = [], 0
    for number, word in enumerate(words):
        if _is_spoken(word):
            phones.append(Phone(UNKNOWN_PHONE, starts[at], ends[at + len(word) - 1], number, 0))
        at += len(word)
    return tuple(phones)


def warn_of_missing_words(ctx: Context, words: RecordedWords, method: str, known: int) -> None:
    """Warn about words that were not found in the sound.

    Args:
        method: of timing.json.
        known: number of words whose sounds were found.
    """
    estimated = "the mouth follows the sound alone, and the times of captions are estimates"
    missing = alignment_missing(words.language)
    if method == "energy" and missing:
        ctx.warnings.append(f"{missing.why[0].upper()}{missing.why[1:]}: {estimated}. {missing.remedy}".strip())
    elif method == "energy":
        ctx.warnings.append(f"The text does not match the sound: {estimated}.")
    elif known < words.spoken and not words.recogniser:
        ctx.warnings.append(
            f"Of the {words.spoken} words in `text`, {words.spoken - known} were not found in the sound."
        )


def _is_spoken(word: str) -> bool:
    return any(map(str.isalnum, word))
