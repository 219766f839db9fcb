"""Synthesizes a text sentence by sentence with the chosen voice, into speech.wav and timing.json."""

from __future__ import annotations

import contextlib
import zlib
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from daemon.config import Settings
from daemon.config.lexicon import entries_for_language
from daemon.errors import TRIED_AGAIN, JobError, ResultError
from daemon.jobs.record import SAID
from daemon.jobs.speech_length import check_text_length
from stages.context import Context
from stages.facts import SpeechFacts
from stages.media.loudness import Block
from stages.media.wav import read_wav_blocks
from stages.model_memory import measured
from stages.tts.checks import check_text, text_warnings
from stages.tts.engines import time_limits
from stages.tts.engines.base import LoadedVoice, Piece, SpokenPart
from stages.tts.engines.cache import CachedVoice
from stages.tts.engines.checked import CheckedVoice
from stages.tts.engines.choose import VoiceChoice, choose_voice, load_voice
from stages.tts.engines.registry import ENGINES, text_needs_of
from stages.tts.engines.speech_check import NOT_FINITE, speech_faults
from stages.tts.fit_length import Fit, Length, Pauses, Ruler, fit_length
from stages.tts.live_speech import LiveSpeech
from stages.tts.phonemes.english_words import is_english_word
from stages.tts.shared_speech import SharedSpeech
from stages.tts.text.clean import clean_text
from stages.tts.text.sentences import Sentence, split_pieces, split_text
from stages.tts.text.short_sentences import join_short_sentences
from stages.tts.text.spoken_words import PreparedWords, WordPreparer
from stages.tts.timing import Phone, Samples, audible_span
from stages.tts.timing_file import write_timing
from stages.tts.track import SpeechTrack

#: Pause between the pieces of a sentence that is too long for one piece. s
CLAUSE_PAUSE_S = 0.12
#: Added to an engine's own time limit, so that the engine reports its timeout, with details, before the stage is killed. s
_TIME_MARGIN_S = 30.0
#: Lowest accepted peak of levelled speech: `SILENT_PEAK` of a piece, raised by the largest gain. Full scale is 1.
_LEAST_PEAK = 0.01


def synthesize_text(ctx: Context) -> SpeechFacts:
    """Synthesize the manifest's text.

    Raises:
        JobError: what `check_text_length`, `check_text`, `choose_voice` and `fit_length` raise; `text-unspeakable`;
            `audio-too-long`.
        MachineError: the voice's files are missing or broken.
        ResultError: `speech-invalid`: the sound of a part of this text, or of any text, is not speech.
    """
    check_text_length(ctx.manifest, ctx.settings)
    text = clean_text(ctx.manifest.text or "")
    check_text(text, ctx.manifest.language, ctx.settings)
    ctx.warnings.extend(text_warnings(ctx.manifest, ctx.settings))
    settings = ctx.settings.stages.tts
    choice = choose_voice(ctx.manifest, ctx.settings)
    ctx.use_engine(choice.engine)
    ctx.allow_seconds(time_limits.start_limit_s(choice.engine, ctx.settings) + _TIME_MARGIN_S)
    with measured(choice.engine, ctx.report_model):
        voice = load_voice(choice, ctx.settings)
    checked = CheckedVoice(voice, choice.voice.id, settings.check_speech, partial(_allow_time, ctx, choice))
    engine = CachedVoice(
        checked,
        ctx.path(SAID),
        _terms(choice, ctx.settings),
        partial(_is_speech, ctx, checked),
        _shared(choice, ctx.settings),
    )
    sentences = split_text(text, ctx.manifest.language)
    needs = text_needs_of(choice.engine)
    lexicon = entries_for_language(settings.lexicon, ctx.manifest.language)
    own = entries_for_language(ctx.manifest.lexicon or {}, ctx.manifest.language)
    lexicon = {word: said for word, said in lexicon.items() if word.casefold() not in set(map(str.casefold, own))} | own
    said = join_short_sentences(sentences, needs.least_letters)

    def preparer_of_words() -> WordPreparer:
        return WordPreparer(ctx.manifest.language, lexicon, is_english_word, needs.in_words)

    def measure(speed: float) -> Length:
        ruler, pauses = Ruler(engine.sample_rate), Pauses()
        phones, new = _say_sentences(ctx, said, preparer_of_words(), engine, ruler, speed, pauses)
        _check_spoken(phones)
        words = sum(len(sentence.words) for sentence in sentences)
        return Length(ruler.samples / ruler.rate, ruler.sound / ruler.rate, pauses.usual_s, words, frozenset(new))

    fit = Fit(ctx.manifest.speed, 1.0, frozenset())
    if ctx.manifest.duration is not None:
        fit = fit_length(ctx.manifest.duration, ctx.manifest.speed, measure)
        engine.start_over()
    preparer = preparer_of_words()
    with (
        _live(ctx, engine.sample_rate) as listener,
        SpeechTrack(ctx.job_dir, engine.sample_rate, settings.max_audio_s, listener) as track,
    ):
        phones, new = _say_sentences(ctx, said, preparer, engine, track, fit.speed, Pauses(fit.pauses), ctx.progress)
        _check_spoken(phones)
        track.save_wav(ctx.path("speech.wav"))
        _check_speech_file(ctx, track)
    ctx.warnings.extend(preparer.warnings())
    timing = write_timing(
        ctx.path("timing.json"), choice.engine, engine.method, track.rate, track.seconds, ctx.manifest.language,
        sentences, phones,
    )  # fmt: skip
    engine.finish()
    facts: SpeechFacts = {
        "engine": choice.engine,
        "why": choice.why,
        "voice": choice.voice.id,
        "audio_s": round(track.seconds, 3),
        "words": len(timing.words),
        "sentences": len(timing.sentences),
        "spoken": f"{_count_new(sentences, new | fit.new)} of {len(sentences)} sentences new",
        "method": timing.method,
        "licence": engine.licence,
    }
    if ctx.manifest.duration is not None:
        facts["speed"], facts["pauses"] = round(fit.speed, 3), round(fit.pauses, 3)
    return facts


@contextlib.contextmanager
def _live(ctx: Context, rate: int) -> Iterator[Callable[[Block], None]]:
    """Yield what is given the speech while it is spoken: its file in the outbox, where the manifest wants one."""
    if not ctx.manifest.stream:
        yield lambda block: None
        return
    with LiveSpeech(ctx.settings.paths.outbox, ctx.job_id, rate) as live:
        yield live.add


def _say_sentences(
    ctx: Context,
    sentences: Sequence[Sentence],
    preparer: WordPreparer,
    engine: CachedVoice,
    track: SpeechTrack | Ruler,
    speed: float,
    pauses: Pauses,
    progress: Callable[[float], None] = lambda part: None,
) -> tuple[list[Phone], set[int]]:
    """Append every sentence to the track, and the silence at the end.

    Args:
        speed: as in a manifest.
        pauses: gives the lengths of those that may be changed.

    Returns:
        The phones: times in s from the start of the track, `word` counts the words of all sentences. And the words, counted in
        the same way, whose sound was not kept from an earlier time.
    """
    settings = ctx.settings.stages.tts
    total = sum(len(sentence.words) for sentence in sentences)
    phones: list[Phone] = []
    new: set[int] = set()
    said: Counter[tuple[str, ...]] = Counter()
    pause, first_word = settings.lead_s, 0
    is_usual = False  # the pause is one that may be changed
    for sentence in sentences:
        prepared = preparer.prepare(sentence.words)
        for marked, span in _spans_to_say(sentence, prepared):
            pause, is_usual = max(pause, marked), is_usual and marked < pause
            words = prepared.words[span.start : span.stop]
            owners = [first_word + owner for owner in prepared.owners[span.start : span.stop]]
            sounds = {index - span.start: sound for index, sound in prepared.sounds.items() if index in span}
            piece = Piece(words, ctx.manifest.language, speed, _seed(words, said[words]), sounds)
            said[words] += 1
            before = engine.synthesized
            for samples, found in _say_piece(ctx, piece, engine):
                begin, end = audible_span(samples, track.rate, found)
                track.append_silence(pauses.length(pause) if is_usual else pause)
                shift = (track.samples - begin) / track.rate
                track.append_sound(samples[begin:end])
                phones += [_shifted(phone, shift, owners[phone.word]) for phone in found]
                pause, is_usual = CLAUSE_PAUSE_S, False
            new.update(owners if engine.synthesized > before else ())
        if phones:
            usual = settings.paragraph_pause_s if sentence.ends_paragraph else settings.sentence_pause_s
            pause, is_usual = max(usual, _marked_pause_after(sentence)), usual > _marked_pause_after(sentence)
        elif not track.samples:  # marked pauses before the first sound add up
            pause = max(pause, sum(seconds for _, seconds in sentence.pauses))
        first_word += len(sentence.words)
        progress(0.95 * first_word / total)
    tail = max(settings.tail_s, marked := _marked_pause_after(sentences[-1]))
    track.append_silence(pauses.length(tail) if marked < tail else tail)
    return phones, new


def _check_spoken(phones: Sequence[Phone]) -> None:
    """Refuse a text of which nothing was spoken.

    Raises:
        JobError: `text-unspeakable`.
    """
    if not phones:
        raise JobError("text-unspeakable", "Nothing in the text can be spoken.", "Write words that can be spoken.")


def _seed(words: Sequence[str], times: int) -> tuple[int, int]:
    """Return the seed of a piece. `times`: how often the same words were said before in the text."""
    return zlib.crc32("\0".join(words).encode()), times


def _count_new(sentences: Sequence[Sentence], new: Set[int]) -> int:
    """Count the sentences with a word in `new`, which counts the words of all sentences."""
    ends = list(accumulate(len(sentence.words) for sentence in sentences))
    return sum(not new.isdisjoint(range(start, end)) for start, end in zip([0, *ends], ends, strict=False))


def _terms(choice: VoiceChoice, settings: Settings) -> list[Any]:
    """Return all that the sound of a piece depends on beside the piece itself."""
    model = choice.voice.model
    file = [model.stat().st_size, model.stat().st_mtime_ns] if model.is_file() else []
    # The aliases contain a profile's id, because another profile may get the same name while the job waits.
    return [choice.voice.id, choice.voice.aliases, settings.stages.tts.model_dump(mode="json"), file]


def _shared(choice: VoiceChoice, settings: Settings) -> SharedSpeech | None:
    """Return the speech that jobs share; None where a program speaks which may have become another one meanwhile."""
    own = choice.engine in ENGINES and choice.engine not in settings.engines
    return SharedSpeech(settings.paths.cache) if own else None


def _is_speech(ctx: Context, engine: LoadedVoice, parts: Sequence[SpokenPart], piece: Piece) -> bool:
    """Check kept speech as `CheckedVoice` checks new speech."""
    found = speech_faults(parts, engine.sample_rate, piece)
    return not (found if ctx.settings.stages.tts.check_speech else NOT_FINITE in found)


def _check_speech_file(ctx: Context, track: SpeechTrack) -> None:
    """Check length and peak of the levelled speech.wav; delete it where they are wrong.

    Raises:
        ResultError: `speech-invalid`.
    """
    path = ctx.path("speech.wav")
    samples, peak = 0, 0.0
    for block in read_wav_blocks(path):
        samples, peak = samples + len(block), max(peak, float(np.abs(block).max(initial=0.0)))
    least = _LEAST_PEAK if ctx.settings.stages.tts.check_speech else 0.0
    if samples == track.samples and peak >= least:
        return
    path.unlink()
    found = f"{samples / track.rate:.2f} s of sound with a peak of {peak:.4f}"
    wanted = f"{track.seconds:.2f} s with a peak of {least:g} or more"
    raise ResultError("speech-invalid", f"speech.wav contains {found} after levelling; {wanted} expected.", TRIED_AGAIN)


def _allow_time(ctx: Context, choice: VoiceChoice, piece: Piece, anew: bool) -> None:
    """Extend the stage's time limit by the time to say a piece, or, where the engine restarts (`anew`), to load it."""
    if anew:
        ctx.allow_seconds(time_limits.start_limit_s(choice.engine, ctx.settings) + _TIME_MARGIN_S)
    else:
        ctx.allow_seconds(time_limits.say_limit_s(choice.engine, piece, ctx.settings) + _TIME_MARGIN_S)


def _spans_to_say(sentence: Sentence, prepared: PreparedWords) -> Iterator[tuple[float, range]]:
    """Yield ranges of the prepared words to say as one piece, each with the marked pause before it, in s."""
    cuts: dict[int, float] = {}
    for words, seconds in sentence.pauses:
        at = bisect_left(prepared.owners, words)
        cuts[at] = cuts.get(at, 0.0) + seconds
    edges = sorted({0, *cuts, len(prepared.words)})
    for start, stop in pairwise(edges):
        marked = cuts.get(start, 0.0)
        for span in split_pieces(prepared.words[start:stop]):
            yield marked, range(start + span.start, start + span.stop)
            marked = 0.0


def _marked_pause_after(sentence: Sentence) -> float:
    """Return the marked pause after the last word, in s."""
    return sum(seconds for words, seconds in sentence.pauses if words == len(sentence.words))


def _say_piece(ctx: Context, piece: Piece, engine: LoadedVoice) -> Iterator[tuple[Samples, list[Phone]]]:
    """Yield sound and phones of a piece. Aligns the words where the engine gives no phones."""
    for spoken in engine.say(piece):
        ctx.warnings.extend(warning for warning in spoken.warnings if warning not in ctx.warnings)
        if len(spoken.samples):
            yield spoken.samples, _phones_of_part(spoken, piece, engine)


def _phones_of_part(spoken: SpokenPart, piece: Piece, engine: LoadedVoice) -> list[Phone]:
    if spoken.phones is not None:
        return list(spoken.phones)
    from stages.tts.alignment.forced import align_words

    found: list[Phone] = align_words(spoken.samples, engine.sample_rate, piece.words, piece.language)
    return found


def _shifted(phone: Phone, seconds: float, word: int) -> Phone:
    return replace(phone, start=phone.start + seconds, end=phone.end + seconds, word=word)
