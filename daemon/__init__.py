"""avatard: the service. Jobs, folders, processes, time; no model code is imported here."""

from __future__ import annotations

import os

__version__ = "0.1.0"

#: Keeps libraries from sending their makers what a machine does with them: onnxruntime since 1.29, which also keeps a device id
#: and a database in the user's cache, what huggingface-hub adds to its requests, and Ray's statistics. Set before any of them is
#: imported, as onnxruntime reads it once; child processes inherit it.
NOT_SENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "DO_NOT_TRACK": "1",
}
os.environ.update(NOT_SENT)
