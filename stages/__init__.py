"""The stages of a job, a package each. They know models and media, but not the queue."""

from __future__ import annotations

import daemon  # noqa: F401  sets the environment of libraries before any stage imports them
