"""The words that captions show: as they were written, without the marks that lay a text out ("# News", "- First", "**now**")."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from stages.tts.text.spoken_words import BULLET, EMPHASIS, LAYOUT

_LINK = re.compile(r"\[([^\[\]]*)\]\((?:https?:|mailto:|www\.|/|#|\.)[^\s)]*\)")


def shown(words: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """timing.json's `words` with what is shown of each; those of which nothing is left are left out."""
    sentence = -1
    for word in words:
        bits = str(word["text"]).split()
        if word["sentence"] != sentence and len(bits) > 1 and BULLET.fullmatch(bits[0]):
            bits = bits[1:]
        sentence = word["sentence"]
        text = " ".join(_LINK.sub(r"\1", EMPHASIS.sub("", bit)) for bit in bits if not LAYOUT.fullmatch(bit))
        if text:
            yield {**word, "text": text}
