"""torchaudio is imported without its compiled extension where that fits neither this machine nor this build of PyTorch."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stages.gpu.torchaudio_import import import_torchaudio

#: Both as torchaudio says them: where a library of CUDA's is lacking, and where it is there in another version.
REFUSALS = {
    "no CUDA": "OSError('Could not load this library: _torchaudio.abi3.so')",
    "another CUDA": "RuntimeError('Detected that PyTorch and TorchAudio were compiled with different CUDA versions.')",
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_an_extension_that_does_not_fit_is_left_out(
    refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a torchaudio whose extension refuses
    package = tmp_path / "torchaudio"
    (package / "_extension").mkdir(parents=True)
    (package / "__init__.py").write_text("from torchaudio._extension import _IS_TORCHAUDIO_EXT_AVAILABLE\n")
    (package / "_extension" / "__init__.py").write_text(f"raise {refusal}\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            patch.delitem(sys.modules, name)
        # When it is imported, then its Python part is there, and knows that the extension is not
        import_torchaudio()
        made = {name: sys.modules.pop(name) for name in ("torchaudio", "torchaudio._extension")}
    assert made["torchaudio"]._IS_TORCHAUDIO_EXT_AVAILABLE is False
