"""What `avatar doctor` says of the hooks: whether their programs and secrets are there, and whether messages get through."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from daemon.cli.doctor.finding import Finding
from daemon.config import Settings
from daemon.doors.hooks.signature import read_keys, read_secret_lines
from daemon.doors.hooks.store import Store
from daemon.doors.hooks.trouble import find_troubles
from daemon.errors import ConfigError
from daemon.system.permissions import user_name


def check_hooks(settings: Settings) -> Iterator[Finding]:
    """Every hook that cannot work, and what is not delivered. Nothing where there are no hooks."""
    hooks = settings.hooks
    service = _service_uid(settings)
    for hook in hooks.targets:
        if hook.command and shutil.which(hook.command[0]) is None:
            remedy = "Correct `command`; its first word is a program."
            yield Finding(f"hook {hook.name}", "bad", f"there is no program {hook.command[0]}", remedy)
        for path in filter(None, (hook.url_file, hook.token_file)):
            yield from _secret(f"hook {hook.name}", path, service, signs=False)
        if hook.secret_file is not None:
            yield from _secret(f"hook {hook.name}", hook.secret_file, service, signs=True)
    for host, callback in hooks.callbacks.items():
        if callback.secret_file is not None:
            yield from _secret(f"callbacks to {host}", callback.secret_file, service, signs=True)
    troubles = find_troubles(settings)
    for trouble in troubles:
        name = f"hook {trouble.hook}" if trouble.hook else "hooks"
        yield Finding(name, "note", trouble.message.rstrip("."), trouble.hint)
    if (hooks.targets or hooks.callbacks) and not troubles:
        yield Finding("hooks", "good", f"{len(hooks.targets)} in the configuration")


def _secret(what: str, path: Path, service: int | None, *, signs: bool) -> Iterator[Finding]:
    """Say what is wrong with a file of a secret. `service`: the user that runs the hooks, as far as it is known."""
    if os.geteuid() not in (0, service) and not os.access(path, os.R_OK) and path.exists():
        return  # whoever looks is not meant to
    try:
        (read_keys if signs else read_secret_lines)(path)
    except ConfigError as exc:
        yield Finding(what, "bad", exc.message.rstrip("."), exc.hint)
        return
    info = path.stat()
    if info.st_mode & 0o007:
        yield Finding(what, "bad", f"everybody can use {path}", f"chmod o= {path}")
    elif service and not _may_read(info, service):
        remedy = f"chgrp {user_name(service)} {path} && chmod 0640 {path}"
        yield Finding(what, "bad", f"the user {user_name(service)} may not read {path}", remedy)


def _service_uid(settings: Settings) -> int | None:
    """Return the user that runs the hooks: the owner of their queue. None where they have never run."""
    try:
        return Store(settings.paths.hooks).path.stat().st_uid
    except OSError:
        return None


def _may_read(info: os.stat_result, uid: int) -> bool:
    """Return whether a user may read a file, by its mode; also where the system does not know the user."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return True
    if info.st_uid == uid:
        return bool(info.st_mode & 0o400)
    return info.st_gid in os.getgrouplist(user.pw_name, user.pw_gid) and bool(info.st_mode & 0o040)
