"""Stores voice profiles: recordings of people's voices to speak with. Each is a folder, `paths.profiles/vp-xxxxxxxx`:

    profile.yaml     name, language, consent and quality, as plain text
    reference.wav    a few seconds of the voice: 22.05 kHz, mono, 16 bit
    latents-….npz    an engine's encoding of the reference, named by the hash of the model file; recomputed when missing

A rename publishes a complete profile, and a rename removes it. Its files are never changed.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.profiles.profile_folders import RECORD_FILE, ProfileFolders, ProfileWords, has_expired, read_record

WORDS = ProfileWords(
    prefix="vp",
    thing="voice",
    kind="voice",
    owner="the owner of the voice",
    unknown="profile-unknown",
    list_command="avatar voice list",
    remove_command="avatar voice remove",
    consent_setting="stages.tts.require_consent",
)
PROFILE_ID = WORDS.id_pattern
REFERENCE_FILE = "reference.wav"


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
        by: who handed in the job that made it; empty if it is not known.
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
    by: str = ""

    @property
    def reference(self) -> Path:
        """The recording that the voice is copied from."""
        return self.folder / REFERENCE_FILE

    @property
    def expired(self) -> bool:
        """True after its last day, in the machine's time zone."""
        return has_expired(self.expires)

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
            "by": self.by,
            "quality": self.quality,
        }


class ProfileStore(ProfileFolders[Profile]):
    """The folder of voice profiles."""

    words = WORDS

    def read(self, folder: Path) -> Profile:
        """Read a profile from its folder.

        Raises:
            OSError: the folder or its record does not exist.
            ValueError: profile.yaml is not a valid record.
        """
        raw = read_record(folder)
        try:
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
                by=str(raw.get("by") or ""),
            )
        except (KeyError, TypeError, AttributeError) as exc:
            raise ValueError(f"{folder / RECORD_FILE} is not a profile: {exc}") from exc

    def save_profile(self, profile: Profile, reference: bytes) -> Profile:
        """Save a profile with its recording: see `ProfileFolders.save`."""
        return self.save(profile, {REFERENCE_FILE: reference})
