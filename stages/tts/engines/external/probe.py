"""Checks whether another virtual environment's Python can run a built-in engine; repeats the check when it has changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from daemon.config.stage_settings import ExternalEngine
from daemon.system.installation import Missing
from stages.tts.engines.base import TtsEngine

#: Modules that `host` imports.
_BASE_PACKAGES = ("numpy", "pydantic", "yaml")
#: The oldest Python version that can run this program.
OLDEST_PYTHON = (3, 11)
#: The program that such a Python runs. Not imported here, because it imports every engine.
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
#: Time limit of the check, long enough for a cold disk under load. s
_PROBE_TIMEOUT_S = 60.0


class _PythonReport(BaseModel):
    """What `stages.tts.engines.external.bootstrap --look` prints."""

    python: tuple[int, int]
    folders: list[str]
    lacking: list[str]
    versions: dict[str, str]


_Mtimes = tuple[tuple[str, int], ...]
#: (interpreter, modules, packages) → its report, and the modification times of its folders then.
_reports: dict[tuple[str, tuple[str, ...], tuple[str, ...]], tuple[_PythonReport, _Mtimes]] = {}


def engine_command(engine: ExternalEngine) -> list[str]:
    """Return the command that starts an engine's program."""
    return [engine.python, "-I", str(_BOOTSTRAP)] if engine.python else engine.command


def missing_in_python(engine: TtsEngine, program: ExternalEngine) -> Missing | None:
    """Return why a built-in engine cannot run under the Python named in config.yaml; None if it can."""
    python, remedy = program.python, f"correct `engines.{engine.name}.python`: docs/engines.md."
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        return Missing(f"{python} is not an executable program", f"Create that environment, or {remedy}")
    try:
        said = _ask_python(python, (*_BASE_PACKAGES, *engine.packages), tuple(engine.pins))
    except (OSError, ValidationError, subprocess.SubprocessError) as exc:
        return Missing(f"{python} does not answer like a Python interpreter ({type(exc).__name__})", f"C{remedy[1:]}")
    if said.python < OLDEST_PYTHON:
        found, oldest = (".".join(map(str, version)) for version in (said.python, OLDEST_PYTHON))
        return Missing(f"{python} is Python {found}; at least {oldest} is needed", f"C{remedy[1:]}")
    if said.lacking:
        return Missing(f"{python} lacks {', '.join(said.lacking)}", "docs/engines.md lists the packages.")
    for package, wanted in engine.pins.items():
        if said.versions[package] != wanted:
            why = f"{python} has {package} {said.versions[package]}; the engine was tested with {wanted}"
            return Missing(why, f"`{python} -m pip install {package}=={wanted}`.")
    return None


def _ask_python(python: str, modules: tuple[str, ...], packages: tuple[str, ...]) -> _PythonReport:
    """Return an interpreter's report, cached until something in its folders changes.

    Raises:
        OSError, subprocess.SubprocessError, ValidationError: it is not a Python interpreter.
    """
    if known := _reports.get((python, modules, packages)):
        said, times = known
        if times == _mtimes(path for path, _ in times):
            return said
    ran = subprocess.run(
        [*engine_command(ExternalEngine(python=python)), "--look", ",".join(modules), ",".join(packages)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=True,
    )  # fmt: skip
    said = _PythonReport.model_validate_json(ran.stdout)
    _reports[python, modules, packages] = said, _mtimes([python, *said.folders])
    return said


def _mtimes(paths: Iterable[str]) -> _Mtimes:
    """Return each path with its modification time in ns; 0 for one that does not exist."""
    found = []
    for path in paths:
        try:
            found.append((path, os.stat(path).st_mtime_ns))
        except OSError:
            found.append((path, 0))
    return tuple(found)
