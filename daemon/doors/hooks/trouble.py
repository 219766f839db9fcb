"""Says what keeps the hooks from telling others, for `avatar status` and `avatar doctor`."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from daemon.config import Settings
from daemon.config.hooks import Hooks
from daemon.doors.hooks.run_lock import is_running
from daemon.doors.hooks.store import Store
from daemon.errors import AvatarError
from daemon.jobs.iso_time import iso
from daemon.jobs.kinds import KINDS


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a hook, or with all of them (an empty name). `message` and `hint`: sentences."""

    hook: str
    message: str
    hint: str

    def to_json(self) -> dict[str, Any]:
        """Return it as `avatar status --json` shows it."""
        return asdict(self)


def find_troubles(settings: Settings) -> list[Trouble]:
    """Return what stands still; nothing where whoever asks may not look, and where there are no hooks."""
    with contextlib.suppress(OSError, AvatarError):
        return _find(settings)
    return []


def unknown_kinds(hooks: Hooks) -> Iterator[Trouble]:
    """Yield what is wrong with `kinds` of hooks: a kind that there is none of is never told, and nobody would know."""
    for hook in hooks.targets:
        for kind in hook.kinds:
            if kind not in KINDS:
                likely = difflib.get_close_matches(kind, KINDS, 1)
                meant = f"Did you mean {likely[0]}? " if likely else ""
                message = f"`kinds` of the hook {hook.name} names {kind!r}, and there is no such kind of job."
                yield Trouble(hook.name, message, f"{meant}The kinds are {', '.join(KINDS)}.")


def _find(settings: Settings) -> list[Trouble]:
    store = Store(settings.paths.hooks)
    counts = store.counts() if store.exists() else {}
    wanted = bool(settings.hooks.targets or settings.hooks.callbacks or any(one["waiting"] for one in counts.values()))
    found = [*unknown_kinds(settings.hooks)]
    if wanted and not is_running(settings.paths.hooks):
        found.append(
            Trouble(
                "",
                "The hooks do not run, so nobody is told when jobs end.",
                "Start them: `systemctl enable --now avatard-hooks`, or `avatar hooks run`.",
            )
        )
    for hook, one in counts.items():
        if one["failing"]:
            message = (
                f"{one['failing']} of {one['waiting']} messages were tried in vain, the oldest of {iso(one['oldest'])}."
            )
            found.append(Trouble(hook, f"{message} {one['note']}".strip(), "See `avatar hooks list`."))
    return found
