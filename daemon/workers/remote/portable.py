"""Decides which stages of which jobs may be done on another machine: those that need nothing but the job's folder and models."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from daemon.jobs.kinds import KINDS
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage

#: Stages of the gpu lane and the long ones of the cpu lane. The others take less time than the way, or write into the outbox.
REMOTE_GPU: Final[frozenset[Stage]] = frozenset({"generate", "tts", "lipsync"})
REMOTE_CPU: Final[frozenset[Stage]] = frozenset({"encode", "transcode"})
#: Engines whose voices are no profiles of this machine.
_WITHOUT_PROFILES = ("coqui/", "kokoro/", "piper/", "hibari/")


class Portable:
    """Tells whether a job's stage may be done elsewhere. `profiles`: the folder of voice profiles, which stay on this machine."""

    def __init__(self, profiles: Path) -> None:
        self._profiles = profiles

    def __call__(self, job: Job) -> bool:
        """Return whether it may; profiles are neither made nor used on other machines."""
        kind = KINDS.get(str(job.manifest.get("kind", "video")).casefold())
        if kind is None or kind.makes_profile or kind.makes_avatar or kind.makes_jobs:
            return False
        if job.stage != "tts" or job.manifest.get("audio") is not None:
            return True
        return str(job.manifest.get("voice", "")).casefold().startswith(_WITHOUT_PROFILES) or not self._has_profiles()

    def _has_profiles(self) -> bool:
        try:
            return any(not name.startswith(".") for name in os.listdir(self._profiles))
        except OSError:
            return False
