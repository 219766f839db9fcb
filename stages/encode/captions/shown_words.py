"""Selects the words that captions show: as written, without layout marks (as in "# News", "- First", "**now**")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from stages.tts.text.spoken_words import BULLET, EMPHASIS, LAYOUT
from stages.tts.timing import Word

_LINK = re.compile(r"\[([^\[\]]*)\]\((?:https?:|mailto:|www\.|/|#|\.)[^\s)]*\)")


def caption_words(words: Sequence[Word]) -> Iterator[Word]:
    """Yield timing.json's `words` with the text shown of each, without words that consist of layout marks only."""
    sentence = -1
    for word in words:
        bits = word.text.split()
        if word.sentence != sentence and len(bits) > 1 and BULLET.fullmatch(bits[0]):
            bits = bits[1:]
        sentence = word.sentence
        text = " ".join(_LINK.sub(r"\1", EMPHASIS.sub("", bit)) for bit in bits if not LAYOUT.fullmatch(bit))
        if text:
            yield replace(word, text=text)
