"""People with users of their own, as a service has them: who drops jobs is not who runs the daemon."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import traceback
from collections.abc import Sequence
from pathlib import Path

from daemon.cli import COMMANDS
from tests.conftest import ROOT, Installation
from tests.support.daemon.commands import run_command

#: The service, two people who may drop jobs, and their group. The machine knows none of them by name.
SERVICE, ANNA, BERT, DROPPERS = 54320, 54321, 54322, 54330

#: What the commands import only when they need it, and the commands themselves.
LATE = (
    *sorted({module for module, _ in COMMANDS.values()}),
    "daemon.cli.did_you_mean", "daemon.cli.job_lookup", "daemon.cli.job_view", "daemon.cli.outbox_view", "daemon.config",
    "daemon.control.spool_requests", "daemon.history.entry", "daemon.intake.inbox_names", "daemon.queue.lock",
    "daemon.queue.pauses", "daemon.queue.spool", "daemon.system.installation", "daemon.jobs.iso_time", "rich.markup",
    "encodings.utf_8_sig", "encodings.idna", "pwd", "grp", "stages.tts.engines.voice_list", "daemon.system.gpu",
    "daemon.cli.status_view", "rich.console", "rich.pretty", "rich.table", "daemon.doors.render",
    "daemon.cli.make_job", "stages.face.avatars.contact_sheet", "stages.media.wav",
)  # fmt: skip


def avatar_as(uid: int, one: Installation, *args: str, gid: int = DROPPERS) -> subprocess.CompletedProcess[str]:
    """Run the command line as somebody else, with a umask that lets the group write, in a copy of this process."""
    # What is imported late is imported first, while it still may read the sources, which may lie where others may not.
    for name in LATE:
        importlib.import_module(name)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            _answer_as(uid, gid, ("--config", str(one.config), *args), writer)
        except BaseException:
            os.write(writer, json.dumps([70, "", traceback.format_exc()]).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        told = answers.read()
    os.waitpid(child, 0)
    assert told, f"avatar {args} was killed"
    return subprocess.CompletedProcess(["avatar", *args], *json.loads(told))


def _answer_as(uid: int, gid: int, args: Sequence[str], writer: int) -> None:
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    os.umask(0o002)
    os.environ.clear()
    os.environ["PATH"] = os.defpath
    result = run_command(args, ROOT)
    with os.fdopen(writer, "w") as answers:
        json.dump([result.returncode, result.stdout, result.stderr], answers)
    os._exit(0)


def give(path: Path, mode: int, uid: int = SERVICE, gid: int = DROPPERS) -> None:
    """Give a file or folder an owner, a group and a mode."""
    os.chown(path, uid, gid)
    path.chmod(mode)
