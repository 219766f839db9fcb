"""Defines what a recogniser is: the record that describes it, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from daemon.config import Settings
from daemon.system.installation import Missing
from stages.media.wav import Samples

#: Sample rate that every recogniser expects. Hz
RATE = 16_000


@dataclass(frozen=True)
class HeardWord:
    """One recognised word: punctuation attached; its first and last moment, s."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Heard:
    """What was recognised in a sound.

    Attributes:
        text: the words as written; empty for none.
        language: primary language tag, such as "fr".
        words: the words with times; empty where the recogniser measures none.
    """

    text: str
    language: str
    words: tuple[HeardWord, ...] = ()


class LoadedRecogniser(Protocol):
    """A recogniser that is ready."""

    def hear(self, samples: Samples, language: str) -> Heard:
        """Recognise the words of at most half a minute of sound.

        Args:
            samples: float32 [n], mono, ±1, at `RATE`.
            language: primary tag; empty: the recogniser finds it out, where it can.
        """


@dataclass(frozen=True)
class Recogniser:
    """Describes a recogniser. Importing the module that makes it imports no package of the extra.

    Attributes:
        name: shown in the status.
        extra: extra of pyproject.toml that contains its packages.
        packages: modules that must be importable.
        pins: package → the version that was tested.
        missing: returns why it cannot be used with these settings; None if it can. Does not look at `packages`.
        languages: returns the primary tags of its languages with these settings; None for all.
        load: loads it; the context manager releases its memory.
    """

    name: str
    extra: str
    packages: Sequence[str]
    missing: Callable[[Settings], Missing | None]
    languages: Callable[[Settings], frozenset[str] | None]
    load: Callable[[Settings], AbstractContextManager[LoadedRecogniser]]
    pins: Mapping[str, str] = field(default_factory=dict)
