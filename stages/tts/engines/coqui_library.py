"""Imports coqui-tts, the library of the engines `coqui` and `xtts`, without the dependencies that are not needed here.

It requires two packages for sound files. It only checks that torchcodec exists, so an empty module of that name is enough.
ffmpeg decodes sound files beforehand (see `stages.tts.profiles.sample`).
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import logging
import sys
import threading
import types
import warnings

from daemon.errors import MachineError
from daemon.system.installation import packages_missing
from stages.gpu.torchaudio_import import import_torchaudio

#: The tested pair (tests/stages/tts/engines/test_xtts.py compares the network with and without its key cache): with another
#: version of transformers, coqui-tts fails at import or silently produces wrong speech.
PINS = {"coqui-tts": "0.28.0", "transformers": "5.23.0"}
#: The imported modules.
PACKAGES = ("torch", "torchaudio", "transformers", "TTS")

_lock = threading.Lock()


def import_coqui(module: str) -> types.ModuleType:
    """Import a module of coqui-tts, such as `TTS.tts.models.xtts`.

    Raises:
        MachineError: `engine-not-installed`, or `engine-version` for other versions than `PINS`.
    """
    if missing := packages_missing(PACKAGES, PINS, "xtts"):
        there = all(importlib.util.find_spec(name) for name in PACKAGES)
        raise MachineError("engine-version" if there else "engine-not-installed", f"{missing.why}.", missing.remedy)
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_torchaudio()
        _import_root_package()
        for name in ("TTS", "transformers.generation"):  # they log their settings for every sentence
            logging.getLogger(name).setLevel(logging.ERROR)
        return importlib.import_module(module)


def _import_root_package() -> None:
    """Import the package `TTS`, which checks for torchcodec only at its first import."""
    if importlib.util.find_spec("torchcodec") is None:
        name = types.ModuleType("torchcodec")
        name.__spec__ = importlib.machinery.ModuleSpec("torchcodec", None)
        sys.modules["torchcodec"] = name
        try:
            importlib.import_module("TTS")
        finally:
            del sys.modules["torchcodec"]
