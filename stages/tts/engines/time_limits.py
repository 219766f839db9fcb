"""How long an engine may honestly take, so that work is not ended for being slow, and a hang is."""

from __future__ import annotations

from daemon.config.settings import ExternalEngine, Settings
from stages.tts.engines.base import Piece
from stages.tts.engines.registry import tries_of

#: What an engine has whose program is not its own.
_DEFAULTS = ExternalEngine()


def start_limit_s(engine: str, settings: Settings) -> float:
    """Until it can speak, with its model read from a cold disk. s"""
    return settings.engines.get(engine, _DEFAULTS).start_s


def say_limit_s(engine: str, piece: Piece, settings: Settings) -> float:
    """Until a piece is said: a slow processor needs it for each character, and at each of its tries. s"""
    terms = settings.engines.get(engine, _DEFAULTS)
    return terms.say_s + terms.say_char_s * tries_of(engine, settings) * sum(map(len, piece.words)) / min(
        1.0, piece.speed
    )
