"""Text → speech.wav and timing.json, sentence by sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from daemon.errors import JobError
from stages.context import Context, Facts
from stages.tts.check import check_request
from stages.tts.hibari import SAMPLE_RATE, Hibari, load_voice
from stages.tts.reading import Reader
from stages.tts.sentences import Sentence, pieces, split_text
from stages.tts.timing import Phone, audible_span, phones_of, spoken_words
from stages.tts.voices import find_voice
from stages.tts.wav import Track, save_timing

ENGINE = "hibari"
#: Pause between the clauses of a sentence that is too long to be said in one piece. s
CLAUSE_PAUSE_S = 0.12


def speak(ctx: Context) -> Facts:
    """Say the manifest's text.

    Raises:
        JobError: what `check_request` finds; `text-unspeakable`; `audio-too-long`.
        MachineError: the voice's files are missing or broken.
    """
    check_request(ctx.manifest, ctx.settings)
    settings = ctx.settings.stages.tts
    voice = find_voice(ctx.manifest.voice, settings.voice)
    sentences = split_text(ctx.manifest.text or "")
    reader = Reader(voice.british)
    with Track(ctx.job_dir, SAMPLE_RATE, settings.max_audio_s) as track:
        phones = _say_all(ctx, sentences, reader, load_voice(voice), track)
        if not phones:
            raise JobError("text-unspeakable", "Nothing in the text can be spoken.", "Write words that can be spoken.")
        track.pause(settings.tail_s)
        track.save(ctx.path("speech.wav"))
    said, words, phones = spoken_words(sentences, phones)
    timing = {
        "version": 1,
        "engine": ENGINE,
        "method": "exact",
        "sample_rate": track.rate,
        "duration": track.seconds,
        "language": "en",
        "sentences": _spans(said, words),
        "words": [_rounded(asdict(word)) for word in words],
        "phones": [_rounded(asdict(phone)) for phone in phones],
    }
    save_timing(ctx.path("timing.json"), timing)
    if reader.left_out:
        ctx.warnings.append(_left_out(reader))
    return {
        "engine": ENGINE,
        "why": "the built-in voice" if settings.engine == "auto" else "set in config.yaml",
        "voice": voice.name,
        "audio_s": round(track.seconds, 3),
        "words": len(words),
        "sentences": len(said),
        "licence": "Apache-2.0",
    }


def _say_all(ctx: Context, sentences: Sequence[Sentence], reader: Reader, voice: Hibari, track: Track) -> list[Phone]:
    """Append every sentence to the track. Phones have times of the track and count all written words."""
    settings = ctx.settings.stages.tts
    total = sum(len(sentence.words) for sentence in sentences)
    phones: list[Phone] = []
    pause, first_word = settings.lead_s, 0
    for sentence in sentences:
        for piece in pieces(sentence.words):
            reading = reader.read([sentence.words[index] for index in piece])
            seed = (
                first_word + piece.start,
            )  # of the place in the text, so that an edit elsewhere changes nothing here
            for utterance in voice.say(reading, ctx.manifest.speed, seed):
                found = phones_of(utterance)
                begin, end = audible_span(utterance.samples, found)
                track.pause(pause)
                shift = (track.samples - begin) / track.rate
                track.add(utterance.samples[begin:end])
                phones += [_moved(phone, shift, first_word + piece.start) for phone in found]
                pause = CLAUSE_PAUSE_S
        if phones:
            pause = settings.paragraph_pause_s if sentence.ends_paragraph else settings.sentence_pause_s
        first_word += len(sentence.words)
        ctx.progress(0.95 * first_word / total)
    return phones


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


def _left_out(reader: Reader) -> str:
    what = " and ".join(
        f"{name} ({count} {'word' if count == 1 else 'words'})" for name, count in reader.left_out.items()
    )
    return f"The voice cannot read {what}; the speech goes around them."
