"""Finds words of a manifest's `lexicon` that the text does not have, so that a mistyped one is not ignored without a word."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from daemon.config.lexicon import entries_for_language
from daemon.system.spelling import folded

if TYPE_CHECKING:
    from daemon.jobs.manifest import Manifest

_MOST_TOLD = 5
#: Least likeness (difflib's ratio) of a word that may be meant.
_LIKENESS = 0.7
#: Languages without blanks between words.
_UNSPACED = ("zh", "ja", "th")


def unused_words(given: Mapping[str, Any], manifest: Manifest) -> list[str]:
    """Return a sentence for each word of the `lexicon` that is not said: the text does not have it, or has another language.

    Args:
        given: the values as written in the manifest itself: the defaults of a folder, and the template of a batch, are meant
            for many texts.
    """
    if "lexicon" not in given or not manifest.lexicon or manifest.text is None or manifest.audio is not None:
        return []
    entries = entries_for_language(manifest.lexicon, manifest.language)
    others = [
        tag for tag, words in manifest.lexicon.items() if isinstance(words, dict) and not words.keys() & entries.keys()
    ]
    told = [
        f"The words under `{tag}` in `lexicon` are not used, because the language of the text is {manifest.language}."
        for tag in others
    ]
    text = folded(manifest.text)
    is_unspaced = manifest.language.casefold().partition("-")[0] in _UNSPACED
    unused = [word for word in entries if not _occurs(folded(word), text, is_unspaced)]
    words = list(dict.fromkeys(re.findall(r"\w[\w'’.+#&-]*\w|\w", manifest.text)))
    told += [_sentence(word, words) for word in unused[:_MOST_TOLD]]
    if (more := len(unused) - _MOST_TOLD) > 0:
        told.append(f"{more} more words of `lexicon` do not occur in the text.")
    return told


def _occurs(word: str, text: str, is_unspaced: bool) -> bool:
    return word in text if is_unspaced else re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None


def _sentence(word: str, words: Sequence[str]) -> str:
    forms = {folded(other): other for other in words}
    near = difflib.get_close_matches(folded(word), forms, 1, _LIKENESS)
    return f"`{word}` in `lexicon` does not occur in the text." + (
        f" Did you mean `{forms[near[0]]}`?" if near else " A word stands there as it is written in the text."
    )
