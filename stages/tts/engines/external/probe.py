"""Whether another virtual environment's Python can run an engine of ours: asked of it, and asked anew when it has changed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from daemon.config.settings import ExternalEngine
from daemon.system.installation import Missing
from stages.tts.engines.base import TtsEngine

#: What our own part there is made with.
_BASE_PACKAGES = ("numpy", "pydantic", "yaml")
#: The oldest Python that can read this program.
OLDEST_PYTHON = (3, 11)
#: What such a Python runs; it is not imported here, as it leads to every engine.
_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")
#: An interpreter that imports nothing answers at once, but not from a cold disk under load. s
_PROBE_TIMEOUT_S = 60.0


class _PythonReport(BaseModel):
    """What a Python says of itself; see `stages.tts.engines.external.bootstrap`."""

    python: tuple[int, int]
    folders: list[str]
    lacking: list[str]
    versions: dict[str, str]


_Mtimes = tuple[tuple[str, int], ...]
#: Answers by interpreter and question, with the times of the folders that they were true of.
_reports: dict[tuple[str, tuple[str, ...], tuple[str, ...]], tuple[_PythonReport, _Mtimes]] = {}


def engine_command(engine: ExternalEngine) -> list[str]:
    """What starts an engine's program."""
    return [engine.python, "-I", str(_BOOTSTRAP)] if engine.python else engine.command


def missing_in_python(engine: TtsEngine, program: ExternalEngine) -> Missing | None:
    """What keeps an engine of ours from running under the Python named in config.yaml."""
    python, mend = program.python, f"mend `engines.{engine.name}.python`: docs/engines.md."
    if not os.access(python, os.X_OK) or Path(python).is_dir():
        return Missing(f"{python} is no program that can be run", f"Make that environment, or {mend}")
    try:
        said = _ask_python(python, (*_BASE_PACKAGES, *engine.packages), tuple(engine.pins))
    except (OSError, ValidationError, subprocess.SubprocessError) as exc:
        return Missing(f"{python} does not answer as a Python does ({type(exc).__name__})", f"M{mend[1:]}")
    if said.python < OLDEST_PYTHON:
        found, oldest = (".".join(map(str, version)) for version in (said.python, OLDEST_PYTHON))
        return Missing(f"{python} is Python {found}, and {oldest} is the oldest that will do", f"M{mend[1:]}")
    if said.lacking:
        return Missing(f"{python} lacks {', '.join(said.lacking)}", "docs/engines.md says what belongs there.")
    for package, wanted in engine.pins.items():
        if said.versions[package] != wanted:
            why = f"{python} has {package} {said.versions[package]}; the engine was proven with {wanted}"
            return Missing(why, f"`{python} -m pip install {package}=={wanted}`.")
    return None


def _ask_python(python: str, modules: tuple[str, ...], packages: tuple[str, ...]) -> _PythonReport:
    """Its answer, or the one before while nothing was put into its folders or taken out.

    Raises:
        OSError, subprocess.SubprocessError, ValidationError: it is no Python.
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
    """When each was last changed; 0 for what is not there."""
    found = []
    for path in paths:
        try:
            found.append((path, os.stat(path).st_mtime_ns))
        except OSError:
            found.append((path, 0))
    return tuple(found)
