"""Folds words for the search, and splits what is searched for into words. Case and the width of letters do not count."""

from __future__ import annotations

import re
import unicodedata

#: "two words" in quotes, or one word.
_WORD = re.compile(r'"([^"]*)"|(\S+)')


def fold(text: str) -> str:
    """Return a text as it is compared: NFKC, case folded, every run of spaces one space, and nothing that a database refuses."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(folded.replace("\0", " ").encode("utf-8", "replace").decode().split())


def words_of(search: str) -> list[str]:
    """Return the folded words that must all be found; what stands in double quotes is one of them."""
    found = (fold(quoted or plain.replace('"', "")) for quoted, plain in _WORD.findall(search))
    return [word for word in found if word]
