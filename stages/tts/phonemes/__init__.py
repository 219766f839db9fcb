"""Selects the front end of a language, which converts spoken words to phonemes of kokoro's network.

A front end is a module of this package, listed in `_LANGUAGES`, with `front_end(language) -> FrontEnd`. It is imported only
when used, so that missing packages are found without importing them.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from daemon.system.installation import Missing, how_to_install_extra

if TYPE_CHECKING:  # so that a voice can be chosen without a front end
    from stages.tts.phonemes.reading import Reading


class FrontEnd(Protocol):
    """Converts words of one language to phonemes, deterministically."""

    def read(self, words: Sequence[str], sounds: Mapping[int, str]) -> Reading:
        """Return the phonemes of at most one sentence, each character with its word; empty if nothing can be spoken.

        Args:
            words: punctuation attached; it is kept in the phonemes, because it makes pauses.
            sounds: index of a word → its sound in the lexicon: /phonemes/, or a respelling such as AV-uh-tar.

        Raises:
            JobError: `text-unspeakable`.
        """
        ...


@dataclass(frozen=True)
class _LanguageRow:
    """The front end of one language.

    Attributes:
        module: name of its module here.
        packages: modules that it imports.
        sound_replacements: letter of the network's alphabet → the sound that it stands for in this language, where that
            differs from other languages: lips are round for the y of French, and not for that of Portuguese.
        extra: the extra of pyproject.toml that installs the packages.
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

#: Letter of espeak-ng that no front end of the table above writes → the sound with the same mouth.
ESPEAK_SOUNDS: Mapping[str, str] = {
    "ħ": "h", "ʕ": "h", "ɱ": "v", "ʑ": "ʒ", "ʐ": "ʒ", "ɬ": "l", "ɫ": "l", "ɭ": "l", "ε": "ɛ", "ʏ": "y", "ɵ": "ø", "ʉ": "u",
    "ʀ": "ʁ", "ɗ": "d", "ɓ": "b",
}  # fmt: skip


def front_end_missing(language: str) -> Missing | None:
    """Return why text in a language (BCP 47 tag) cannot be converted here; None if it can."""
    row = _LANGUAGES.get(_primary(language))
    if row is None:
        return Missing(f"no front end reads '{language}'", "Use a voice of another language.")
    return _packages_missing(language, row)


def espeak_missing(language: str) -> Missing | None:
    """Return why espeak-ng cannot read a language here (BCP 47 tag); None if it can."""
    return _packages_missing(language, _LanguageRow("espeak", _ESPEAK))


def _packages_missing(language: str, row: _LanguageRow) -> Missing | None:
    absent = [name for name in row.packages if importlib.util.find_spec(name) is None]
    if not absent:
        return None
    why = f"the front end for '{language}' is not installed ({', '.join(absent)})"
    return Missing(why, how_to_install_extra(row.extra))


@lru_cache(maxsize=16)
def front_end(language: str) -> FrontEnd:
    """Load the front end of a language once and keep it; its packages must be installed.

    Args:
        language: BCP 47 tag; the region selects the accent where the front end has several.
    """
    module = importlib.import_module(f"{__name__}.{_LANGUAGES[_primary(language)].module}")
    made: FrontEnd = module.front_end(language)
    return made


def sound_replacements(language: str) -> Mapping[str, str]:
    """Return letters of the network's alphabet that stand for another sound in this language: letter → sound."""
    return _LANGUAGES[_primary(language)].sound_replacements


def _primary(language: str) -> str:
    return language.casefold().partition("-")[0]
