"""What every voice engine is: something that says a piece of text and may know when each phone is heard.

The stage (`stages.tts.synthesize`) does the rest for all of them alike: sentences, pieces, pauses, trimming, level, timing.json.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from stages.tts.timing import Phone, Samples


@dataclass(frozen=True)
class Piece:
    """What an engine is asked to say: a sentence, a clause of a long one, or several very short ones (`needs`).

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
class Spoken:
    """What came of a piece, or of a part of it.

    Attributes:
        samples: float32 [n], mono, nominally within ±1, at the engine's rate. Empty where nothing could be said.
        phones: times in s from the first sample; `word` indexes the piece's words. None where the engine does not know
            them: then the piece must come whole, in one `Spoken`, and the stage aligns it with its words.
        warnings: sentences for the status.
    """

    samples: Samples
    phones: tuple[Phone, ...] | None
    warnings: tuple[str, ...] = ()


class Engine(Protocol):
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

    def say(self, piece: Piece) -> Iterator[Spoken]:
        """Say a piece, in one part or several.

        Raises:
            JobError: the text cannot be said.
            MachineError: a file, the memory or the GPU fails.
        """
        ...

    def otherwise(self) -> Engine | None:
        """The same voice, computed in another way, for what came out wrong; None where there is no other way."""
        ...
