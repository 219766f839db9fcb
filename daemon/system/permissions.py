"""Keeps other users out of the daemon's folders, and explains in words why a folder may not be used.

The system itself only reports `Permission denied`.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import grp
import os
import pwd
import stat
from pathlib import Path
from typing import Literal

from daemon.errors import AvatarError, UnavailableError

#: Code of the error for a missing permission.
NOT_ALLOWED = "not-allowed"
#: Permission bits of users other than owner and group.
OTHERS = 0o007


def current_user() -> str:
    """Return the name of the present user; `uid N` if it has none, as in containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def user_name(uid: int) -> str:
    """Return the name of a user; `uid N` if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def owner_name(info: os.stat_result) -> str:
    """Return the name of the user who owns a file, as `user_name` does."""
    return user_name(info.st_uid)


def group_name(info: os.stat_result) -> str:
    """Return the name of the group of a file; `gid N` if it has none."""
    try:
        return grp.getgrgid(info.st_gid).gr_name
    except KeyError:
        return f"gid {info.st_gid}"


def access_error(folder: Path) -> PermissionError | None:
    """Return the error that prevents reading a folder; None if it is readable or missing."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)  # a folder may be listable although its files are not accessible
                break
    except PermissionError as exc:
        return exc
    except OSError:
        return None
    return None


def check_right(folder: Path, right: Literal["read", "write"]) -> None:
    """See that the present user may list a folder, or make files in it, before work begins that would be for nothing.

    A folder that is missing can be read by nobody, and made by who may write into the nearest one that is there.

    Raises:
        AvatarError: `not-allowed`.
    """
    place, mode = folder.absolute(), os.X_OK | (os.R_OK if right == "read" else os.W_OK)
    while not _is_there(place):
        if right == "read" or place == place.parent:
            return
        place = place.parent
    if os.access(place, mode, effective_ids=True) or (right == "write" and _is_read_only(place)):
        return
    raise explain_refusal(PermissionError(errno.EACCES, "", str(folder)), "read" if right == "read" else "write into")


def _is_there(place: Path) -> bool:
    try:
        place.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # whoever uses it is told why not
        return True
    return True


def _is_read_only(place: Path) -> bool:
    """Whether its disk is mounted without writing, which is no question of rights."""
    with contextlib.suppress(OSError):
        return bool(os.statvfs(place).f_flag & os.ST_RDONLY)
    return False


def explain_refusal(exc: OSError, deed: str = "use") -> AvatarError:
    """Convert EACCES or EPERM into an error that says which path was refused, who owns it, and how to get access.

    Args:
        deed: what could not be done with the path.
    """
    path = Path(os.fsdecode(exc.filename)) if isinstance(exc.filename, str | bytes) else Path()
    found = _barrier(path)
    if found is None:
        return UnavailableError(
            NOT_ALLOWED, f"{current_user()} may not {deed} {path}.", "Run it as the service's user, or as root."
        )
    barrier, info = found
    mode = stat.S_IMODE(info.st_mode)
    whose = f"{owner_name(info)}:{group_name(info)} (mode {mode:o})"
    ways = ["as root"]
    if info.st_uid:
        ways.insert(0, f"as {owner_name(info)}")
    if mode & 0o070 and info.st_gid and info.st_gid not in (os.getegid(), *os.getgroups()):
        ways.append(f"as a member of the group {group_name(info)} (log in again after joining it)")
    return UnavailableError(
        NOT_ALLOWED,
        f"{current_user()} may not {deed} {path}: {barrier} belongs to {whose}.",
        f"Run it {', or '.join(ways)}.",
    )


def _barrier(path: Path) -> tuple[Path, os.stat_result] | None:
    """Return the file or folder that refused access to `path`: its nearest visible parent, or itself."""
    real = Path(os.path.realpath(path))
    for place in (real, *real.parents):
        try:
            return place, place.stat()
        except OSError:
            continue
    return None


def restrict_umask() -> None:
    """Restrict the umask of this process and its children, so that other users cannot read new files: texts, portraits and
    voices are private. Restrictions on the group are kept.
    """
    os.umask(os.umask(0o077) | OTHERS)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, accessible to owner and group only."""
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=0o770, exist_ok=True)
    folder.mkdir(mode=0o770, exist_ok=True)


def private_folder(folder: Path) -> Path:
    """Return a folder that only this process's user may use, made where it is missing. Errors as `check_private`."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    check_private(folder)
    return folder


def check_private(folder: Path) -> None:
    """Check that a folder is one of this process's user, and let nobody else use it. Its parent may be one that others write.

    Raises:
        PermissionError: it is somebody else's, a link, or no folder.
        OSError: it is not there, or cannot be looked at.
    """
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as exc:
        raise PermissionError(errno.EPERM, "It is a link or no folder, and is to be removed", str(folder)) from exc
    try:
        info = os.fstat(held)
        if info.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"It belongs to {owner_name(info)}", str(folder))
        if info.st_mode & (stat.S_IRWXG | OTHERS):
            with contextlib.suppress(
                PermissionError
            ):  # a unit may forbid modes with setgid; the installation sets them
                os.fchmod(held, stat.S_IMODE(info.st_mode) & ~(stat.S_IRWXG | OTHERS))
    finally:
        os.close(held)


def remove_other_permissions(folder: Path) -> None:
    """Remove other users' permissions from a folder that this user owns, as earlier versions left folders open."""
    with contextlib.suppress(OSError):
        info = os.lstat(folder)
        shared = info.st_mode & stat.S_ISVTX  # as /tmp is
        if stat.S_ISDIR(info.st_mode) and not shared and info.st_uid == os.geteuid() and info.st_mode & OTHERS:
            os.chmod(folder, stat.S_IMODE(info.st_mode) & ~OTHERS)
