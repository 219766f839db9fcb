"""Imports torchaudio, whose compiled extension is for one version of CUDA: its Python part is enough.

transformers imports torchaudio wherever it is installed.
"""

from __future__ import annotations

import importlib
import sys
import types


def import_torchaudio() -> None:
    """Import torchaudio, without its compiled extension where that cannot be loaded."""
    try:
        importlib.import_module("torchaudio")
    # OSError: the extension needs CUDA. RuntimeError: another version of CUDA than PyTorch's, which it says itself where both are
    # of the same main version (torchaudio._extension.utils, _check_cuda_version).
    except (OSError, RuntimeError):
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        absent = types.ModuleType("torchaudio._extension")
        vars(absent).update(_IS_TORCHAUDIO_EXT_AVAILABLE=False, fail_if_no_align=lambda function: function)
        sys.modules[absent.__name__] = absent
        importlib.import_module("torchaudio")
