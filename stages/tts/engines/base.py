"""Defines a voice engine: its record, its voices, and the protocol of a loaded voice. Imports nothing heavy.

The stage (`stages.tts.synthesize`) does the rest for all engines: sentences, pieces, pauses, trimming, levels, timing.json.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from daemon.config import Settings
from daemon.system.installation import Missing
from stages.context import Facts
from stages.model_files.catalogue import ModelPart

if TYPE_CHECKING:  # so that voices can be listed without numpy
    from stages.tts.timing import Phone, Samples


@dataclass(frozen=True)
class Piece:
    """The text that a voice says at once: a sentence, a part of a long one, or several very short ones (`TextNeeds`).

    Attributes:
        words: as spoken, punctuation attached; never empty.
        language: BCP 47 tag.
        speed: 1 is the voice's own pace; 2 twice as fast.
        seed: the only source of randomness; derived from the words and how often they came before, so that an edit elsewhere
            changes nothing.
        sounds: index of a word → its entry in the lexicon: /phonemes/, or a respelling such as AV-uh-tar. An engine that
            takes no phonemes says the word itself.
    """

    words: tuple[str, ...]
    language: str
    speed: float
    seed: tuple[int, ...]
    sounds: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SpokenPart:
    """The speech of a piece, or of a part of it.

    Attributes:
        samples: float32 [n], mono, nominally within ±1, at the voice's rate. Empty where nothing could be said.
        phones: times in s from the first sample; `word` indexes the piece's words. None where the engine gives no times:
            then the whole piece must be one `SpokenPart`, and the stage aligns it with its words.
        warnings: sentences for the status file.
    """

    samples: Samples
    phones: tuple[Phone, ...] | None
    warnings: tuple[str, ...] = ()


class LoadedVoice(Protocol):
    """A voice in memory, ready to speak. The process keeps it for later jobs."""

    @property
    def sample_rate(self) -> int:
        """Rate of its speech, Hz."""

    @property
    def method(self) -> Literal["exact", "aligned"]:
        """Source of its times: "exact" (the engine) or "aligned" (forced alignment)."""

    @property
    def licence(self) -> str:
        """Licence of its speech, for the status file."""

    def say(self, piece: Piece) -> Iterator[SpokenPart]:
        """Synthesize a piece, in one part or several.

        Raises:
            JobError: the text cannot be spoken.
            MachineError: a file, the memory or the GPU fails.
        """
        ...

    def fallback_voice(self) -> LoadedVoice | None:
        """Return the same voice computed in another way, for pieces that came out wrong; None where there is none."""
        ...


@dataclass(frozen=True)
class Voice:
    """One voice of one engine.

    Attributes:
        engine: name of its engine in config.yaml and manifests.
        name: unique within the engine.
        languages: BCP 47 tags of the languages that it speaks, its native one first.
        gender: "female", "male", or empty where unknown.
        licence: of its speech.
        model: its own file or folder, where it has one.
        aliases: other names for it, such as the id of a voice profile.
        is_profile: True for the voice of a person, which is used only when a manifest names it.
        missing: why it cannot be used here, and what to do; None where it can.
        about: what else is known or was measured of it, such as its pitch, as a phrase; empty for nothing.
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
    about: str = ""

    @property
    def id(self) -> str:
        """Return `engine/name`, which is unique."""
        return f"{self.engine}/{self.name}"

    @property
    def installed(self) -> bool:
        """Whether it can be used here."""
        return self.missing is None

    @property
    def british(self) -> bool:
        """Whether its native language is British English."""
        return self.languages[0] == "en-GB"

    def speaks(self, language: str) -> bool:
        """Return whether it speaks the language of a BCP 47 tag, in any region."""
        return primary_language(language) in map(primary_language, self.languages)

    def is_called(self, wanted: str) -> bool:
        """Return whether `wanted`, in lower case, is a name of this voice."""
        return wanted in (name.casefold() for name in (self.name, self.id, *self.aliases))


def primary_language(language: str) -> str:
    """Return the language of a BCP 47 tag without its region: "en" for "en-GB"."""
    return language.casefold().partition("-")[0]


@dataclass(frozen=True)
class TextNeeds:
    """Preparation of the text that an engine needs in addition to that for all engines.

    Attributes:
        least_letters: shortest text that it says well; a shorter sentence is joined to its neighbour.
        in_words: English numbers, times and dates must be written in words, because its front end misreads figures.
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
    """The record of a voice engine: `ENGINE` in the package `stages.tts.engines.NAME`.

    Attributes:
        name: in config.yaml and manifests; listed in `daemon.config.engines.TTS_ENGINES`.
        voices: lists its voices, installed or not, in order of preference; cheap.
        load: loads a voice, and keeps what is expensive to load for later jobs.
        packages: modules that it imports; another Python that runs it must have them.
        pins: package → the version that was tested.
        extra: the extra of pyproject.toml that installs the packages; empty where the base install has them.
        models: its model files, by their names in `avatar models`; empty where it needs none.
        named_models: returns the files of a voice that is fetched by its own name, `avatar models fetch ENGINE/NAME`; None
            where no voice can have that name.
        needs: preparation of the text.
        tries: how often it may say a piece until nothing is wrong; multiplies the time limit.
        refused: the setting without which it may not be used, such as the acceptance of its licence.
        missing: its missing files, as far as that is cheap to find out. `registry.engine_missing` checks packages,
            `voices` the files of a single voice.
        verify: like `missing`, but reads the files completely; for `avatar doctor`.
        wanted: True if config.yaml enables it other than by naming it as the engine.
        no_voices: what to do where nothing is missing and it still has no voice.
        unload: frees the GPU memory of its networks; the next `load` loads them again. Returns the memory that this process
            holds on the GPU afterwards, empty if nothing was loaded there.
    """

    name: str
    voices: Callable[[Settings], Sequence[Voice]]
    load: Callable[[Voice, Settings], LoadedVoice]
    packages: tuple[str, ...]
    pins: Mapping[str, str] = field(default_factory=dict)
    extra: str = ""
    models: Mapping[str, tuple[ModelPart, ...]] = field(default_factory=dict)
    named_models: Callable[[str], tuple[ModelPart, ...] | None] | None = None
    needs: TextNeeds = TextNeeds()
    tries: Callable[[Settings], int] = _one_try
    refused: Callable[[Settings], Missing | None] = _nothing_missing
    missing: Callable[[Settings], Missing | None] = _nothing_missing
    verify: Callable[[Settings], Missing | None] = _nothing_missing
    wanted: Callable[[Settings], bool] = _not_wanted
    no_voices: str = ""
    unload: Callable[[], Facts] = dict

    @property
    def fetches(self) -> bool:
        """True if its voices need files that are fetched."""
        return bool(self.models) or self.named_models is not None
