"""Whether another virtual environment's Python can run an engine of ours: asked of it, and asked anew when it has changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from daemon.config.settings import ExternalEngine
from stages.tts.engines.coqui.library import PACKAGES, PINS

#: What our own part there is made with, and what each engine needs beside it.
_BASE = ("numpy", "pydantic", "yaml")
_VOICE = ("hibari", "onnxruntime")
WANTED = {"hibari": _VOICE, "kokoro": _VOICE, "xtts": PACKAGES, "coqui": (*PACKAGES, *_VOICE)}
#: The oldest Python that can read this program.
OLDEST = (3, 11)
#: What such a Python runs; it is not imported here, as it leads to every engine.
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
#: An interpreter that imports nothing answers at once, but not from a cold disk under load. s
_PATIENCE_S = 60.0


class _Said(BaseModel):
    """What a Python says of itself; see `stages.tts.engines.external.bootstrap`."""

    python: tuple[int, int]
    folders: list[str]
    lacking: list[str]
    versions: dict[str, str]


_Times = tuple[tuple[str, int], ...]
#: Answers by interpreter and question, with the times of the folders that they were true of.
_answers: dict[tuple[str, tuple[str, ...]], tuple[_Said, _Times]] = {}


def command(engine: ExternalEngine) -> list[str]:
    """What starts an engine's program."""
    return [engine.python, "-I", str(_BOOTSTRAP)] if engine.python else engine.command


def lacking(name: str, engine: ExternalEngine) -> tuple[str, str]:
    """Why an engine of ours cannot run under the Python named in config.yaml, and what to do; empty strings where it can."""
    python, key = engine.python, f"`engines.{name}.python`"
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        return f"{python} is no program that can be run", f"Make that environment, or mend {key}: docs/engines.md."
    try:
        said = _asked(python, (*_BASE, *WANTED[name]))
    except (OSError, ValidationError, subprocess.SubprocessError) as exc:
        return f"{python} does not answer as a Python does ({type(exc).__name__})", f"Mend {key}: docs/engines.md."
    if said.python < OLDEST:
        found, oldest = (".".join(map(str, version)) for version in (said.python, OLDEST))
        return f"{python} is Python {found}, and {oldest} is the oldest that will do", f"Mend {key}: docs/engines.md."
    if said.lacking:
        return f"{python} lacks {', '.join(said.lacking)}", "docs/engines.md says what belongs there."
    for package, wanted in PINS.items() if "TTS" in WANTED[name] else ():
        if said.versions[package] != wanted:
            why = f"{python} has {package} {said.versions[package]}; the engine was proven with {wanted}"
            return why, f"`{python} -m pip install {package}=={wanted}`."
    return "", ""


def _asked(python: str, wanted: tuple[str, ...]) -> _Said:
    """Its answer, or the one before while nothing was put into its folders or taken out.

    Raises:
        OSError, subprocess.SubprocessError, ValidationError: it is no Python.
    """
    if known := _answers.get((python, wanted)):
        said, times = known
        if times == _times(path for path, _ in times):
            return said
    ran = subprocess.run(
        [*command(ExternalEngine(python=python)), "--look", ",".join(wanted), ",".join(PINS)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S, check=True,
    )  # fmt: skip
    said = _Said.model_validate_json(ran.stdout)
    _answers[python, wanted] = said, _times([python, *said.folders])
    return said


def _times(paths: Iterable[str]) -> _Times:
    """When each was last changed; 0 for what is not there."""
    found = []
    for path in paths:
        try:
            found.append((path, os.stat(path).st_mtime_ns))
        except OSError:
            found.append((path, 0))
    return tuple(found)
