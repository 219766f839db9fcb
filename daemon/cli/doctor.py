"""`avatar doctor`: is everything there that the service needs, and what to do where it is not."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import click

from daemon import models
from daemon.cli.common import Shell, json_option, show
from daemon.config import Settings
from daemon.watcher import can_notify, filesystem_of

Verdict = Literal["good", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `remedy` says what to do when it is not good."""

    what: str
    verdict: Verdict
    found: str
    remedy: str = ""


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


def _packages(settings: Settings) -> Iterator[Finding]:
    for name, use in (
        ("mediapipe", "finding faces"),
        ("hibari-tts", "the voice"),
        ("onnxruntime", "the voice"),
        ("opencv-python-headless", "pictures"),
    ):
        try:
            yield Finding(name, "good", importlib.metadata.version(name))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(name, "bad", f"missing ({use})", "Run the set-up again: `make setup`.")


def _models(settings: Settings) -> Iterator[Finding]:
    found = models.survey("musetalk", settings.paths.models)
    lacking = [look.file.path for look in found if not look.usable]
    yield Finding(
        "musetalk's model files",
        "note" if lacking else "good",
        f"{len(lacking)} of {len(found)} missing or damaged" if lacking else str(settings.paths.models),
        "Only for the engine musetalk: `avatar models fetch`, `avatar models list`." if lacking else "",
    )


def _folders(settings: Settings) -> Iterator[Finding]:
    for name in ("inbox", "outbox", "spool", "cache"):
        path: Path = getattr(settings.paths, name)
        yield _folder(name, path)
    if settings.paths.inbox.is_dir():
        kind, notified = filesystem_of(settings.paths.inbox), can_notify(settings.paths.inbox)
        yield Finding(
            "inbox filesystem",
            "good" if notified else "note",
            kind,
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
    for name in ("spool", "outbox"):
        path: Path = getattr(settings.paths, name)
        if path.is_dir():
            free = shutil.disk_usage(path).free / 1e6
            enough = free > 2 * settings.intake.reserve_mb
            yield Finding(
                f"free disk ({name})",
                "good" if enough else "bad",
                f"{free:.0f} MB",
                "" if enough else f"New jobs stop below {settings.intake.reserve_mb} MB: free some space.",
            )


def _gpu(settings: Settings) -> Iterator[Finding]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield Finding("gpu", "note", "none", "Nothing to do: the default engines run on the processor.")
        return
    for index in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        yield Finding(
            f"gpu {index}",
            "good",
            f"{pynvml.nvmlDeviceGetName(handle)}, {memory.free / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
        )
    pynvml.nvmlShutdown()


CHECKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _python,
    _ffmpeg,
    _packages,
    _models,
    _folders,
    _disk,
    _gpu,
)


@click.command()
@json_option
@click.pass_obj
def doctor(shell: Shell, as_json: bool) -> None:
    """Check ffmpeg, models, folders, rights, free disk and GPU. Exit code 1 when something is bad."""
    findings = [finding for check in CHECKS for finding in check(shell.settings)]
    owner = shell.daemon()
    findings.append(
        Finding(
            "daemon",
            "good" if owner else "note",
            f"process {owner.get('pid')}" if owner else "does not run",
            "" if owner else "Start it with `avatar run` or `systemctl start avatard`.",
        )
    )

    def text() -> None:
        marks = {
            "good": click.style("good", fg="green"),
            "note": click.style("note", fg="yellow"),
            "bad": click.style("bad ", fg="red"),
        }
        for finding in findings:
            click.echo(f"{marks[finding.verdict]}  {finding.what}: {finding.found}")
            if finding.remedy:
                click.echo(f"      → {finding.remedy}")

    show([asdict(finding) for finding in findings], as_json, text)
    if any(finding.verdict == "bad" for finding in findings):
        raise click.exceptions.Exit(1)
