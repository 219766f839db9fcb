"""Stores voice profiles: recordings of people's voices to speak with. Each is a folder, `paths.profiles/vp-xxxxxxxx`:

    profile.yaml     name, language, consent and quality, as plain text
    reference.wav    a few seconds of the voice: 22.05 kHz, mono, 16 bit
    latents-….npz    an engine's encoding of the reference, named by the hash of the model file; recomputed when missing

A rename publishes a complete profile, and a rename removes it. Its files are never changed.
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
from daemon.system.permissions import make_folder, remove_other_permissions

PROFILE_ID = re.compile(r"vp-[0-9a-f]{8}")
REFERENCE_FILE, RECORD_FILE = "reference.wav", "profile.yaml"
MAX_NAME = 60
#: Names with a meaning of their own where a manifest or config.yaml names a voice.
_RESERVED_NAMES = frozenset({"default", "auto"})


@dataclass(frozen=True)
class Profile:
    """One voice profile.

    Attributes:
        id: `vp-` and eight hexadecimal digits.
        name: unique among the profiles.
        language: BCP 47 tag of the reference.
        created: time of creation, ISO 8601 in UTC.
        consent: who agreed and how, in the words of whoever made the profile; may be empty.
        expires: last day on which it may be used; None where it does not expire.
        source: id of the job that made it, or "command".
        quality: measurements of the reference; see `stages.tts.profiles.quality`.
        folder: absolute path of its folder.
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
        """The recording that the voice is copied from."""
        return self.folder / REFERENCE_FILE

    @property
    def expired(self) -> bool:
        """True after its last day, in the machine's time zone."""
        return self.expires is not None and datetime.date.today() > self.expires  # noqa: DTZ011 (people's own days)

    def record(self) -> dict[str, Any]:
        """Return the content of profile.yaml."""
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
    """Reads and changes the folder of profiles. Caches nothing, so that every process sees the current state."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def all_profiles(self) -> list[Profile]:
        """Return the readable profiles, sorted by name."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for folder in self.root.iterdir():
                if PROFILE_ID.fullmatch(folder.name):
                    with contextlib.suppress(OSError, ValueError):
                        found.append(_read_profile(folder))
        return sorted(found, key=lambda profile: profile.name.casefold())

    def find_profile(self, wanted: str) -> Profile:
        """Find a profile by its id or name, ignoring case.

        Raises:
            JobError: `profile-unknown`.
        """
        key = wanted.strip().casefold()
        for profile in self.all_profiles():
            if key in (profile.id, profile.name.casefold()):
                return profile
        raise JobError(
            "profile-unknown",
            f"There is no voice profile '{wanted}' on this machine.",
            "`avatar voice list` shows the profiles.",
        )

    def check_name(self, name: str, profile_id: str = "") -> None:
        """Check that the profile of this id may have this name.

        Raises:
            JobError: `profile-name`.
        """
        bad = not name or len(name) > MAX_NAME or not name.isprintable() or "/" in name or name != name.strip()
        if bad or name.casefold() in _RESERVED_NAMES or PROFILE_ID.fullmatch(name.casefold()):
            raise JobError(
                "profile-name",
                f"'{name}' cannot be the name of a voice.",
                f"Use one or two words of at most {MAX_NAME} characters, without a slash.",
            )
        for profile in self.all_profiles():
            if profile.name.casefold() == name.casefold() and profile.id != profile_id:
                raise JobError(
                    "profile-name",
                    f"A voice profile named '{profile.name}' already exists ({profile.id}).",
                    "Use another name, or remove that profile with `avatar voice remove`.",
                )

    def save_profile(self, profile: Profile, reference: bytes) -> Profile:
        """Save a profile atomically and durably. Replaces one of the same id, which a repeated job has.

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
        """Hide a profile by a rename, then delete it. A job that is using it continues with what it has read."""
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
        """Hold the store's lock, so that no two profiles get the same name; deletes the remains of a crash first."""
        try:
            new = not self.root.exists()
            make_folder(self.root)
            remove_other_permissions(self.root)
            fd = os.open(self.root / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o660)
            _share_with_group(self.root.resolve(), *([".lock", "."] if new else [".lock"]))
        except OSError as exc:
            raise MachineError(
                "folder-unusable",
                f"{exc.filename}: {exc.strerror}.",
                "Run this as the service's user, as a member of its group, or as root; or put a job of `kind: voice` into "
                "the inbox.",
            ) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for leftover in self.root.glob(".vp-*"):
                fs.remove(leftover)
            yield
        finally:
            os.close(fd)


def _share_with_group(folder: Path, *names: str) -> None:
    """Make new files writable for the group where the folder is setgid, so that its members can change them.

    Does not follow links: others may write there, and root must not be directed elsewhere.
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
    """Read a profile from its folder.

    Raises:
        OSError: the folder or its record does not exist.
        ValueError: profile.yaml is not a valid record.
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
    """Check that a job may use this profile now.

    Raises:
        JobError: `profile-expired`, `consent-missing`.
    """
    if profile.expired:
        raise JobError(
            "profile-expired",
            f"The voice profile '{profile.name}' expired on {profile.expires}.",
            "Ask the owner of the voice again, and make a new profile.",
        )
    if require_consent:
        check_consent(profile.consent, profile.name)


def check_consent(consent: str, name: str) -> None:
    """Check that the consent is written down.

    Raises:
        JobError: `consent-missing`.
    """
    if not consent.strip():
        raise JobError(
            "consent-missing",
            f"The consent of the owner of the voice '{name}' is not written down.",
            'Make the profile with `consent: "who, when, on what basis"`: `stages.tts.require_consent` requires it.',
        )
