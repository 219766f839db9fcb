"""Publishes, lists, finds and removes profiles: folders named by an id, such as `paths.profiles/vp-0123abcd`.

A rename publishes a complete profile, and a rename removes it. Its files are never changed. Voices and avatars share this code.
"""

from __future__ import annotations

import abc
import contextlib
import datetime
import difflib
import fcntl
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import yaml

from daemon.errors import JobError, MachineError
from daemon.system import fs
from daemon.system.permissions import make_folder, remove_other_permissions

RECORD_FILE = "profile.yaml"
MAX_NAME = 60
#: A larger `profile.yaml` is not read, bytes.
MAX_RECORD_BYTES = 1 << 20
#: Names with a meaning of their own where a manifest or config.yaml names a profile.
#: Least likeness (difflib's ratio) of a mistyped name and that of a profile.
_LIKENESS = 0.75
_RESERVED_NAMES = frozenset({"default", "auto"})


@dataclass(frozen=True)
class ProfileWords:
    """What a sort of profiles is called.

    Attributes:
        prefix: of the ids, before the hyphen.
        thing: what a profile is, in messages: "voice" or "avatar".
        kind: the kind of job that makes one.
        owner: the person who agrees to it, in messages.
        unknown: error code of a profile that does not exist.
        list_command, remove_command: commands that list the profiles and remove one.
        consent_setting: the setting that requires a consent.
    """

    prefix: str
    thing: str
    kind: str
    owner: str
    unknown: str
    list_command: str
    remove_command: str
    consent_setting: str

    @property
    def id_pattern(self) -> re.Pattern[str]:
        """What ids look like."""
        return re.compile(rf"{self.prefix}-[0-9a-f]{{8}}")

    @property
    def a_thing(self) -> str:
        """What a profile is, with its article."""
        return f"{'an' if self.thing[0] in 'aeiou' else 'a'} {self.thing}"

    def new_id(self) -> str:
        """Return a new random id."""
        return f"{self.prefix}-{secrets.token_hex(4)}"

    def id_of_job(self, job_id: str) -> str:
        """Return the id of the profile that a job makes. A job repeated after a crash replaces its own profile."""
        return f"{self.prefix}-{hashlib.sha256(job_id.encode()).hexdigest()[:8]}"


class StoredProfile(Protocol):
    """What every profile has."""

    @property
    def id(self) -> str:
        """Its id, which never changes."""
        ...

    @property
    def name(self) -> str:
        """Its name; unique among the profiles of its sort, ignoring case."""
        ...

    @property
    def consent(self) -> str:
        """Who agreed and how, in the words of whoever made the profile; may be empty."""
        ...

    @property
    def expires(self) -> datetime.date | None:
        """Last day on which it may be used; None where it does not expire."""
        ...

    @property
    def folder(self) -> Path:
        """Absolute path of its folder."""
        ...

    def record(self) -> dict[str, Any]:
        """Return the content of profile.yaml."""
        ...


P = TypeVar("P", bound=StoredProfile)


class UnusableProfileError(JobError):
    """A profile is there, but cannot be used. `profile_id`, `name`: which one; the name is empty if it is not known."""

    def __init__(self, code: str, message: str, hint: str, profile_id: str, name: str = "") -> None:
        super().__init__(code, message, hint)
        self.profile_id = profile_id
        self.name = name


class ProfileFolders(abc.ABC, Generic[P]):
    """Reads and changes a folder of profiles. Caches nothing, so that every process sees the current state."""

    words: ProfileWords

    def __init__(self, root: Path) -> None:
        self.root = root

    @abc.abstractmethod
    def read(self, folder: Path) -> P:
        """Read a profile from its folder.

        Raises:
            OSError: the folder or its record does not exist.
            ValueError: profile.yaml is not a valid record.
            UnusableProfileError: as the sort of profile says.
        """

    def all_profiles(self) -> list[P]:
        """Return the readable profiles, sorted by name."""
        found = []
        for folder in self._folders():
            with contextlib.suppress(OSError, ValueError, UnusableProfileError):
                found.append(self.read(folder))
        return sorted(found, key=lambda profile: profile.name.casefold())

    def unusable_profiles(self) -> list[UnusableProfileError]:
        """Return why profiles that are there cannot be used."""
        found = []
        for folder in self._folders():
            try:
                self.read(folder)
            except UnusableProfileError as exc:
                found.append(exc)
            except (OSError, ValueError):
                continue
        return found

    def _folders(self) -> Iterator[Path]:
        with contextlib.suppress(FileNotFoundError):
            for folder in sorted(self.root.iterdir()):
                if self.words.id_pattern.fullmatch(folder.name):
                    yield folder

    def find_profile(self, wanted: str) -> P:
        """Find a profile by its id or name, ignoring case.

        Raises:
            JobError: `ProfileWords.unknown`; `profile-ambiguous` where several have the name, as after a copy was put back;
                UnusableProfileError where it is there and cannot be used.
        """
        key = wanted.strip().casefold()
        unusable: UnusableProfileError | None = None
        named: list[P] = []
        for folder in self._folders():
            try:
                profile = self.read(folder)
            except UnusableProfileError as exc:
                unusable = exc if key in (exc.profile_id, exc.name.casefold()) else unusable
            except (OSError, ValueError):
                continue
            else:
                if key == profile.id:
                    return profile
                if key == profile.name.casefold():
                    named.append(profile)
        if len(named) > 1:
            raise JobError(
                "profile-ambiguous",
                f"{len(named)} {self.words.thing} profiles are called '{named[0].name}'.",
                f"Name one by its id: {', '.join(profile.id for profile in named)}.",
            )
        if named:
            return named[0]
        if unusable is not None:
            raise unusable
        raise JobError(
            self.words.unknown,
            f"There is no {self.words.thing} profile '{wanted}' on this machine.",
            f"{self._instead(wanted)} `{self.words.list_command}`, where avatard runs, shows those that are there.",
        )

    def _instead(self, wanted: str) -> str:
        """Return what to write in place of a name that no profile has: a similar one, or how one is made."""
        names = {profile.name.casefold(): profile.name for profile in self.all_profiles()}
        near = difflib.get_close_matches(wanted.casefold(), names, 1, _LIKENESS)
        return f"Did you mean '{names[near[0]]}'?" if near else f"A job of `kind: {self.words.thing}` makes one."

    def check_name(self, name: str, profile_id: str = "") -> None:
        """Check that the profile of this id may have this name.

        Raises:
            JobError: `profile-name`.
        """
        bad = not name or len(name) > MAX_NAME or not name.isprintable() or "/" in name or name != name.strip()
        if bad or name.casefold() in _RESERVED_NAMES or self.words.id_pattern.fullmatch(name.casefold()):
            raise JobError(
                "profile-name",
                f"'{name}' cannot be the name of {self.words.a_thing}.",
                f"Use one or two words of at most {MAX_NAME} characters, without a slash.",
            )
        for profile in self.all_profiles():
            if profile.name.casefold() == name.casefold() and profile.id != profile_id:
                raise JobError(
                    "profile-name",
                    f"{self.words.a_thing.capitalize()} profile named '{profile.name}' already exists ({profile.id}).",
                    f"Use another name, or remove that profile with `{self.words.remove_command}`.",
                )

    def save(self, profile: P, files: Mapping[str, bytes | Path]) -> P:
        """Save a profile atomically and durably. Replaces one of the same id, which a repeated job has.

        Args:
            files: content of each file beside profile.yaml, or the file to copy, by its name.

        Raises:
            JobError: `profile-name`.
            MachineError: `folder-unusable`.
        """
        with self._locked():
            self.check_name(profile.name, profile.id)
            building = self.root / f".{profile.id}.{secrets.token_hex(4)}"
            try:
                fs.OPS.mkdir(building)
                for name, content in files.items():
                    if isinstance(content, Path):
                        with content.open("rb") as source:
                            fs.OPS.copy(source.fileno(), building / name, os.fstat(source.fileno()).st_size)
                    else:
                        fs.OPS.write(building / name, content)
                text = yaml.safe_dump(profile.record(), allow_unicode=True, sort_keys=False)
                fs.OPS.write(building / RECORD_FILE, text.encode())
                _share_with_group(building, *files, RECORD_FILE, ".")
                fs.OPS.sync_dir(building)
                target = self.root / profile.id
                self._remove_folder(target)
                fs.move(building, target)
            except BaseException:
                fs.remove(building)
                raise
        return self.read(target)

    def remove_profile(self, profile: P) -> None:
        """Hide a profile by a rename, then delete it. A job that is using it continues with what it has read."""
        self.remove(profile.id)

    def remove(self, profile_id: str) -> None:
        """Remove the profile of this id as `remove_profile` does, also where it cannot be read."""
        with self._locked():
            self._remove_folder(self.root / profile_id)
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
                "Run this as the service's user, as a member of its group, or as root; or put a job of "
                f"`kind: {self.words.kind}` into the inbox.",
            ) from exc
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for leftover in self.root.glob(f".{self.words.prefix}-*"):
                fs.remove(leftover)
            yield
        finally:
            os.close(fd)

    def check_usable(self, profile: P, *, require_consent: bool) -> None:
        """Check that a job may use this profile now.

        Raises:
            JobError: `profile-expired`, `consent-missing`.
        """
        if has_expired(profile.expires):
            raise JobError(
                "profile-expired",
                f"The {self.words.thing} profile '{profile.name}' expired on {profile.expires}.",
                f"Ask {self.words.owner} again, and make a new profile.",
            )
        if require_consent:
            self.check_consent(profile.consent, profile.name)

    def check_consent(self, consent: str, name: str) -> None:
        """Check that the consent is written down.

        Raises:
            JobError: `consent-missing`.
        """
        if not consent.strip():
            raise JobError(
                "consent-missing",
                f"The consent of {self.words.owner} '{name}' is not written down.",
                f'Make the profile with `consent: "who, when, on what basis"`: `{self.words.consent_setting}` requires it.',
            )

    @staticmethod
    def check_expiry(expires: datetime.date | None) -> None:
        """Check that the last day of a new profile has not passed anywhere on earth.

        Raises:
            JobError: `profile-expired`.
        """
        if expires is not None and expires < datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(1):
            raise JobError(
                "profile-expired",
                f"`expires` is {expires}, which has passed.",
                "Write a future day, or remove the line.",
            )


def read_record(folder: Path) -> Any:
    """Read profile.yaml in a profile's folder.

    Raises:
        OSError: it does not exist, or is no file.
        ValueError: it is no YAML, or too large.
    """
    fd = os.open(folder / RECORD_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        data = file.read(MAX_RECORD_BYTES + 1)
    if len(data) > MAX_RECORD_BYTES:
        raise ValueError(f"{folder / RECORD_FILE} is larger than {MAX_RECORD_BYTES} bytes")
    try:
        return yaml.safe_load(data.decode())
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(f"{folder / RECORD_FILE} is not a profile: {exc}") from exc


def has_expired(expires: datetime.date | None) -> bool:
    """Return whether the last day has passed, in the machine's time zone."""
    return expires is not None and datetime.date.today() > expires  # noqa: DTZ011 (people's own days)


def now_utc() -> str:
    """Return the time for `created`: ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


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
