"""avatard: the service. Jobs, folders, processes, time; no model code is imported here."""

from __future__ import annotations

__version__ = "0.1.0"
