"""Joins very short sentences to a neighbour, for engines that cannot say them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from stages.media.fullwidth import is_unspaced
from stages.tts.text.sentences import MAX_PIECE_CHARS, Sentence


def join_short_sentences(sentences: Sequence[Sentence], least: int) -> list[Sentence]:
    """Join sentences of fewer than `least` letters to the next one, at the end of a paragraph to the one before.

    Keeps all words and their order. Does not join across paragraphs or marked pauses, nor beyond `MAX_PIECE_CHARS`.

    Args:
        least: lowest number of letters and figures of a sentence; 0 changes nothing.
    """
    found: list[Sentence] = []
    for place, sentence in enumerate(sentences):
        follows = place + 1 < len(sentences) and _may_join(sentence, sentences[place + 1])
        short = _letters(sentence) < least
        if found and _may_join(found[-1], sentence) and (_letters(found[-1]) < least or (short and not follows)):
            found[-1] = _join_two(found[-1], sentence)
        else:
            found.append(sentence)
    return found


def _may_join(first: Sentence, second: Sentence) -> bool:
    paused = any(at == len(first.words) for at, _ in first.pauses) or any(not at for at, _ in second.pauses)
    return not first.ends_paragraph and not paused and len(first.text) + len(second.text) < MAX_PIECE_CHARS


def _join_two(first: Sentence, second: Sentence) -> Sentence:
    shift = len(first.words)
    return replace(
        second,
        words=first.words + second.words,
        pauses=first.pauses + tuple((shift + at, seconds) for at, seconds in second.pauses),
        glued=first.glued | {shift + at for at in second.glued},
    )


def _letters(sentence: Sentence) -> int:
    """Count letters and figures; a Chinese or Japanese character counts as three."""
    return sum(3 if is_unspaced(char) else 1 for char in sentence.text if char.isalnum())
