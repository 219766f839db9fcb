"""Whether the stages can be imported: tried in processes of their own, all at once, as some crash and some take seconds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

TIMEOUT_S = 120.0  # a cold disk under load


@dataclass(frozen=True)
class ImportCheck:
    """What one part of the work imports. `package`: whose version is told. `needed`: not only with `extra`."""

    name: str
    package: str
    modules: tuple[str, ...]
    needed: bool = True
    extra: str = ""


#: The stages' own modules and what they import late, so that this is what the workers will meet.
ENGINES = (
    ImportCheck("faces", "mediapipe", ("mediapipe", "stages.face.measure", "stages.face.landmarker")),
    ImportCheck(
        "voice",
        "hibari-tts",
        ("stages.tts.engines.hibari.engine", "stages.tts.synthesize", "hibari", "stages.tts.alignment.forced"),
    ),
    ImportCheck("lipsync", "numpy", ("stages.lipsync.motion", "stages.lipsync.mouth_from_phones")),
    ImportCheck(
        "encoder",
        "opencv-python-headless",
        ("cv2", "imageio_ffmpeg", "stages.encode.compose", "stages.encode.ffmpeg_command"),
    ),
)

#: Ends with 1, and the reason as its last line, where a module cannot be imported.
_SCRIPT = """
import importlib, importlib.metadata, sys
try:
    for name in {modules!r}:
        importlib.import_module(name)
    print(importlib.metadata.version({package!r}))
except Exception as exc:
    absent = isinstance(exc, ModuleNotFoundError)
    said = str(exc).strip().splitlines() or [type(exc).__name__]
    print(f"{{exc.name}} is not installed" if absent else f"{{name}} cannot be imported: {{said[-1]}}")
    sys.exit(1)
"""


def installed_engines() -> tuple[ImportCheck, ...]:
    """Return everything that this installation may work with: what every job needs, and what the extras bring."""
    from stages.generate import ready  # records only
    from stages.lipsync.registry import ENGINES as LIPSYNC  # these too
    from stages.transcribe.registry import RECOGNISERS  # these too

    drawing = (
        ImportCheck(one.name, one.packages[0], (*one.packages, one.module), needed=False, extra=one.extra)
        for one in LIPSYNC.values()
        if one.extra
    )
    hearing = (
        ImportCheck(one.name, next(iter(one.pins)), tuple(one.packages), needed=False, extra=one.extra)
        for one in RECOGNISERS
    )
    generating = ImportCheck(
        ready.ENGINE,
        ready.PACKAGES[0],
        (*ready.PACKAGES, "stages.generate.portrait"),
        needed=False,
        extra=ready.EXTRA,
    )
    return (*ENGINES, *drawing, generating, *hearing)


def try_imports(engines: tuple[ImportCheck, ...]) -> list[tuple[ImportCheck, bool, str]]:
    """Import what each engine needs: whether that went well, and the package's version or what went wrong."""
    running = [(engine, _start(engine)) for engine in engines]
    return [(engine, *_end(process)) for engine, process in running]


def _start(engine: ImportCheck) -> subprocess.Popen[str]:
    script = _SCRIPT.format(modules=engine.modules, package=engine.package)
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
    last = ((out if process.returncode == 1 else err).strip().splitlines() or ["it cannot be imported"])[-1]
    return process.returncode == 0, (out.split() or ["?"])[-1] if process.returncode == 0 else last


def first_line(exc: Exception) -> str:
    """What an exception says, without what programmers read it by; its kind where it says nothing."""
    return next(iter(str(exc).strip().splitlines()), "") or type(exc).__name__
