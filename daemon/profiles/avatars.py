"""Stores avatar profiles: portraits of people that are ready to be animated. Each is a folder, `paths.avatars/ap-xxxxxxxx`:

profile.yaml         name, consent, defaults of the manifest, framing, and size and digest of the other files
picture              the picture as it was handed in
background           the picture behind the person, where the profile has one
portrait.png         the framed portrait; draft-portrait.png: the same for `quality: draft`
face.json            what was measured in it (draft-face.json)
rig.npz              what moves it (draft-rig.npz)
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from daemon.errors import JobError
from daemon.jobs.companions import copy_name
from daemon.profiles.profile_folders import (
    RECORD_FILE,
    ProfileFolders,
    ProfileWords,
    UnusableProfileError,
    has_expired,
    read_record,
)
from daemon.system.safe_open import open_inside

#: Of the format of a profile's folder.
VERSION = 1
WORDS = ProfileWords(
    prefix="ap",
    thing="avatar",
    kind="avatar",
    owner="the person shown by the avatar",
    unknown="avatar-unknown",
    list_command="avatar avatar list",
    remove_command="avatar avatar remove",
    consent_setting="stages.face.require_consent",
)
#: Keys of a manifest that a profile keeps, as defaults of the jobs that name it.
DEFAULT_KEYS = ("voice", "background", "motion", "face", "size", "aspect", "fit")
PICTURE, BACKGROUND = "picture", "background"
#: What was measured, for a full and for a draft video; without files of a quality the picture is measured again.
MEASURED_FILES = ("portrait.png", "face.json", "rig.npz")
QUALITIES = ("", "draft-")
#: Every file beside profile.yaml, and the name of its copy in a job's folder.
JOB_COPIES: Mapping[str, str] = {
    PICTURE: copy_name("image"),
    BACKGROUND: copy_name("background"),
    **{quality + name: f"avatar.{quality}{name}" for quality in QUALITIES for name in MEASURED_FILES},
}
#: The copy of a profile's record in a job's folder.
JOB_RECORD = "avatar.json"


class FileRecord(TypedDict):
    """Size of a file, and the hexadecimal digest of its content."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class AvatarProfile:
    """One avatar profile.

    Attributes:
        id: `ap-` and eight hexadecimal digits.
        name: unique among the avatars.
        title: title for people; empty if none was given.
        created: time of creation, ISO 8601 in UTC.
        by: the user who handed in the job or gave the command; empty if it is not known.
        source: id of the job that made it, or "command".
        consent: who agreed and how, in the words of whoever made the profile; may be empty.
        expires: last day on which it may be used; None where it does not expire.
        defaults: values of manifest keys (`DEFAULT_KEYS`) that jobs take over where they do not give them.
        framing: what the measurements depend on, beside the picture and the quality; see `stages.face.avatars.known_avatar`.
        face: facts about the face, as the face stage reports them.
        generated: what its picture was generated from: model, seed, prompt; None for a picture that was handed in.
        files: the files beside profile.yaml, by name.
        folder: absolute path of its folder.
    """

    id: str
    name: str
    title: str
    created: str
    by: str
    source: str
    consent: str
    expires: datetime.date | None
    defaults: Mapping[str, Any]
    framing: Mapping[str, Any]
    face: Mapping[str, Any]
    files: Mapping[str, FileRecord]
    folder: Path
    generated: Mapping[str, Any] | None = None

    @property
    def expired(self) -> bool:
        """True after its last day, in the machine's time zone."""
        return has_expired(self.expires)

    def record(self) -> dict[str, Any]:
        """Return the content of profile.yaml."""
        return {
            "version": VERSION,
            "id": self.id,
            "name": self.name,
            "title": self.title,
            "created": self.created,
            "by": self.by,
            "source": self.source,
            "consent": self.consent,
            "expires": self.expires.isoformat() if self.expires else None,
            "defaults": dict(self.defaults),
            "framing": dict(self.framing),
            "face": dict(self.face),
            **({} if self.generated is None else {"generated": dict(self.generated)}),
            "files": {name: dict(record) for name, record in self.files.items()},
        }


class AvatarStore(ProfileFolders[AvatarProfile]):
    """The folder of avatar profiles."""

    words = WORDS

    def read(self, folder: Path) -> AvatarProfile:
        """Read a profile from its folder, and check that all its files are there in their sizes.

        Raises:
            FileNotFoundError: the folder does not exist.
            UnusableProfileError: `avatar-damaged`, `avatar-newer`.
        """
        try:
            raw = read_record(folder)
            name, version = str(raw["name"]), int(raw["version"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
            if not folder.is_dir():  # removed in this moment
                raise FileNotFoundError(folder) from exc
            raise _damaged(folder, f"its {RECORD_FILE} cannot be read") from exc
        if version > VERSION:
            raise UnusableProfileError(
                "avatar-newer",
                f"The avatar profile '{name}' ({folder.name}) was made by a newer version of avatard.",
                "Update avatard, or make the profile again.",
                folder.name,
                name,
            )
        try:
            expires = raw.get("expires")
            profile = AvatarProfile(
                id=folder.name,
                name=name,
                title=str(raw.get("title") or ""),
                created=str(raw["created"]),
                by=str(raw.get("by") or ""),
                source=str(raw.get("source") or ""),
                consent=str(raw.get("consent") or ""),
                expires=datetime.date.fromisoformat(str(expires)) if expires else None,
                defaults={key: value for key, value in dict(raw["defaults"]).items() if key in DEFAULT_KEYS},
                framing=dict(raw["framing"]),
                face=dict(raw["face"]),
                generated=dict(raw["generated"]) if raw.get("generated") else None,
                files={
                    file: {"bytes": int(known["bytes"]), "sha256": str(known["sha256"])}
                    for file, known in dict(raw["files"]).items()
                    if file in JOB_COPIES
                },
                folder=folder,
            )
            lacking = next((file for file in _expected_files(profile) if not _is_whole(profile, file)), None)
        except (ValueError, KeyError, TypeError, AttributeError) as exc:
            raise _damaged(folder, f"its {RECORD_FILE} is not a profile", name) from exc
        if lacking is not None:
            raise _damaged(folder, f"its file {lacking} is missing, or has another size", name)
        return profile

    def open_file(self, profile: AvatarProfile, name: str) -> AbstractContextManager[int]:
        """Open a file of a profile for reading; yields a descriptor.

        Raises:
            JobError, Postponed: what `open_inside` raises.
        """
        return open_inside(self.root, f"{profile.id}/{name}")


def _expected_files(profile: AvatarProfile) -> Iterator[str]:
    yield PICTURE
    yield from profile.files


def _is_whole(profile: AvatarProfile, name: str) -> bool:
    try:
        return (profile.folder / name).lstat().st_size == profile.files[name]["bytes"]
    except OSError:
        return False


def _damaged(folder: Path, why: str, name: str = "") -> UnusableProfileError:
    called = f"'{name}' ({folder.name})" if name else folder.name
    return UnusableProfileError(
        "avatar-damaged",
        f"The avatar profile {called} is damaged: {why}.",
        f"Bring the folder {folder.name} back from a backup, or remove it and make the profile again.",
        folder.name,
        name,
    )


def files_for(profile: AvatarProfile, *, draft: bool) -> list[str]:
    """Return the names of the files with what was measured for a quality, as far as the profile has them."""
    quality = QUALITIES[draft]
    return [quality + name for name in MEASURED_FILES if quality + name in profile.files]


def file_record(content: bytes) -> FileRecord:
    """Return the entry of `AvatarProfile.files` for a file with this content."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def damaged_copy(profile_id: str, name: str) -> JobError:
    """Return the error of a job whose copy of a profile's file has another content than the profile says."""
    return _damaged(Path(profile_id), f"its file {name} has another content than it was saved with")
