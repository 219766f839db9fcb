"""Checks whom a job wants to be told of its end, by the hosts that the configuration allows."""

from __future__ import annotations

from daemon.config import Settings
from daemon.config.hooks import callback_fault
from daemon.errors import JobError
from daemon.jobs.manifest import Manifest


def check_notify(manifest: Manifest, settings: Settings) -> None:
    """Refuse a manifest whose `notify` names a host that the configuration does not allow.

    Raises:
        JobError: `notify-not-allowed`.
    """
    if manifest.notify is not None and (fault := callback_fault(manifest.notify, settings.hooks)):
        raise JobError(
            "notify-not-allowed",
            f"`notify` {fault}.",
            "Remove it, or ask whoever runs avatard to name the host in `hooks.callbacks` of config.yaml.",
        )
