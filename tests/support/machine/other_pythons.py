"""Virtual environments with some of this one's packages: links to them, so that each costs a second and no download."""

from __future__ import annotations

import sysconfig
import venv
from pathlib import Path

from tests.conftest import ROOT

#: What coqui-tts brings, and what it must not meet in another version.
COQUI = frozenset({"torch", "torchaudio", "transformers", "TTS", "coqui_tts", "tokenizers"})
#: What the base install brings and the engine xtts does not use.
BASE = frozenset({
    "hibari", "hibari_tts", "onnxruntime", "mediapipe", "soundswallower", "structlog", "click", "rich", "watchdog",
    "prometheus_client", "pynvml", "cv2", "opencv_python_headless", "imageio_ffmpeg", "ffmpeg", "pytest", "_pytest",
})  # fmt: skip


def environment(folder: Path, without: frozenset[str], *, installed: bool = False) -> Path:
    """Make one and return its Python. `installed`: this program lies among its packages, as in an installed service."""
    venv.create(folder, symlinks=True)
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        name = path.name.partition("-")[0].partition(".")[0]
        if name not in without and not name.startswith(("__editable__", "avatard", "__pycache__")):
            (packages(folder) / path.name).symlink_to(path)
    if installed:
        for name in ("daemon", "stages"):
            (packages(folder) / name).symlink_to(ROOT / name)
    return folder / "bin" / "python"


def packages(folder: Path) -> Path:
    """Where an environment's packages lie."""
    return next((folder / "lib").glob("python3*")) / "site-packages"
