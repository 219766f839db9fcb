"""The folders of the settings, made or refused at start, by the setting's name."""

from __future__ import annotations

import os
from pathlib import Path

from daemon.config import Settings
from daemon.errors import AvatarError, ConfigError, MachineError, from_exception
from daemon.queue.spool import Spool
from daemon.system.permissions import make_folder


def prepare_folders(settings: Settings, spool: Spool) -> None:
    """Create missing folders and check that they are writable. The inbox is not created, because it may be an unmounted share
    (`MountGuard`).

    Raises:
        ConfigError: `folder-unusable`: a setting names what cannot be used.
        MachineError: the disk is full or fails; another start may do.
    """
    paths = settings.paths
    for name, folder in (("outbox", paths.outbox), ("cache", paths.cache), ("spool", paths.spool)):
        try:
            if name == "spool":
                spool.create()
            make_folder(folder)
        except OSError as exc:
            raise _refusal(name, exc) from exc
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(
                "folder-unusable",
                f"paths.{name}: {folder} may not be written by user {os.geteuid()}.",
                "Give this user the right, or name another folder.",
            )


def inbox_access_error(exc: PermissionError) -> ConfigError:
    """The inbox is there and may not be used."""
    return ConfigError(
        "folder-unusable",
        f"paths.inbox: {exc.filename}: {exc.strerror}.",
        f"Give user {os.geteuid()} the right to read and write there, or name another folder.",
    )


def _refusal(name: str, exc: OSError) -> AvatarError:
    error = from_exception(exc)
    if isinstance(error, MachineError):
        return MachineError(error.code, f"paths.{name}: {error.message}", error.hint)
    where = Path(os.fsdecode(exc.filename or ""))
    return ConfigError(
        "folder-unusable",
        f"paths.{name}: {where}: {exc.strerror}.",
        "Name a folder that can be made and written; `avatar doctor` looks at all of them.",
    )
