"""What a voice engine is: its record, its voices, and what a loaded one does. Imports nothing heavy.

The stage (`stages.tts.synthesize`) does the rest for all of them alike: sentences, pieces, pauses, trimming, level, timing.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from daemon.config import Settings
from daemon.system.installation import Missing
from stages.model_files.catalogue import Part

if TYPE_CHECKING:  # so that voices can be listed without numpy
    from stages.tts.timing import Phone, Samples


@dataclass(frozen=True)
class Piece:
    """What an engine is asked to say: a sentence, a clause of a long one, or several very short ones (`TextNeeds`).

    Attributes:
        words: as they are to be said, punctuation attached; never empty.
        language: BCP 47 tag.
        speed: 1 is the voice's own pace; 2 twice as fast.
        seed: of the place in the text, so that an edit elsewhere changes nothing here. What is random uses only this.
        sounds: index of a word → how the lexicon says it: /phonemes/, or a respelling such as AV-uh-tar. An engine that
            reads no phonemes says the word itself.
    """

    words: tuple[str, ...]
    language: str
    speed: float
    seed: tuple[int, ...]
    sounds: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SpokenPart:
    """What came of a piece, or of a part of it.

    Attributes:
        samples: float32 [n], mono, nominally within ±1, at the engine's rate. Empty where nothing could be said.
        phones: times in s from the first sample; `word` indexes the piece's words. None where the engine does not know
            them: then the piece must come whole, in one `SpokenPart`, and the stage aligns it with its words.
        warnings: sentences for the status.
    """

    samples: Samples
    phones: tuple[Phone, ...] | None
    warnings: tuple[str, ...] = ()


class LoadedVoice(Protocol):
    """A loaded voice, kept for the jobs that follow in this process.

    Attributes:
        sample_rate: Hz.
        method: how its times are known: "exact" (the engine's own) or "aligned" (found in the sound).
        licence: of what it says, for the status.
    """

    @property
    def sample_rate(self) -> int: ...
    @property
    def method(self) -> Literal["exact", "aligned"]: ...
    @property
    def licence(self) -> str: ...

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Say a piece, in one part or several.

        Raises:
            JobError: the text cannot be said.
            MachineError: a file, the memory or the GPU fails.
        """
        ...

    def fallback_voice(self) -> LoadedVoice | None:
        """The same voice, computed in another way, for what came out wrong; None where there is no other way."""
        ...


@dataclass(frozen=True)
class Voice:
    """One voice of one engine.

    Attributes:
        engine: its name in config.yaml and manifests.
        name: the voice's own name; several engines may have one of the same name.
        languages: BCP 47 tags of what it speaks, its own first.
        gender: "female", "male", or empty where it is not known.
        licence: of what it says.
        model: its file, where it has one of its own.
        aliases: other names it is found by, such as the id of a voice profile.
        is_profile: it is a person's, and only spoken with when it is asked for.
        missing: why it cannot be used here, and what to do; None where it can.
    """

    engine: str
    name: str
    languages: tuple[str, ...]
    gender: str
    licence: str
    model: Path = Path()
    aliases: tuple[str, ...] = ()
    is_profile: bool = False
    missing: Missing | None = None

    @property
    def id(self) -> str:
        """The name that no other voice has."""
        return f"{self.engine}/{self.name}"

    @property
    def installed(self) -> bool:
        return self.missing is None

    @property
    def british(self) -> bool:
        return self.languages[0] == "en-GB"

    def speaks(self, language: str) -> bool:
        """Whether it speaks a language, in whatever regional form."""
        return primary_language(language) in map(primary_language, self.languages)

    def is_called(self, wanted: str) -> bool:
        """Whether a manifest means this voice; `wanted` is in lower case."""
        return wanted in (name.casefold() for name in (self.name, self.id, *self.aliases))


def primary_language(language: str) -> str:
    """The language of a tag without its region: "en" for "en-GB"."""
    return language.casefold().partition("-")[0]


@dataclass(frozen=True)
class TextNeeds:
    """What the network of an engine needs of the text, beyond what all voices are given.

    Attributes:
        least_letters: fewest that it says well at once; a shorter sentence is said together with its neighbour.
        in_words: its own front end reads figures badly in English ("7:30" as "seven thirty" it does not), so it gets words.
    """

    least_letters: int = 0
    in_words: bool = False


def _nothing_missing(_: Settings) -> Missing | None:
    return None


def _one_try(_: Settings) -> int:
    return 1


def _not_wanted(_: Settings) -> bool:
    return False


@dataclass(frozen=True)
class TtsEngine:
    """One voice engine, as everybody else knows it: `ENGINE` in the package `stages.tts.engines.NAME`.

    Attributes:
        name: in config.yaml and manifests; listed in `daemon.config.settings.TTS_ENGINES`.
        voices: its voices, installed or not, in the order in which they are taken; cheap.
        load: the engine, speaking with a voice. What is heavy it keeps for the jobs that follow.
        packages: modules that it imports; another Python must have them.
        pins: package → the version that it was proven with.
        extra: of pyproject.toml, that brings the packages; empty where the base install has them.
        models: its model files, by what `avatar models` calls them; empty where it needs none.
        needs: what it needs of the text.
        tries: how often it may say a piece to get it right, which takes as much longer.
        refused: what config.yaml has yet to say before the engine may be used, such as that its licence is accepted.
        missing: what of its own files is missing, as far as that is cheap to know. Packages are looked at by
            `registry.engine_missing`, a voice's own files by `voices`.
        verify: what only reading the files whole can tell, for `avatar doctor`.
        wanted: whether config.yaml says that it is to be used, other than by naming it as the engine.
        no_voices: what to do where nothing is missing and it still has no voice.
    """

    name: str
    voices: Callable[[Settings], Sequence[Voice]]
    load: Callable[[Voice, Settings], LoadedVoice]
    packages: tuple[str, ...]
    pins: Mapping[str, str] = field(default_factory=dict)
    extra: str = ""
    models: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    needs: TextNeeds = TextNeeds()
    tries: Callable[[Settings], int] = _one_try
    refused: Callable[[Settings], Missing | None] = _nothing_missing
    missing: Callable[[Settings], Missing | None] = _nothing_missing
    verify: Callable[[Settings], Missing | None] = _nothing_missing
    wanted: Callable[[Settings], bool] = _not_wanted
    no_voices: str = ""
