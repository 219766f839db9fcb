"""Says which voice and avatar profiles a caller sees and uses: shared ones, and those that its own key made.

A profile keeps who made it (`by`). One that was made in the name of a key is that key's, unless it is an admin's. One that a
command made, or a job that came as a file of a user of this machine, is shared. Of a key that is revoked only admins see what it
made, unless it was an admin's: the file of the keys remembers the roles of each name, which may be that of a user as well.
"""

from __future__ import annotations

import contextlib
import pwd
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.callers import Caller
from daemon.doors.voice_list import published_voices
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from daemon.profiles.avatars import AvatarProfile, AvatarStore


class Owned(Protocol):
    """What a profile says of itself."""

    @property
    def id(self) -> str:
        """Its id."""
        ...

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def by(self) -> str:
        """Who made it; empty where nobody knows."""
        ...


class SeenProfiles:
    """The profiles that one caller sees, read once.

    Args:
        settings: the daemon's.
        caller: who looks.
    """

    def __init__(self, settings: Settings, caller: Caller) -> None:
        self._settings = settings
        self._caller = caller

    def sees(self, profile: Owned) -> bool:
        """Return whether the caller sees and uses a profile."""
        return self._caller.owns(profile.by) or self._is_shared(profile.by)

    def _is_shared(self, by: str) -> bool:
        if roles := self._roles.get(by):
            return roles == {"admin"}
        return not by or _is_user(by)

    @cached_property
    def _roles(self) -> Mapping[str, set[str]]:
        return ApiKeys(self._settings.server.keys).roles()

    @property
    def avatars(self) -> list[AvatarProfile]:
        """The avatar profiles that the caller sees."""
        return [one for one in AvatarStore(self._settings.paths.avatars).all_profiles() if self.sees(one)]

    @property
    def voices(self) -> dict[str, Any]:
        """The list of voices as the daemon published it, of which the caller sees what it may."""
        published = published_voices(self._settings.paths.outbox)
        rows = published.get("voices")
        if not self._hidden_voices or not isinstance(rows, list):
            return published
        return {**published, "voices": [row for row in rows if not _is_of(row, self._hidden_voices)]}

    def check_seen(self, profile: Owned, thing: str) -> None:
        """Refuse to show a profile that the caller does not see. `thing`: avatar or voice.

        Raises:
            JobError: `avatar-unknown`, `voice-unknown`.
        """
        if not self.sees(profile):
            raise _unknown(thing, profile.name)

    def check(self, manifest: Manifest) -> None:
        """Refuse a job that uses a profile which its caller does not see.

        Raises:
            JobError: `avatar-unknown`, `voice-unknown`, as of one that is not there.
        """
        if self._caller.sees_all:
            return
        avatar, voice = manifest.avatar or "", manifest.voice
        if avatar and avatar.strip().casefold() in self._hidden_avatars:
            raise _unknown("avatar", avatar)
        if voice != "default" and {voice.casefold(), voice.rpartition("/")[2].strip().casefold()} & self._hidden_voices:
            raise _unknown("voice", voice)

    @cached_property
    def _hidden_avatars(self) -> frozenset[str]:
        return self._hidden(AvatarStore(self._settings.paths.avatars).all_profiles())

    @cached_property
    def _hidden_voices(self) -> frozenset[str]:
        from stages.tts.profile_store import ProfileStore

        try:
            return self._hidden(ProfileStore(self._settings.paths.profiles).all_profiles())
        except PermissionError:  # it cannot be told whose they are
            rows = published_voices(self._settings.paths.outbox).get("voices")
            made = (
                [row for row in rows if isinstance(row, dict) and row.get("profile")] if isinstance(rows, list) else []
            )
            names = (str(name) for row in made for name in (row.get("name"), *row.get("aliases", ())))
            return frozenset() if self._caller.sees_all else frozenset(map(str.casefold, names))

    def _hidden(self, profiles: Iterable[Owned]) -> frozenset[str]:
        """Return ids and names, in small letters, of the profiles that the caller does not see."""
        if self._caller.sees_all:
            return frozenset()
        return frozenset(name.casefold() for one in profiles if not self.sees(one) for name in (one.id, one.name))


def _is_of(row: object, hidden: frozenset[str]) -> bool:
    """Return whether a row of the list of voices is that of a profile which is hidden."""
    if not isinstance(row, dict) or not row.get("profile"):
        return False
    aliases = row.get("aliases")
    return any(
        str(name).casefold() in hidden for name in (*(aliases if isinstance(aliases, list) else ()), row.get("name"))
    )


def _unknown(thing: str, wanted: str) -> JobError:
    return JobError(
        f"{thing}-unknown",
        f"There is no {thing} profile '{wanted[:80]}' that this key may use.",
        f"GET /{thing}/profiles lists those that it may.",
    )


def _is_user(name: str) -> bool:
    """Return whether a name is that of a user of this machine, or of one that has none (`uid 1234`)."""
    with contextlib.suppress(KeyError, ValueError):
        return name.startswith("uid ") or bool(pwd.getpwnam(name))
    return False
