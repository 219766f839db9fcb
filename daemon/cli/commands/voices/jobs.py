"""Hearing a voice through the service, for people who may not read the voices' files: by a job, and its sound in the outbox."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections import deque
from pathlib import Path
from typing import Any

import click

from daemon.cli.commands.submit import follow
from daemon.cli.common import Shell, note, show
from daemon.doors.hand_in import hand_in
from daemon.doors.job_names import made_up_name
from daemon.errors import MachineError, stated_error
from daemon.system import fs
from daemon.system.safe_open import open_inside

#: Longest wait for one text; what waits before it included.
WAIT_S = 3600.0


def said_by_job(shell: Shell, manifest: dict[str, Any], output: Path, as_json: bool) -> None:
    """Have a `kind: speech` manifest spoken by the service, copy the sound to `output`, and clear it from the outbox.

    Raises:
        AvatarError: as the job failed; `daemon-absent`, `answer-late`.
    """
    outbox = shell.settings.paths.outbox
    note("You may not read the files of the voices, so the service speaks: a job is handed in and waited for.")
    handed_in = hand_in(manifest, paths=shell.settings.paths, name=made_up_name(f"voice {manifest['voice']}"))
    name = handed_in.name
    final = deque(follow(shell, outbox / f"{name}.json", handed_in.job, WAIT_S), maxlen=1)[0]
    if final["state"] != "done":
        error = final.get("error") or {}
        raise stated_error(error.get("fault"), error)
    ending = f".{manifest.get('format', 'wav')}"
    with open_inside(outbox, f"{name}{ending}") as sound:
        hand_over(Path(f"/proc/self/fd/{sound}"), output)
    for made in (ending, ".timing.json", ".json"):
        with contextlib.suppress(OSError):  # somebody cleared it
            os.unlink(outbox / f"{name}{made}")
    facts = (final.get("stages") or {}).get("tts")
    facts = facts if isinstance(facts, dict) else {}
    warnings = [str(warning) for warning in final.get("warnings") or []]

    def text() -> None:
        click.echo(f"{output}: {'; '.join(str(facts[key]) for key in ('voice', 'licence', 'why') if key in facts)}")
        for warning in warnings:
            click.echo(f"  {warning}", err=True)

    show({"file": str(output), **facts, "warnings": warnings, "job": final["job"]}, as_json, text)


def hand_over(sound: Path, output: Path) -> None:
    """Copy a sound. A file is replaced whole, where its links lead; a device or a pipe is written into, since that is not ours.

    Raises:
        MachineError: `io-error`.
    """
    try:
        try:
            plain = stat.S_ISREG(output.stat().st_mode)
        except FileNotFoundError:
            plain = True
        if plain:
            with fs.artifact(Path(os.path.realpath(output))) as temporary:
                shutil.copyfile(sound, temporary)
            return
        with sound.open("rb") as source, os.fdopen(os.open(output, os.O_WRONLY | os.O_CLOEXEC), "wb") as sink:
            shutil.copyfileobj(source, sink)
    except OSError as exc:
        raise MachineError("io-error", f"{output}: {exc.strerror}.", "Name a file that can be written.") from exc
