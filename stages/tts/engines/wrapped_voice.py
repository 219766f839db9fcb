"""The base of voices that change how another voice speaks and leave the rest to it."""

from __future__ import annotations

from typing import Literal

from stages.tts.engines.base import LoadedVoice


class WrappedVoice:
    """Has the properties of the voice `_engine`, as `LoadedVoice` describes them; a subclass adds `say`."""

    def __init__(self, engine: LoadedVoice) -> None:
        self._engine = engine

    @property
    def sample_rate(self) -> int:
        """Samples per second, in Hz."""
        return self._engine.sample_rate

    @property
    def method(self) -> Literal["exact", "aligned"]:
        """Source of its times."""
        return self._engine.method

    @property
    def licence(self) -> str:
        """Licence of its speech."""
        return self._engine.licence

    def fallback_voice(self) -> LoadedVoice | None:
        """Return the fallback of the wrapped voice."""
        return self._engine.fallback_voice()
