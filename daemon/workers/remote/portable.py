"""Decides which stages of which jobs may be done on another machine: those that need nothing but the job's folder, models and
voice profiles.
"""

from __future__ import annotations

from typing import Final

from daemon.jobs.kinds import KINDS
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage

#: Stages of the gpu lane and the long ones of the cpu lane. The others take less time than the way, or write into the outbox.
REMOTE_GPU: Final[frozenset[Stage]] = frozenset({"generate", "tts", "lipsync"})
REMOTE_CPU: Final[frozenset[Stage]] = frozenset({"encode", "transcode"})
#: Stages that may speak with a voice profile, which goes along. Avatar profiles are copied into the job's folder.
SPEAKING: Final[frozenset[str]] = frozenset({"tts"})


def is_portable(job: Job) -> bool:
    """Return whether another machine can run a job's stage: all but those that make a profile, or jobs."""
    kind = KINDS.get(str(job.manifest.get("kind", "video")).casefold())
    if kind is None or kind.makes_jobs:
        return False
    return not (kind.makes_profile and job.stage == "tts") and not (kind.makes_avatar and job.stage == "face")
