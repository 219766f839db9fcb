"""Whether the stages can be imported: tried in processes of their own, all at once, as some crash and some take seconds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

TIMEOUT_S = 120.0  # a cold disk under load


@dataclass(frozen=True)
class Engine:
    """What one part of the work imports. `package`: whose version is told. `needed`: not only with an extra."""

    name: str
    package: str
    modules: tuple[str, ...]
    needed: bool = True


#: The stages' own modules and what they import late, so that this is what the workers will meet.
ENGINES = (
    Engine("faces", "mediapipe", ("mediapipe", "stages.face.work", "stages.face.landmarker")),
    Engine("voice", "hibari-tts", ("stages.tts.hibari", "stages.tts.speak", "hibari")),
    Engine("lipsync", "numpy", ("stages.lipsync.work", "stages.lipsync.speak")),
    Engine(
        "encoder", "opencv-python-headless", ("cv2", "imageio_ffmpeg", "stages.encode.compose", "stages.encode.ffmpeg")
    ),
    Engine("musetalk", "torch", ("torch", "safetensors.torch", "stages.lipsync.musetalk.work"), needed=False),
)


def try_all(engines: tuple[Engine, ...] = ENGINES) -> list[tuple[Engine, bool, str]]:
    """Import what each engine needs: whether that went well, and the package's version or what went wrong."""
    running = [(engine, _start(engine)) for engine in engines]
    return [(engine, *_end(process)) for engine, process in running]


def _start(engine: Engine) -> subprocess.Popen[str]:
    script = (
        f"import importlib, importlib.metadata\nfor name in {engine.modules!r}: importlib.import_module(name)\n"
        f"print(importlib.metadata.version({engine.package!r}))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _end(process: subprocess.Popen[str]) -> tuple[bool, str]:
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return False, f"its import took longer than {TIMEOUT_S:.0f} s"
    if process.returncode < 0:
        return False, f"its import ended with signal {-process.returncode}"
    last = (err.strip().splitlines() or ["it cannot be imported"])[-1]
    return process.returncode == 0, (out.split() or ["?"])[-1] if process.returncode == 0 else last
