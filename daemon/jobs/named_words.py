"""Finds the word of a text that a manifest names, whatever its case and the signs around it."""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections.abc import Sequence
from itertools import accumulate

#: Characters of scripts without spaces between words: Thai, Lao, Burmese, Khmer, Han and kana.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+")


def word_places(wanted: str, texts: Sequence[str]) -> list[int]:
    """Return the places in `texts`, in their order, at which a word, or several in a row, begin.

    Whole words count: “end” is no word of “my friend”. In a script without spaces every row of characters is one.

    Args:
        texts: parts of one text, such as its words; a part may hold several.
    """
    parts = _words(wanted)
    tokens = [(word, place) for place, text in enumerate(texts) for word in _words(text)]
    if not parts:
        return []
    if _UNSPACED.fullmatch("".join(parts)):
        ends = list(accumulate(len(word) for word, _ in tokens))
        said, sought = "".join(word for word, _ in tokens), "".join(parts)
        found = (match.start() for match in re.finditer(f"(?={re.escape(sought)})", said))
        starts = [tokens[bisect.bisect_right(ends, at)][1] for at in found]
    else:
        names = [word for word, _ in tokens]
        starts = [tokens[at][1] for at in range(len(tokens)) if names[at : at + len(parts)] == parts]
    return list(dict.fromkeys(starts))


def _words(text: str) -> list[str]:
    """Return the words of a text in small letters; a mark on a letter belongs to it, and so does an apostrophe between two."""
    plain = re.sub(r"(?<=\w)['’ʼ`´](?=\w)", "", unicodedata.normalize("NFC", text).casefold())
    return "".join(char if unicodedata.category(char)[0] in "LNM" else " " for char in plain).split()
