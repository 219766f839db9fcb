"""Imports coqui-tts, the library of the engines `coqui` and `xtts`, without the dependencies that are not needed here.

It requires two packages for sound files. It only checks that torchcodec exists, so an empty module of that name is enough.
torchaudio has a compiled extension for one version of CUDA; where that cannot be loaded, its Python part is enough.
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


def import_torchaudio() -> None:
    """Import torchaudio, without its compiled extension where that cannot be loaded."""
    try:
        importlib.import_module("torchaudio")
    except OSError:  # its compiled extension needs CUDA
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        absent = types.ModuleType("torchaudio._extension")
        vars(absent).update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=lambda function: function)
        sys.modules[absent.__name__] = absent
        importlib.import_module("torchaudio")


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
