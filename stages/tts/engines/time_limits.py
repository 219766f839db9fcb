"""Time limits of engines: long enough for slow processors, short enough to end a hang."""

from __future__ import annotations

from daemon.config import Settings
from daemon.config.stage_settings import ExternalEngine
from stages.tts.engines.base import Piece
from stages.tts.engines.registry import tries_of

#: Limits of an engine without an entry under `engines`.
_DEFAULTS = ExternalEngine()


def start_limit_s(engine: str, settings: Settings) -> float:
    """Return the limit for loading an engine, its model read from a cold disk, in s."""
    return settings.engines.get(engine, _DEFAULTS).start_s


def say_limit_s(engine: str, piece: Piece, settings: Settings) -> float:
    """Return the limit for saying a piece, in s; grows with its characters and the engine's tries."""
    terms = settings.engines.get(engine, _DEFAULTS)
    return terms.say_s + terms.say_char_s * tries_of(engine, settings) * sum(map(len, piece.words)) / min(
        1.0, piece.speed
    )
