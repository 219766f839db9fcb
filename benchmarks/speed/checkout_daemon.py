"""A daemon of any checkout of this repository, in a folder of its own, and videos that are made by it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import yaml

from benchmarks import PORTRAIT
from benchmarks.programs import start_program

TEXT = "The north wind and the sun were disputing which was the stronger."  # about 3 s
LOOK_S = 0.01


def renamed(path: Path, content: bytes) -> None:
    """Put a file into the inbox as programs do that want nobody to read half of it."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.rename(path)


class CheckoutDaemon:
    """A daemon of one tree in a folder of its own."""

    def __init__(self, tree: Path, root: Path, size: str) -> None:
        self.inbox, self.outbox, self._size = root / "inbox", root / "outbox", size
        self.inbox.mkdir()
        self.outbox.mkdir()
        config = {
            "paths": {name: name for name in ("inbox", "outbox", "spool", "cache")},
            "metrics": {"enabled": False},
            "log": {"format": "json"},
        }
        (root / "config.yaml").write_text(yaml.safe_dump(config))
        self._log = root / "log"
        environment = {**os.environ, "PYTHONPATH": str(tree)}
        command = [sys.executable, "-m", "daemon", "--config", str(root / "config.yaml")]
        with self._log.open("wb") as log:
            self.process = start_program(command, cwd=tree, env=environment, stdout=log, stderr=log)
        while b'"ready"' not in self._log.read_bytes():
            if self.process.poll() is not None:
                raise SystemExit(f"The daemon of {tree} ended:\n{self._log.read_text()}")
            time.sleep(LOOK_S)

    def video(self, name: str, portrait: bytes, **wanted: str) -> tuple[float, dict[str, float]]:
        """Return seconds from the drop to the end of a job, and those of its stages; `wanted`: more keys of its manifest."""
        manifest = {"text": TEXT, "image": f"{name}.png", "size": self._size, **wanted}
        began = time.monotonic()
        renamed(self.inbox / f"{name}.png", portrait)
        renamed(self.inbox / f"{name}.yaml", yaml.safe_dump(manifest).encode())
        while (status := self.status(name)).get("state") not in ("done", "failed", "cancelled"):
            time.sleep(LOOK_S)
        seconds = time.monotonic() - began
        if status["state"] != "done":
            raise SystemExit(f"{name} is {status['state']}: {status.get('error')}\n{self._log.read_text()}")
        return seconds, {stage: spent["run"] for stage, spent in status["timings"].items()}

    def status(self, name: str) -> dict[str, Any]:
        """Return the status file of a job; empty if there is none yet."""
        try:
            status: dict[str, Any] = json.loads((self.outbox / f"{name}.json").read_bytes())
        except FileNotFoundError:
            return {}
        return status

    def stop(self) -> None:
        """End the daemon with SIGTERM, and wait for its end."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def other_portrait() -> bytes:
    """Return the example, mirrored: a picture that no cache knows."""
    return bytes(cv2.imencode(".png", cv2.imread(str(PORTRAIT))[:, ::-1])[1])
