"""Text → speech.wav and timing.json, sentence by sentence, with whichever engine was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from typing import Any

from daemon.errors import JobError
from stages.context import Context, Facts
from stages.tts.check import check_text
from stages.tts.engine import Engine, Piece, Spoken
from stages.tts.engines import load, resolve
from stages.tts.sentences import Sentence, pieces, split_text
from stages.tts.timing import Phone, Samples, audible_span, spoken_words
from stages.tts.wav import Track, save_timing

#: Pause between the clauses of a sentence that is too long to be said in one piece. s
CLAUSE_PAUSE_S = 0.12


def speak(ctx: Context) -> Facts:
    """Say the manifest's text.

    Raises:
        JobError: what `check_text` and `resolve` find; `text-unspeakable`; `audio-too-long`.
        MachineError: the voice's files are missing or broken.
    """
    check_text(ctx.manifest.text or "", ctx.settings, ctx.manifest.language)
    settings = ctx.settings.stages.tts
    choice = resolve(ctx.manifest, ctx.settings)
    engine = load(choice, ctx.settings)
    sentences = split_text(ctx.manifest.text or "")
    with Track(ctx.job_dir, engine.sample_rate, settings.max_audio_s) as track:
        phones = _say_all(ctx, sentences, engine, track)
        if not phones:
            raise JobError("text-unspeakable", "Nothing in the text can be spoken.", "Write words that can be spoken.")
        track.pause(settings.tail_s)
        track.save(ctx.path("speech.wav"))
    said, words, phones = spoken_words(sentences, phones)
    timing = {
        "version": 1,
        "engine": choice.engine,
        "method": engine.method,
        "sample_rate": track.rate,
        "duration": track.seconds,
        "language": ctx.manifest.language,
        "sentences": _spans(said, words),
        "words": [_rounded(asdict(word)) for word in words],
        "phones": [_rounded(asdict(phone)) for phone in phones],
    }
    save_timing(ctx.path("timing.json"), timing)
    return {
        "engine": choice.engine,
        "why": choice.why,
        "voice": choice.voice.id,
        "audio_s": round(track.seconds, 3),
        "words": len(words),
        "sentences": len(said),
        "method": engine.method,
        "licence": engine.licence,
    }


def _say_all(ctx: Context, sentences: Sequence[Sentence], engine: Engine, track: Track) -> list[Phone]:
    """Append every sentence to the track. Phones have times of the track and count all written words."""
    settings = ctx.settings.stages.tts
    total = sum(len(sentence.words) for sentence in sentences)
    phones: list[Phone] = []
    pause, first_word = settings.lead_s, 0
    for sentence in sentences:
        for span in pieces(sentence.words):
            place = first_word + span.start
            piece = Piece(sentence.words[span.start : span.stop], ctx.manifest.language, ctx.manifest.speed, (place,))
            for samples, found in _say(ctx, piece, engine):
                begin, end = audible_span(samples, track.rate, found)
                track.pause(pause)
                shift = (track.samples - begin) / track.rate
                track.add(samples[begin:end])
                phones += [_moved(phone, shift, place) for phone in found]
                pause = CLAUSE_PAUSE_S
        if phones:
            pause = settings.paragraph_pause_s if sentence.ends_paragraph else settings.sentence_pause_s
        first_word += len(sentence.words)
        ctx.progress(0.95 * first_word / total)
    return phones


def _say(ctx: Context, piece: Piece, engine: Engine) -> Iterator[tuple[Samples, list[Phone]]]:
    """Sound and phones of a piece. Phones that the engine does not know are looked for in the sound."""
    for spoken in engine.say(piece):
        ctx.warnings.extend(warning for warning in spoken.warnings if warning not in ctx.warnings)
        if len(spoken.samples):
            yield spoken.samples, _phones(spoken, piece, engine)


def _phones(spoken: Spoken, piece: Piece, engine: Engine) -> list[Phone]:
    if spoken.phones is not None:
        return list(spoken.phones)
    from stages.tts.forced import align

    found: list[Phone] = align(spoken.samples, engine.sample_rate, piece.words, piece.language)
    return found


def _moved(phone: Phone, seconds: float, words: int) -> Phone:
    return replace(phone, start=phone.start + seconds, end=phone.end + seconds, word=phone.word + words)


def _spans(said: Sequence[Sentence], words: Sequence[Any]) -> list[dict[str, Any]]:
    spans, index = [], 0
    for sentence in said:
        last = index + len(sentence.words) - 1
        spans.append(_rounded({"text": sentence.text, "start": words[index].start, "end": words[last].end}))
        index = last + 1
    return spans


def _rounded(entry: dict[str, Any]) -> dict[str, Any]:
    return {**entry, "start": round(entry["start"], 4), "end": round(entry["end"], 4)}
