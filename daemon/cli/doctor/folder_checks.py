"""What `avatar doctor` says of the folders: whether the service can use them, and whether people can spoil each other's files."""

from __future__ import annotations

import math
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from daemon.cli.doctor.finding import Finding, Verdict
from daemon.config import Settings
from daemon.errors import MachineError
from daemon.intake.watcher import can_notify, filesystem_of
from daemon.profiles.avatars import AvatarStore
from daemon.queue.lock import lock_holder
from daemon.system import installation
from daemon.system.mount_guard import MountGuard
from daemon.system.mounts import free_bytes
from daemon.system.permissions import access_error, explain_refusal, group_name, owner_name, user_name
from daemon.telemetry.state_file import read_state


def check_folders(settings: Settings) -> Iterator[Finding]:
    """Each folder, the marks of inbox and outbox, and how the inbox tells of changes."""
    service = service_uid(settings)
    for name in ("inbox", "outbox", "spool", "cache"):
        yield _folder(name, getattr(settings.paths, name), service)
    if os.geteuid() == 0 and service:
        found = "looked at as root, who may use all of them; the service's user may not be able to"
        remedy = f"`runuser -u {user_name(service)} -- avatar doctor` looks as the service does."
        yield Finding("rights", "note", found, remedy)
    kinds: tuple[Literal["inbox", "outbox"], ...] = ("inbox", "outbox")
    for kind in kinds:
        if access_error(getattr(settings.paths, kind)):
            continue
        try:
            MountGuard(getattr(settings.paths, kind), settings.paths.spool / f"{kind}.json", kind).look()
        except MachineError as exc:
            yield Finding(f"{kind} mount", "bad", exc.message, exc.hint)
    spool = settings.paths.spool
    if not access_error(spool) and spool.is_dir() and not can_notify(spool):
        remedy = "The queue must lie on a local disk with a journal: see `paths.spool`."
        yield Finding("spool filesystem", "note", filesystem_of(spool), remedy)
    if not access_error(settings.paths.inbox) and settings.paths.inbox.is_dir():
        system, notified = filesystem_of(settings.paths.inbox), can_notify(settings.paths.inbox)
        yield Finding(
            "inbox filesystem",
            "good" if notified else "note",
            system,
            "" if notified else f"Changes there are not announced; it is looked at every {settings.intake.poll_s:g} s.",
        )
        unwatched = read_state(settings.paths.spool / "state.json").get("unwatched")
        if unwatched and lock_holder(settings.paths.spool / "lock") is not None:
            yield Finding("inbox notifications", "note", unwatched["message"], unwatched["hint"])
        if notified:  # elsewhere the file server says who may do what
            yield from _inbox_sharing(settings.paths.inbox, service)


def check_avatars(settings: Settings) -> Iterator[Finding]:
    """The avatar profiles that are there and cannot be used, and how many can."""
    store = AvatarStore(settings.paths.avatars)
    try:
        unusable, count = store.unusable_profiles(), len(store.all_profiles())
    except PermissionError as exc:
        yield access_finding("avatars", exc)
        return
    for error in unusable:
        yield Finding("avatars", "bad", error.message.rstrip("."), error.hint)
    if count:
        yield Finding("avatars", "good", f"{count} profile{'s' if count > 1 else ''}")


def check_free_disk(settings: Settings) -> Iterator[Finding]:
    """Return whether there is room for new jobs and for results."""
    reserve = settings.intake.reserve_mb
    for name, what in (("spool", "New jobs are taken in"), ("outbox", "Results are delivered")):
        path: Path = getattr(settings.paths, name)
        try:
            free = free_bytes(path) / 1e6
        except FileNotFoundError:
            continue
        except PermissionError as exc:
            yield access_finding(f"free disk ({name})", exc)
            continue
        low = {"spool": reserve, "outbox": 1.0}[name]
        verdict: Verdict = "bad" if free < low else "note" if free < 2 * reserve else "good"
        remedy = f"{what} only with more than {low:.0f} MB: free some space."
        found = "the filesystem does not tell" if math.isinf(free) else f"{free:.0f} MB"
        yield Finding(f"free disk ({name})", verdict, found, "" if verdict == "good" else remedy)


def access_finding(what: str, exc: PermissionError) -> Finding:
    """Something that whoever runs the doctor may not look at, which says nothing about the service."""
    error = explain_refusal(exc)
    return Finding(what, "note", error.message.rstrip("."), error.hint)


def service_uid(settings: Settings) -> int | None:
    """The user who runs the daemon, as the spool is that user's; whoever asks where there is no spool; None: not to be seen."""
    try:
        return settings.paths.spool.stat().st_uid
    except PermissionError:
        return None
    except OSError:
        return os.geteuid()


def _folder(name: str, path: Path, service: int | None) -> Finding:
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            return Finding(name, "bad", f"{path} is not a folder", f"Move it away, or change `paths.{name}`.")
        with tempfile.NamedTemporaryFile(dir=path, prefix=".doctor-") as file:
            os.fsync(file.fileno())
    except FileNotFoundError:
        remedy = installation.how_to_restore_folders() if installation.is_service() else "`avatar run` makes it."
        return Finding(name, "note", f"{path} is not there yet", remedy)
    except PermissionError as exc:
        if os.geteuid() not in (0, service):
            return access_finding(name, exc)
        error = explain_refusal(exc)
        return Finding(name, "bad", error.message.rstrip("."), _mend(path))
    except OSError as exc:
        return Finding(name, "bad", f"{path} cannot be written: {exc.strerror}", "Look at its disk or mount.")
    return Finding(name, "good", str(path))


def _mend(path: Path) -> str:
    if installation.is_service():
        return f"As root: `systemd-tmpfiles --create avatard.conf`; a folder elsewhere: `chown {installation.USER} {path}`."
    return f"Give user {os.getuid()} the right to write there, such as by `chown {os.getuid()} {path}`."


def _inbox_sharing(inbox: Path, service: int | None) -> Iterator[Finding]:
    """Who can write to a folder can replace every file in it, whoever owns that, unless the folder is sticky. Then only the
    owners of file and folder can.
    """
    info = inbox.stat()
    owner, mode = owner_name(info), stat.S_IMODE(info.st_mode)
    if not mode & 0o022:
        return
    who = "everybody" if mode & 0o002 else f"members of the group {group_name(info)}"
    if not mode & stat.S_ISVTX:
        found = f"{who} can replace each other's pictures in {inbox} (mode {mode:o}: no sticky bit)"
        yield Finding("inbox sharing", "note", found, f"`chmod +t {inbox}`, as {owner} or root.")
    elif service and info.st_uid != service:
        found = f"{inbox} is sticky and belongs to {owner}, so that the service cannot take what others drop"
        yield Finding(
            "inbox sharing", "bad", found, f"As root: `chown {user_name(service).removeprefix('uid ')} {inbox}`."
        )
    else:
        yield Finding("inbox sharing", "good", f"sticky: {who} can replace only their own files")
