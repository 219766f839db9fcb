"""What `avatar doctor` looks at, one thing after the other. None of it changes anything, and none of it may end the doctor."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from daemon import models
from daemon.anchor import Anchor
from daemon.cli.finding import Finding, Verdict
from daemon.cli.imports import try_all
from daemon.cli.speechchecks import speech
from daemon.cli.voicechecks import voice_engines
from daemon.config import Settings
from daemon.errors import MachineError
from daemon.memory import limit_mb, machine_mb, memory_mb
from daemon.watcher import can_notify, filesystem_of


def _python(settings: Settings) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] <= (3, 12)
    yield Finding(
        "python", "good" if fits else "bad", version, "" if fits else "Set up again with Python 3.11 or 3.12."
    )


def _ffmpeg(settings: Settings) -> Iterator[Finding]:
    from stages.ffmpeg import ffmpeg_path

    try:
        path = ffmpeg_path()
        out = subprocess.run(
            [path, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except Exception as exc:  # whatever it is, it is the finding
        yield Finding("ffmpeg", "bad", str(exc), "Run the set-up again (`make setup`): it brings an ffmpeg.")
        return
    missing = [name for name in ("libx264", "aac") if name not in out]
    yield Finding(
        "ffmpeg",
        "bad" if missing else "good",
        str(path),
        f"This ffmpeg lacks {', '.join(missing)}; use the one the set-up brings." if missing else "",
    )


def _engines(settings: Settings) -> Iterator[Finding]:
    asked = settings.stages.lipsync.engine == "musetalk"
    for engine, works, found in try_all():
        if works:
            yield Finding(f"engine {engine.name}", "good", f"{engine.package} {found}")
        elif engine.needed:
            yield Finding(f"engine {engine.name}", "bad", found, "Run the set-up again: `make setup`.")
        else:
            remedy = f'Only for the engine {engine.name}: `pip install "avatard[{engine.name}]"`.'
            yield Finding(f"engine {engine.name}", "bad" if asked else "note", found, remedy)


def _models(settings: Settings) -> Iterator[Finding]:
    lipsync = settings.stages.lipsync
    engine = "musetalk" if lipsync.musetalk.version == "1.5" else "musetalk-v1"
    found = models.survey(engine, settings.paths.models)
    damaged = [f"{look.file.path} ({look.why})" for look in found if look.state == "damaged"]
    missing = [look.file.path for look in found if look.state == "missing"]
    what = f"{engine}'s model files"
    if damaged:
        remedy = f"Remove them, then `avatar models fetch {engine}`."
        yield Finding(what, "bad", f"damaged: {', '.join(damaged)}", remedy)
    elif missing:
        remedy = f"Only for the engine musetalk: `avatar models fetch {engine}`, `avatar models list`."
        verdict: Verdict = "bad" if lipsync.engine == "musetalk" else "note"
        yield Finding(what, verdict, f"{len(missing)} of {len(found)} missing, first {missing[0]}", remedy)
    else:
        yield Finding(what, "good", str(settings.paths.models))


def _folders(settings: Settings) -> Iterator[Finding]:
    for name in ("inbox", "outbox", "spool", "cache"):
        path: Path = getattr(settings.paths, name)
        yield _folder(name, path)
    kinds: tuple[Literal["inbox", "outbox"], ...] = ("inbox", "outbox")
    for kind in kinds:
        try:
            Anchor(getattr(settings.paths, kind), settings.paths.spool / f"{kind}.json", kind).look()
        except MachineError as exc:
            yield Finding(f"{kind} mount", "bad", exc.message, exc.hint)
    if settings.paths.inbox.is_dir():
        system, notified = filesystem_of(settings.paths.inbox), can_notify(settings.paths.inbox)
        yield Finding(
            "inbox filesystem",
            "good" if notified else "note",
            system,
            "" if notified else f"Changes there are not announced; it is looked at every {settings.intake.poll_s:g} s.",
        )


def _folder(name: str, path: Path) -> Finding:
    if not path.is_dir():
        return Finding(name, "note", f"{path} is not there yet", "`avatar run` makes it.")
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-") as file:
            os.fsync(file.fileno())
    except OSError as exc:
        return Finding(name, "bad", f"{path}: {exc.strerror}", f"Give user {os.getuid()} the right to write there.")
    return Finding(name, "good", str(path))


def _disk(settings: Settings) -> Iterator[Finding]:
    reserve = settings.intake.reserve_mb
    for name, what in (("spool", "New jobs are taken in"), ("outbox", "Results are delivered")):
        path: Path = getattr(settings.paths, name)
        if not path.is_dir():
            continue
        free = shutil.disk_usage(path).free / 1e6
        low = {"spool": reserve, "outbox": 1.0}[name]
        verdict: Verdict = "bad" if free < low else "note" if free < 2 * reserve else "good"
        remedy = f"{what} only with more than {low:.0f} MB: free some space."
        yield Finding(f"free disk ({name})", verdict, f"{free:.0f} MB", "" if verdict == "good" else remedy)


def _memory(settings: Settings) -> Iterator[Finding]:
    limit, child = limit_mb(), settings.lanes.memory_mb or memory_mb() / 2
    found = f"{machine_mb():.0f} MB"
    if limit is not None and limit < machine_mb():
        found += f", of which the control group allows {limit:.0f} MB"
    found += f"; a worker may take {child:.0f} MB"
    fits = child <= memory_mb()
    yield Finding("memory", "good" if fits else "bad", found, "" if fits else "Lower lanes.memory_mb, or set it to 0.")


def _gpu(settings: Settings) -> Iterator[Finding]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield Finding("gpu", "note", "none", "Nothing to do: the default engines run on the processor.")
        return
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            yield Finding(
                f"gpu {index}",
                "good",
                f"{pynvml.nvmlDeviceGetName(handle)}, {memory.free / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
            )
    except pynvml.NVMLError as exc:  # it fell off the bus, or a driver update waits for a restart
        yield Finding("gpu", "bad", f"it does not answer: {exc}", "See `nvidia-smi` and `dmesg`; restart the machine.")
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _ffmpeg,
    _engines,
    _models,
    voice_engines,
    speech,
    _folders,
    _disk,
    _memory,
    _gpu,
)


def findings(settings: Settings) -> Iterator[Finding]:
    """All of them; a look that fails is a finding."""
    for check in CHECKS:
        try:
            yield from check(settings)
        except Exception as exc:
            yield Finding(
                check.__name__.strip("_"), "bad", f"{type(exc).__name__}: {exc}", "This could not be looked at."
            )
