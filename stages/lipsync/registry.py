"""Lists the lip-sync engines by name: those of `LIPSYNC_ENGINES`, a module of `stages.lipsync.engines` each."""

from __future__ import annotations

import importlib
from typing import Any

from daemon.config.engines import LIPSYNC_ENGINES
from stages.lipsync.engines.base import LipsyncEngine


def _record(name: str) -> LipsyncEngine:
    module: Any = importlib.import_module(f"stages.lipsync.engines.{name}")
    engine: LipsyncEngine = module.ENGINE
    return engine


ENGINES: dict[str, LipsyncEngine] = {name: _record(name) for name in LIPSYNC_ENGINES}
