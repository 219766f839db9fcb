"""Who may do what with a folder, in words: for refusals of the system, which only say `Permission denied`."""

from __future__ import annotations

import getpass
import grp
import os
import pwd
import stat
from pathlib import Path

from daemon.errors import AvatarError

#: The code of what a right is missing for.
NOT_ALLOWED = "not-allowed"


def current_user() -> str:
    """Who asks: the user's name, or the number where there is no name for it (as in containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def user_name(uid: int) -> str:
    """A user's name; the number where the machine knows no name for it."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def owner_name(info: os.stat_result) -> str:
    """The user a file belongs to, as `user_name` says it."""
    return user_name(info.st_uid)


def group_name(info: os.stat_result) -> str:
    """The group a file belongs to; the number where the machine knows no name for it."""
    try:
        return grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        return f"gid {info.st_gid}"


def access_error(folder: Path) -> PermissionError | None:
    """Why a folder may not be looked into; None where it may, or is not there."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)  # a folder may be listed and its files not be looked at
                break
    except PermissionError as exc:
        return exc
    except OSError:
        return None
    return None


def explain_refusal(exc: OSError) -> AvatarError:
    """What the system refused (EACCES, EPERM), whose it is, and how to get the right."""
    path = Path(os.fsdecode(exc.filename)) if isinstance(exc.filename, str | bytes) else Path()
    found = _barrier(path)
    if found is None:
        return AvatarError(
            NOT_ALLOWED, f"{current_user()} may not use {path}.", "Run it as the service's user, or as root."
        )
    barrier, info = found
    mode = stat.S_IMODE(info.st_mode)
    whose = f"{owner_name(info)}:{group_name(info)} (mode {mode:o})"
    ways = ["as root"]
    if info.st_uid:
        ways.insert(0, f"as {owner_name(info)}")
    if mode & 0o070 and info.st_gid and info.st_gid not in (os.getegid(), *os.getgroups()):
        ways.append(f"as a member of the group {group_name(info)} (log in again after joining it)")
    return AvatarError(
        NOT_ALLOWED,
        f"{current_user()} may not use {path}: {barrier} belongs to {whose}.",
        f"Run it {', or '.join(ways)}.",
    )


def _barrier(path: Path) -> tuple[Path, os.stat_result] | None:
    """The file or folder whose rights refused the use of `path`: the nearest one above it that can be seen."""
    real = Path(os.path.realpath(path))
    for place in (real, *real.parents):
        try:
            return place, place.stat()
        except OSError:
            continue
    return None
