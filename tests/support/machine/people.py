"""People with users of their own, as a service has them: who drops jobs is not who runs the daemon."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from daemon.cli import COMMANDS
from tests.conftest import ROOT, Installation

#: The service, two people who may drop jobs, and their group. The machine knows none of them by name.
SERVICE, ANNA, BERT, DROPPERS = 54320, 54321, 54322, 54330

#: What the commands import only when they need it, and the commands themselves.
LATE = (
    *sorted({module for module, _ in COMMANDS.values()}),
    "daemon.cli.did_you_mean", "daemon.cli.job_lookup", "daemon.cli.job_view", "daemon.cli.outbox_view", "daemon.config",
    "daemon.control.spool_requests", "daemon.history.entry", "daemon.intake.inbox_names", "daemon.queue.lock",
    "daemon.queue.pauses", "daemon.queue.spool", "daemon.system.installation", "daemon.jobs.iso_time", "rich.markup",
    "encodings.utf_8_sig", "encodings.idna", "pwd", "grp", "stages.tts.engines.voice_list", "daemon.system.gpu",
    "daemon.cli.status_view", "rich.console", "rich.pretty", "rich.table",
)  # fmt: skip


def avatar_as(uid: int, one: Installation, *args: str, gid: int = DROPPERS) -> subprocess.CompletedProcess[str]:
    """Run the command line as somebody else, with a umask that lets the group write."""
    # What is imported late is imported first, while it still may read the sources, which may lie where others may not.
    script = (
        f"import os, sys; from daemon.cli import main; import {', '.join(LATE)}; "
        f"os.setgroups([]); os.setgid({gid}); os.setuid({uid}); os.umask(0o002); main(sys.argv[1:])"
    )
    command = [sys.executable, "-c", script, "--config", str(one.config), *args]
    environment = {"PATH": os.defpath, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)


def give(path: Path, mode: int, uid: int = SERVICE, gid: int = DROPPERS) -> None:
    """Give a file or folder an owner, a group and a mode."""
    os.chown(path, uid, gid)
    path.chmod(mode)
