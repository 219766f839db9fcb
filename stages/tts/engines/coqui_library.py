"""Imports coqui-tts, the library of the engines `coqui` and `xtts`, without what of it is not used here.

It wants two packages that read and write sound files. torchcodec is only looked for, so its name is enough; torchaudio's
own packages have a compiled part for one version of CUDA, and where that cannot be loaded (on a machine without CUDA) the
rest of it does all that is needed. Sound files are read by ffmpeg, before (see `stages.tts.profiles.sample`).
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

#: The one pair whose networks were compared with and without their cache of keys (tests/stages/tts/engines/test_xtts.py): with
#: another transformers the same coqui-tts fails at import, or speaks nonsense without a word.
PINS = {"coqui-tts": "0.28.0", "transformers": "5.23.0"}
#: What is imported.
PACKAGES = ("torch", "torchaudio", "transformers", "TTS")

_lock = threading.Lock()


def import_coqui(module: str) -> types.ModuleType:
    """A module of coqui-tts, such as `TTS.tts.models.xtts`.

    Raises:
        MachineError: `engine-not-installed`, or `engine-version` for other versions than `PINS`.
    """
    if missing := packages_missing(PACKAGES, PINS, "xtts"):
        there = all(importlib.util.find_spec(name) for name in PACKAGES)
        raise MachineError("engine-version" if there else "engine-not-installed", f"{missing.why}.", missing.remedy)
    with _lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _import_torchaudio()
        _import_root_package()
        for name in ("TTS", "transformers.generation"):  # they tell of their own settings at every sentence
            logging.getLogger(name).setLevel(logging.ERROR)
        return importlib.import_module(module)


def _import_torchaudio() -> None:
    try:
        importlib.import_module("torchaudio")
    except OSError:  # its compiled part wants CUDA
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        absent = types.ModuleType("torchaudio._extension")
        vars(absent).update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=lambda function: function)
        sys.modules[absent.__name__] = absent
        importlib.import_module("torchaudio")


def _import_root_package() -> None:
    """The package itself, which looks for torchcodec once, when it is imported."""
    if importlib.util.find_spec("torchcodec") is None:
        name = types.ModuleType("torchcodec")
        name.__spec__ = importlib.machinery.ModuleSpec("torchcodec", None)
        sys.modules["torchcodec"] = name
        try:
            importlib.import_module("TTS")
        finally:
            del sys.modules["torchcodec"]
