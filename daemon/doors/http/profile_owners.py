"""Says which voice and avatar profiles a caller sees and uses: shared ones, and those that its own key made.

A profile keeps who made it (`by`). One that was made in the name of a key is that key's, unless it is an admin's. One that a
command made, or a job that came as a file of a user of this machine, is shared. Of a key that is revoked only admins see what it
made: its name is nobody's then.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.callers import Caller
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from daemon.profiles.avatars import WORDS as AVATARS
from daemon.profiles.avatars import AvatarStore
from daemon.profiles.profile_folders import ProfileWords


class Owned(Protocol):
    """What says whose a profile is."""

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
        """Who made it."""
        ...


class ProfileOwners:
    """Whose the profiles of an installation are."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def may_see(self, profile: Owned, caller: Caller) -> bool:
        """Return whether a caller sees and uses a profile."""
        return caller.owns(profile.by) or self._is_shared(profile.by)

    def _is_shared(self, by: str) -> bool:
        roles = {key.role for key in ApiKeys(self._settings.server.keys).all() if key.name == by}
        if roles:
            return roles == {"admin"}
        return not by or by == _user_of(by)

    def avatars(self, caller: Caller) -> list[Any]:
        """Return the avatar profiles that a caller sees."""
        return [one for one in AvatarStore(self._settings.paths.avatars).all_profiles() if self.may_see(one, caller)]

    def hidden_voices(self, caller: Caller) -> set[str]:
        """Return the ids of voice profiles that a caller does not see."""
        return {one.id for one in self._voices() if not self.may_see(one, caller)}

    def _voices(self) -> Iterable[Any]:
        from stages.tts.profile_store import ProfileStore

        return ProfileStore(self._settings.paths.profiles).all_profiles()

    def check(self, manifest: Mapping[str, Any] | Manifest, caller: Caller) -> None:
        """Refuse a job that uses a profile which its caller does not see.

        Raises:
            JobError: `avatar-unknown`, `voice-unknown`, as of one that is not there.
        """
        if caller.sees_all:
            return
        wanted = manifest.model_dump(include={"voice", "avatar"}) if isinstance(manifest, Manifest) else manifest
        if avatar := wanted.get("avatar"):
            self._refuse(str(avatar), AvatarStore(self._settings.paths.avatars).all_profiles(), AVATARS, caller)
        if (voice := str(wanted.get("voice") or "")) and voice != "default":
            from stages.tts.profile_store import WORDS

            self._refuse(voice.rpartition("/")[2], self._voices(), WORDS, caller)

    def _refuse(self, wanted: str, profiles: Iterable[Owned], words: ProfileWords, caller: Caller) -> None:
        key = wanted.strip().casefold()
        for one in profiles:
            if key in (one.id, one.name.casefold()) and not self.may_see(one, caller):
                raise JobError(
                    words.unknown,
                    f"There is no {words.thing} profile '{wanted[:80]}' that this key may use.",
                    f"GET /{words.thing}/profiles lists those that it may.",
                )


def _user_of(name: str) -> str | None:
    """Return a name if it is that of a user of this machine, or of one that has none (`uid 1234`)."""
    if name.startswith("uid "):
        return name
    try:
        return pwd.getpwnam(name).pw_name
    except (KeyError, ValueError):
        return None
