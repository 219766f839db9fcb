"""What the pages of avatars and voices show of each: licence, consent, and how many of the latest jobs used it."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from daemon.config import Settings
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.profile_owners import SeenProfiles
from daemon.errors import AvatarError, escape_unprintable
from daemon.history.database import HistoryError
from daemon.history.query import Query
from daemon.jobs.language import LANGUAGE_NAMES
from daemon.profiles.avatars import AvatarStore

if TYPE_CHECKING:
    from stages.tts.engines.voice_list import VoiceRow

#: So many of the latest jobs are looked at for what they used.
LOOKED_AT: Final = 200


@dataclass(frozen=True)
class Uses:
    """What the latest jobs used. `jobs`: how many were looked at; `by`: how many used a voice or an avatar, by its id or name."""

    jobs: int
    by: Mapping[str, int]

    def words(self, *names: str) -> str:
        """Return how many of them used something, in a sentence; empty where there was no job. `names`: what it is called."""
        if not self.jobs:
            return ""
        used = max((self.by.get(name.casefold(), 0) for name in names), default=0)
        which = "the latest job" if self.jobs == 1 else f"the latest {self.jobs} jobs"
        return f"Used by {used} of {which}." if used else f"Not used by {which}."


def uses(jobs: Jobs, caller: Caller) -> Uses:
    """Count what the latest jobs used of those that somebody may see."""
    try:
        found, _ = jobs.find(
            Query(
                by=[] if caller.sees_all else [caller.name],
            ).without_looks,
            caller,
            limit=LOOKED_AT,
            after=None,
        )
    except HistoryError:
        return Uses(0, {})
    counts: Counter[str] = Counter()
    for row in found:
        stages = jobs.full(row).get("stages")
        facts = [one for one in stages.values() if isinstance(one, Mapping)] if isinstance(stages, Mapping) else []
        named = {str(one[key]).casefold() for one in facts for key in ("avatar", "profile", "voice") if one.get(key)}
        counts.update(named)
    return Uses(len(found), counts)


@dataclass(frozen=True)
class AvatarCard:
    """One avatar profile.

    Attributes:
        consent: who agreed; empty if nobody wrote it down.
        until: on which day the consent ends, or ended, in a sentence; empty without an end.
        usable: whether a job may use it now; `why` says why not.
        voice: the voice that its jobs use, unless they name another.
    """

    id: str
    name: str
    title: str
    consent: str
    until: str
    usable: bool
    why: str
    voice: str
    used: str
    generated: str


def avatar_cards(settings: Settings, used: Uses, caller: Caller) -> list[AvatarCard]:
    """Return the avatars that a caller sees; to admins also those that are damaged.

    Raises:
        PermissionError: this process may not look into their folder.
    """
    store, cards = AvatarStore(settings.paths.avatars), []
    for one in SeenProfiles(settings, caller).avatars:
        why = _refusal(lambda one=one: store.check_usable(one, require_consent=settings.stages.face.require_consent))  # type: ignore[misc]
        cards.append(
            AvatarCard(
                one.id, one.name, one.title, one.consent, _until(one.expires), not why, why,
                str(one.defaults.get("voice") or ""), used.words(one.id, one.name),
                str((one.generated or {}).get("model") or ""),
            )
        )  # fmt: skip
    for wrong in store.unusable_profiles() if caller.sees_all else ():
        why = f"{wrong.message} {wrong.hint}".strip()
        cards.append(AvatarCard(wrong.profile_id, wrong.name or wrong.profile_id, "", "", "", False, why, "", "", ""))
    return cards


@dataclass(frozen=True)
class VoiceCard:
    """One voice.

    Attributes:
        id: `engine/name`.
        languages: in words.
        tags: the same as tags, such as `en`.
        profile: id of the voice profile; empty for a voice that came with an engine.
        consent, until: as of avatars; None where no consent is needed.
        lacking, remedy: why it cannot be used, and what to do; empty where it can.
    """

    id: str
    name: str
    languages: str
    tags: tuple[str, ...]
    about: str
    licence: str
    profile: str
    consent: str | None
    until: str
    lacking: str
    remedy: str
    used: str


def voice_cards(settings: Settings, used: Uses, caller: Caller) -> list[VoiceCard]:
    """Return the voices as the service published them that a caller sees, those of people first. What is no voice in that list
    is left out.
    """
    from stages.tts.engines.voice_list import VoiceRow

    listed, cards = SeenProfiles(settings, caller).voices.get("voices"), []
    people = _consents(settings)
    for row in listed if isinstance(listed, list) else ():
        with contextlib.suppress(ValidationError):
            card = _voice(VoiceRow.model_validate(row), used)
            consent, until = people.get(card.profile, (None, ""))
            cards.append(replace(card, consent=consent, until=until))
    return sorted(cards, key=lambda card: (not card.profile, bool(card.lacking)))


def _voice(row: VoiceRow, used: Uses) -> VoiceCard:
    names = list(dict.fromkeys(LANGUAGE_NAMES.get(tag.partition("-")[0].casefold(), tag) for tag in row.languages))
    return VoiceCard(
        id=row.id,
        name=row.name,
        languages=", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else ""),
        tags=tuple(row.languages),
        about=row.description,
        licence=row.licence,
        profile=next((one for one in row.aliases if one.startswith("vp-")), "") if row.profile else "",
        consent=None,
        until="",
        lacking="" if row.installed else row.lacking or "It is not installed.",
        remedy="" if row.installed else row.remedy or "",
        used=used.words(row.id, *row.aliases),
    )


def _consents(settings: Settings) -> dict[str, tuple[str, str]]:
    """Return consent and end of each voice profile that this process may read."""
    from stages.tts.profile_store import ProfileStore

    try:
        found = ProfileStore(settings.paths.profiles).all_profiles()
    except OSError:
        return {}
    return {one.id: (escape_unprintable(one.consent), _until(one.expires)) for one in found}


def _until(expires: date | None) -> str:
    if expires is None:
        return ""
    return f"It {'ended' if expires < date.today() else 'ends'} on {expires}."  # noqa: DTZ011 (people's own days)


def _refusal(check: Callable[[], None]) -> str:
    try:
        check()
    except AvatarError as exc:
        return f"{exc.message} {exc.hint}".strip()
    return ""
