"""Converts languages as people write them ("English", "en_US", "jp") into language tags."""

from __future__ import annotations

import re
from typing import Any

_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")
#: Names of languages, and country codes that are no language code.
_MEANT = {
    "arabic": "ar", "chinese": "zh", "cn": "zh", "cz": "cs", "czech": "cs", "dk": "da", "dutch": "nl", "english": "en",
    "french": "fr", "german": "de", "gr": "el", "hindi": "hi", "hungarian": "hu", "italian": "it", "japanese": "ja",
    "jp": "ja", "korean": "ko", "mandarin": "zh", "polish": "pl", "portuguese": "pt", "russian": "ru", "spanish": "es",
    "turkish": "tr", "ua": "uk",
}  # fmt: skip


def language_tag(value: Any) -> Any:
    """Return the language tag (BCP 47) for a text; any other value is returned unchanged.

    Raises:
        ValueError: it is no language tag; the message completes a sentence.
    """
    if not isinstance(value, str):
        return value
    tag = value.strip().replace("_", "-")
    tag = _MEANT.get(tag.casefold(), tag)
    if not _TAG.fullmatch(tag):
        raise ValueError("must be a language tag, such as en, en-GB, es, fr, ja or zh")
    return tag
