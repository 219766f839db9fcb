"""Which front end reads a language: words as said → the phonemes that the network of `kokoro` knows.

A front end is a module of this package, named in `_LANGUAGES`, with `front_end(language) -> FrontEnd`. It is imported only to
read, so that what is missing is known without its packages.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from daemon.system.installation import Missing, bring_extra

if TYPE_CHECKING:  # so that a voice can be chosen without a front end
    from stages.tts.phonemes.reading import Reading


class FrontEnd(Protocol):
    """Reads one language. Loaded once and kept; the same words give the same phonemes."""

    def read(self, words: Sequence[str], sounds: Mapping[int, str]) -> Reading:
        """Phonemes for up to one sentence of words, each character with its word; empty if nothing can be spoken.

        Args:
            words: punctuation attached; its signs stay among the phonemes, for they make the pauses.
            sounds: index of a word → how a lexicon says it: /phonemes/, or a respelling such as AV-uh-tar.

        Raises:
            JobError: `text-unspeakable`.
        """
        ...


@dataclass(frozen=True)
class _LanguageRow:
    """How one language is read.

    Attributes:
        module: of its front end.
        packages: what must be there for that, as it is imported.
        sound_replacements: letter of the network's alphabet → the sound that it stands for in this language, where that
            differs from other languages: lips are round for the y of French, and not for that of Portuguese.
        extra: of this program, that brings the packages.
    """

    module: str
    packages: tuple[str, ...] = ()
    sound_replacements: Mapping[str, str] = field(default_factory=dict)
    extra: str = "languages"


_ESPEAK = ("espeakng_loader",)
#: By language, without its region.
_LANGUAGES: dict[str, _LanguageRow] = {
    "en": _LanguageRow("english"),
    "es": _LanguageRow("espeak", _ESPEAK),
    "fr": _LanguageRow("espeak", _ESPEAK),
    "hi": _LanguageRow("espeak", _ESPEAK, {"c": "ʧ", "ɟ": "ʤ"}),
    "it": _LanguageRow("espeak", _ESPEAK, {"S": "s"}),
    "pt": _LanguageRow("espeak", _ESPEAK, {"y": "i"}),
    "ja": _LanguageRow("japanese", ("pyopenjtalk", "sudachidict_core"), {"β": "ɰ"}, "japanese"),
    "zh": _LanguageRow("chinese", ("misaki", "pypinyin", "ordered_set")),
}


def front_end_missing(language: str) -> Missing | None:
    """What keeps text in a language from being read here."""
    row = _LANGUAGES.get(_primary(language))
    if row is None:
        return Missing(f"nothing here can read '{language}'", "Take a voice of another language.")
    absent = [name for name in row.packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    why = f"what reads '{language}' is not installed ({', '.join(absent)})"
    return Missing(why, bring_extra(row.extra))


@lru_cache(maxsize=16)
def front_end(language: str) -> FrontEnd:
    """The front end of a language of which nothing is missing.

    Args:
        language: BCP 47 tag; the region says which accent, where the front end knows several.
    """
    module = importlib.import_module(f"{__name__}.{_LANGUAGES[_primary(language)].module}")
    made: FrontEnd = module.front_end(language)
    return made


def sound_replacements(language: str) -> Mapping[str, str]:
    """Letters of the network's alphabet that stand for another sound in this language, and which."""
    return _LANGUAGES[_primary(language)].sound_replacements


def _primary(language: str) -> str:
    return language.casefold().partition("-")[0]
