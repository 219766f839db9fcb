"""Voice profiles: somebody's voice, kept to be spoken with. A folder each, `paths.profiles/vp-xxxxxxxx`:

    profile.yaml     what a person may want to know, and may read without this program
    reference.wav    a few seconds of the voice: 22.05 kHz, mono, 16 bit
    latents-….npz    what an engine's network makes of it, by the hash of the network's file; can be made again

A profile appears whole, by a rename, and goes by one. Its text is never changed.
"""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from daemon.errors import JobError, MachineError
from daemon.system import fs

PROFILE_ID = re.compile(r"vp-[0-9a-f]{8}")
REFERENCE_FILE, RECORD_FILE = "reference.wav", "profile.yaml"
MAX_NAME = 60
#: Names that mean something else where a voice is named.
_RESERVED_NAMES = frozenset({"default", "auto"})


@dataclass(frozen=True)
class Profile:
    """One profile.

    Attributes:
        name: what people call it; no other profile has it.
        language: BCP 47 tag of the reference.
        created: when, as ISO 8601 in UTC.
        consent: who agreed to it and how, as written by who made it; empty where nobody said.
        expires: the last day on which it may be used; None: no end.
        source: the job it was made by, or "command".
        quality: what was measured of the reference; see `stages.tts.profiles.quality`.
        folder: where it lies.
    """

    id: str
    name: str
    language: str
    created: str
    consent: str
    expires: datetime.date | None
    source: str
    quality: dict[str, Any]
    folder: Path

    @property
    def reference(self) -> Path:
        return self.folder / REFERENCE_FILE

    @property
    def expired(self) -> bool:
        """Whether its last day is over, in the machine's time zone."""
        return self.expires is not None and datetime.date.today() > self.expires  # noqa: DTZ011 (people's own days)

    def record(self) -> dict[str, Any]:
        """What stands in profile.yaml."""
        return {
            "id": self.id,
            "name": self.name,
            "language": self.language,
            "created": self.created,
            "consent": self.consent,
            "expires": self.expires.isoformat() if self.expires else None,
            "source": self.source,
            "quality": self.quality,
        }


class ProfileStore:
    """The folder of profiles. Keeps nothing in memory, so that every process sees what is there now."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all_profiles(self) -> list[Profile]:
        """Those that can be read, by name."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for folder in self.root.iterdir():
                if PROFILE_ID.fullmatch(folder.name):
                    with contextlib.suppress(OSError, ValueError):
                        found.append(_read_profile(folder))
        return sorted(found, key=lambda profile: profile.name.casefold())

    def find_profile(self, wanted: str) -> Profile:
        """By id or name, in whatever case.

        Raises:
            JobError: `profile-unknown`.
        """
        key = wanted.strip().casefold()
        for profile in self.all_profiles():
            if key in (profile.id, profile.name.casefold()):
                return profile
        raise JobError(
            "profile-unknown",
            f"There is no voice profile '{wanted}': it was removed, or never made here.",
            "`avatar voice list` shows those there are.",
        )

    def check_name(self, name: str, profile_id: str = "") -> None:
        """Whether a name may be given to the profile of this id.

        Raises:
            JobError: `profile-name`.
        """
        bad = not name or len(name) > MAX_NAME or not name.isprintable() or "/" in name or name != name.strip()
        if bad or name.casefold() in _RESERVED_NAMES or PROFILE_ID.fullmatch(name.casefold()):
            raise JobError(
                "profile-name",
                f"'{name}' cannot be the name of a voice.",
                f"Take a word or two of at most {MAX_NAME} characters, without a slash.",
            )
        for profile in self.all_profiles():
            if profile.name.casefold() == name.casefold() and profile.id != profile_id:
                raise JobError(
                    "profile-name",
                    f"There is a voice profile named '{profile.name}' already ({profile.id}).",
                    "Take another name, or remove that one with `avatar voice remove`.",
                )

    def save_profile(self, profile: Profile, reference: bytes) -> Profile:
        """Make a profile durable: whole or not at all. One of the same id (the same job, run again) is replaced.

        Raises:
            JobError: `profile-name`.
            MachineError: `folder-unusable`.
        """
        with self._locked():
            self.check_name(profile.name, profile.id)
            building = self.root / f".{profile.id}.{secrets.token_hex(4)}"
            try:
                fs.OPS.mkdir(building)
                fs.OPS.write(building / REFERENCE_FILE, reference)
                text = yaml.safe_dump(profile.record(), allow_unicode=True, sort_keys=False)
                fs.OPS.write(building / RECORD_FILE, text.encode())
                _share_with_group(building, REFERENCE_FILE, RECORD_FILE, ".")
                fs.OPS.sync_dir(building)
                target = self.root / profile.id
                self._remove_folder(target)
                fs.move(building, target)
            except BaseException:
                fs.remove(building)
                raise
        return _read_profile(target)

    def remove_profile(self, profile: Profile) -> None:
        """Out of sight by one rename, then gone. A job that speaks with it now goes on with what it has read."""
        with self._locked():
            self._remove_folder(profile.folder)
            fs.OPS.sync_dir(self.root)

    def _remove_folder(self, folder: Path) -> None:
        if folder.exists():
            doomed = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
            fs.rename(folder, doomed)
            fs.remove(doomed)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One change at a time, so that no name is given twice; what a crash left is cleared first."""
        try:
            new = not self.root.exists()
            fs.make_folder(self.root)
            fs.close_to_others(self.root)
            fd = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            _share_with_group(self.root.resolve(), *([".lock", "."] if new else [".lock"]))
        except OSError as exc:
            raise MachineError(
                "folder-unusable",
                f"{exc.filename}: {exc.strerror}.",
                "Do it as the service's user, as one of its group, or as root; or drop a job of `kind: voice` into the inbox.",
            ) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for litter in self.root.glob(".vp-*"):
                fs.remove(litter)
            yield
        finally:
            os.close(fd)


def _share_with_group(folder: Path, *names: str) -> None:
    """Where folders belong to a group (setgid), let all of it change what one of them, or root, has made here.

    Links are not followed: others may write there too, and root must not be led elsewhere.
    """
    with contextlib.ExitStack() as stack:

        def opened(name: str | Path, flags: int, inside: int | None = None) -> int:
            fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=inside)
            stack.callback(os.close, fd)
            return fd

        here = opened(folder, os.O_RDONLY | os.O_DIRECTORY)
        if os.fstat(here).st_mode & stat.S_ISGID:
            for fd in (opened(name, os.O_RDONLY, here) for name in names):
                info = os.fstat(fd)
                if info.st_uid == os.geteuid():
                    os.fchmod(fd, 0o2770 if stat.S_ISDIR(info.st_mode) else 0o660)


def _read_profile(folder: Path) -> Profile:
    """A profile from its folder.

    Raises:
        OSError: it is not there (any more).
        ValueError: its record is not one of ours.
    """
    try:
        raw = yaml.safe_load((folder / RECORD_FILE).read_text(encoding="utf-8"))
        expires = raw.get("expires")
        return Profile(
            id=folder.name,
            name=str(raw["name"]),
            language=str(raw["language"]),
            created=str(raw["created"]),
            consent=str(raw.get("consent") or ""),
            expires=datetime.date.fromisoformat(str(expires)) if expires else None,
            source=str(raw.get("source") or ""),
            quality=dict(raw.get("quality") or {}),
            folder=folder,
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as exc:
        raise ValueError(f"{folder / RECORD_FILE} is not a profile: {exc}") from exc


def check_usable(profile: Profile, *, require_consent: bool) -> None:
    """Whether a job may speak with it now.

    Raises:
        JobError: `profile-expired`, `consent-missing`.
    """
    if profile.expired:
        raise JobError(
            "profile-expired",
            f"The voice profile '{profile.name}' was to be used until {profile.expires}.",
            "Ask its owner again, and make a new profile.",
        )
    if require_consent:
        check_consent(profile.consent, profile.name)


def check_consent(consent: str, name: str) -> None:
    """Where config.yaml requires it, somebody must have written down who agreed.

    Raises:
        JobError: `consent-missing`.
    """
    if not consent.strip():
        raise JobError(
            "consent-missing",
            f"Nobody has written down that the owner of the voice '{name}' agreed to it.",
            'Make it with `consent: "who, when, on what basis"`, which `stages.tts.require_consent` asks for.',
        )
