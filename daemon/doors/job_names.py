"""Names of jobs: one for a job that has none, the next version of one, and what can be one."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

from daemon.config.paths import Paths
from daemon.errors import JobError
from daemon.intake.inbox_names import ignored, is_defaults
from daemon.outbox.names import clean_stem, next_version
from daemon.outbox.outbox import Outbox


def made_up_name(words: str) -> str:
    """Return a new name for a manifest that has none: up to 32 characters of `words`, and random ones."""
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower())[:32].strip("-")
    return f"{slug or 'job'}-{secrets.token_hex(3)}"


def next_name(outbox: Path, before: str) -> str:
    """Return the name for a job that is made again: the next version of the earlier result's that is free, such as hello-v2."""
    folder, name = Outbox(outbox), next_version(os.path.basename(before))
    while not folder.is_free(name):
        name = next_version(name)
    return name


def free_name(paths: Paths, wanted: str) -> str:
    """Return a name for a manifest and its results, as the daemon gives one to what is dropped: this one, or its next version
    that is free.
    """
    name = wanted
    while not Outbox(paths.outbox).is_free(name) or os.path.lexists(paths.inbox / f"{name}.yaml"):
        name = next_version(name)
    return name


def check_name(name: str) -> str:
    """Return the name of a result, if it can be one as it stands.

    Raises:
        JobError: `manifest-invalid`, naming one that can.
    """
    if not isinstance(name, str):
        raise JobError("manifest-invalid", f"The name {name!r} is no text.", f"Use {str(name)!r}, for example.")
    if (other := possible_name(name)) != name:
        raise JobError(
            "manifest-invalid", f"{name[:100]!r} cannot name a file everywhere.", f"Use {other!r}, for example."
        )
    return name


def possible_name(name: str) -> str:
    """Return a name, or one like it where a result cannot be called so."""
    if _can_name(name):
        return name
    plain = clean_stem(name).lstrip("~$_") or "job"
    return plain if _can_name(plain) else clean_stem(f"job-{plain}")


def _can_name(name: str) -> bool:
    return bool(name) and clean_stem(name) == name and not (ignored(f"{name}.yaml") or is_defaults(f"{name}.yaml"))
