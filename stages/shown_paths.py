"""Shortens paths in messages that end in the outbox, where people see no more of this machine than the inbox and the outbox."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from daemon.config import Settings
from daemon.errors import AvatarError, MachineError


def shorten_paths(text: str, settings: Settings) -> str:
    """Replace the folders of the installation in a text by their names, such as /var/lib/avatard/models/a.bin by models/a.bin."""
    paths = settings.paths
    names = {getattr(paths, name): name for name in type(paths).model_fields} | {Path(sys.prefix): "python"}
    for folder in sorted(names, key=lambda folder: len(folder.parts), reverse=True):
        if len(folder.parts) > 1:
            text = re.sub(rf"(?<![\w./-]){re.escape(str(folder))}(?!\.?[\w-])", names[folder], text)
    return text


def with_short_paths(error: AvatarError, settings: Settings) -> AvatarError:
    """Return the error with shortened paths, unless it stops a lane: then only operators see it, and they need whole paths."""
    if isinstance(error, MachineError):
        return error
    error.message, error.hint = (shorten_paths(text, settings) for text in (error.message, error.hint))
    return error
