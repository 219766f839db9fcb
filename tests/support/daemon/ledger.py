"""What was dropped, written down, so that at the end it can be counted against what came out."""

from __future__ import annotations

import hashlib
import io
import json
import os
import wave
from pathlib import Path
from typing import Any

import yaml

from daemon.outbox.outbox import VOICES, VOICES_PAGE
from daemon.system import fs
from daemon.system.mount_guard import MARK
from tests.conftest import FINISHED, PORTRAIT, Installation, wait_for

ENDINGS: dict[str, list[str]] = {
    "speech": [".json", ".timing.json", ".wav"],
    "detect": [".face.jpg", ".face.json", ".json"],
    "video": [".jpg", ".json", ".mp4"],
}
WORDS = ("Good morning.", "Come in.", "Yes.", "It is late.", "Who goes there?")


def sound(seconds: float, rate: int = 16_000) -> bytes:
    """Return a WAV of a plain tone: a job that brings it needs ffmpeg and no model."""
    half = b"\x00\x10" * 40 + b"\x00\xf0" * 40
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(half * int(rate * seconds / 80))
    return file.getvalue()


class Ledger:
    """Drops jobs into one installation and remembers them by name."""

    def __init__(self, house: Installation) -> None:
        self.house = house
        self.dropped: dict[str, str] = {}
        fs.replace_bytes(house.inbox / "p.png", PORTRAIT.read_bytes())
        fs.replace_bytes(house.inbox / "s.wav", sound(0.4))
        fs.replace_bytes(house.inbox / "long.wav", sound(4.0))

    def drop(self, what: str, *, durable: bool = True) -> str:
        """Hand in one job by rename, flushed as a careful sender does, or not. `what`: a key of `manifests` below."""
        name = f"{what}{len(self.dropped):04d}"
        manifests: dict[str, dict[str, Any]] = {
            "spoken": {"kind": "speech", "text": WORDS[len(self.dropped) % len(WORDS)]},
            "brought": {"kind": "speech", "audio": "s.wav"},
            "detect": {"kind": "detect", "image": "p.png"},
            "video": {"text": "Hello.", "image": "p.png", "size": "256x256"},
            "film": {"audio": "long.wav", "image": "p.png", "size": "256x256"},
        }
        manifest = manifests[what]
        temporary = self.house.inbox / f".{name}.tmp"
        with temporary.open("w") as file:
            file.write(yaml.safe_dump(manifest))
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.rename(self.house.inbox / f"{name}.yaml")
        if durable:
            fs.OPS.sync_dir(self.house.inbox)
        self.dropped[name] = manifest.get("kind", "video")
        return name

    def wait(self) -> None:
        """Wait until every job is at its end and rests."""

        def all_finished() -> bool:
            return all((s := self.house.status(name)) is not None and s["state"] in FINISHED for name in self.dropped)

        wait_for("every job to finish", all_finished)
        wait_for("the jobs to rest", lambda: len(self.house.jobs("done", "failed")) >= len(self.dropped))

    def count(self) -> None:
        """Everything that was dropped is there: whole, once, and nothing else is."""
        house = self.house
        found = sorted(path.name for path in house.outbox.iterdir() if path.name not in (MARK, VOICES, VOICES_PAGE))
        assert found == sorted(name + ending for name, kind in self.dropped.items() for ending in ENDINGS[kind])
        ids = {self._check(name) for name in self.dropped}
        assert len(ids) == len(self.dropped)
        assert house.jobs("done") == sorted(ids)
        assert house.all_jobs() == sorted(ids)
        ends = [line["job_id"] for line in house.events("job finished")]
        assert len(ends) == len(set(ends)), "a job ended twice"
        assert sorted(path.name for path in house.inbox.glob("[!.]*")) == ["long.wav", "p.png", "s.wav"]
        assert not (left := leftovers(house)), left

    def _check(self, name: str) -> str:
        status = self.house.status(name)
        assert status is not None, name
        assert status["state"] == "done", f"{name}: {status}"
        for output in status["outputs"]:
            data = (self.house.outbox / output["file"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (output["bytes"], output["sha256"]), name
            assert output["file"].startswith(f"{name}.")
            assert whole(output["file"], data), f"{output['file']} is torn"
        record = json.loads((self.house.spool / "done" / status["job"] / "job.json").read_bytes())
        assert record["source"] == f"{name}.yaml"
        return str(status["job"])


def whole(name: str, data: bytes) -> bool:
    """Return whether a result can be read to its end; a torn one has the right digest too if it was torn before it was copied."""
    if name.endswith(".wav"):
        with wave.open(io.BytesIO(data), "rb") as file:
            return file.getnframes() > 1000 and len(file.readframes(file.getnframes())) == 2 * file.getnframes()
    if name.endswith(".mp4"):
        return data.startswith(b"ftyp", 4) and b"moov" in data
    if name.endswith(".jpg"):
        return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")
    return isinstance(json.loads(data), dict)


def leftovers(house: Installation) -> list[Path]:
    """Return files and folders that a finished run has no business to leave."""
    places = [house.spool / name for name in ("tmp", "waiting")] + [house.inbox / ".claimed"]
    left = [path for place in places for path in place.iterdir()]
    hidden = [
        path for root in (house.outbox, house.spool) for path in root.rglob(".*") if path.name not in (MARK, VOICES)
    ]
    temporary = [path for path in house.spool.rglob("*.tmp*") if path.name != "tmp"]
    return left + hidden + temporary
