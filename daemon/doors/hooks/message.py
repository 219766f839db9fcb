"""What is told of a job that has ended, and to whom."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from daemon.config.hooks import Hook, Hooks, callback_fault, url_fault
from daemon.config.message_template import fill
from daemon.history.entry import tags_of
from daemon.jobs.iso_time import iso
from daemon.jobs.record import FINISHED, Job
from daemon.outbox import looks
from daemon.outbox.status_file import next_step, status_of

#: The name under which a job's own `notify` stands in the queue, before its host.
NOTIFY: Final = "notify:"


@dataclass(frozen=True, slots=True)
class Message:
    """What is told. It stays the same at every attempt.

    Attributes:
        id: `JOB-STATE-MILLISECONDS` of its end: the same however often the job is looked at, and another one where the job was
            started again and ended again.
        type: `job.done`, `batch.failed`, …
        at: when the job ended, seconds since the epoch.
        data: the content of the job's status file (docs/status.md), with `tags`.
    """

    id: str
    type: str
    at: float
    data: dict[str, Any]

    def body(self, hook: Hook | None) -> bytes:
        """Return what is sent: by the template of a hook where it has one, else JSON."""
        if hook is not None and hook.body:
            return fill(hook.body, self.values(), escape_json=hook.is_json).encode()
        whole = {"type": self.type, "timestamp": iso(self.at), "data": self.data}
        return json.dumps(whole, separators=(",", ":")).encode()  # ASCII: file names need not be valid Unicode

    def values(self) -> dict[str, Any]:
        """Return the values of `daemon.config.message_template.PLACES`."""
        error = self.data.get("error")
        errors = {f"error.{key}": value for key, value in error.items()} if isinstance(error, Mapping) else {}
        outputs = self.data.get("outputs") or []
        return {
            **self.data,
            **errors,
            "id": self.id,
            "type": self.type,
            "output": outputs[-1]["file"] if outputs else "",
            "tags": ", ".join(self.data["tags"]),
        }


def message_of(job: Job, outbox: Path) -> Message | None:
    """Return what is told of a job; None if it has not ended. Made from the record, as others can write status files."""
    if job.state not in FINISHED or job.finished is None:
        return None
    status = status_of(job)
    data = {**status, "updated": status["finished"], "next": next_step(job, outbox)}
    data["tags"] = list(tags_of(job.manifest.get("metadata")))
    what = "batch" if data.get("kind") == "batch" else "job"
    return Message(f"{job.id}-{job.state}-{round(job.finished * 1000)}", f"{what}.{job.state}", job.finished, data)


def trial() -> Message:
    """Return the message of `avatar hooks test`."""
    import secrets
    import time

    now = time.time()
    data: dict[str, Any] = {
        "schema": 1,
        "job": None,
        "name": "test",
        "state": "done",
        "kind": "video",
        "by": None,
        "accepted": iso(now),
        "finished": iso(now),
        "next": "Nothing: this is a test.",
        "tags": [],
    }
    return Message(f"test-{secrets.token_hex(8)}", "hook.test", now, data)


def receivers(
    message: Message, notify: object, hooks: Hooks, *, was_accepted: bool
) -> Iterator[tuple[str, str, bytes]]:
    """Yield to whom a message goes: the hook's name, the URL where the job itself gave it, and the body.

    Args:
        notify: `notify` of the manifest.
        was_accepted: whether the job was taken in.
    """
    for hook in hooks.targets:
        if wants(hook, message.data):
            yield hook.name, "", message.body(hook)
    # A host that the daemon allowed and this process does not know yet is queued, too: it is known once the hooks are reloaded.
    # A job that was refused named any host.
    if isinstance(notify, str) and not (url_fault(notify) if was_accepted else callback_fault(notify, hooks)):
        host = urlsplit(notify).hostname or ""
        yield f"{NOTIFY}{host}", notify, message.body(None)


def wants(hook: Hook, data: Mapping[str, Any]) -> bool:
    """Return whether a hook is told of a job, by its status and tags. Looks of the page are told by their tag only."""
    return (
        data["state"] in hook.when
        and (not hook.kinds or data.get("kind") in hook.kinds)
        and (not hook.by or data.get("by") in hook.by)
        and all(tag in data["tags"] for tag in hook.tags)
        and (looks.TAG in hook.tags or not looks.is_look(str(data.get("name")), data))
        and (hook.rows or not data.get("row"))
    )
