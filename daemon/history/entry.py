"""What the index holds of a job, made from its record in the spool, or from its status file where the record is gone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.errors import escape_unprintable
from daemon.history.folding import fold
from daemon.history.places import place_of
from daemon.jobs.iso_time import iso
from daemon.jobs.record import JOB_ID, Job
from daemon.jobs.stages import STAGES
from daemon.outbox.status_file import NEXT, TEXT_CHARS, kind_of, text_of

#: Most tags of a job, and most characters of a tag, a file's name or an error's message; a longer one is cut.
MAX_TAGS, MAX_TAG, MAX_WORDS = 32, 100, 500
#: Longer than any path below the outbox.
MAX_NAME = 4096
#: Characters of a job's text that a list shows.
SHOWN_TEXT = 120


@dataclass(frozen=True, slots=True)
class Entry:
    """One job. Times are milliseconds since the epoch.

    Attributes:
        job: its id, empty for a manifest that is no job yet; `name`: of its results.
        by: who handed it in; empty if that is not known.
        waiting_for: files that its manifest waits for.
        spoken: the beginning of the text.
        audio_s: length of the speech in s. `work_s`: seconds that its stages ran, in all.
    """

    job: str
    name: str
    state: str
    stage: str | None = None
    kind: str | None = None
    by: str = ""
    source: str = ""
    document: int = 0
    accepted: int = 0
    finished: int | None = None
    priority: int = 0
    error: dict[str, Any] | None = None
    waiting_for: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    spoken: str = ""
    audio_s: float = 0.0
    work_s: float = 0.0

    @property
    def text(self) -> str:
        """So much of the text as a list shows."""
        return _cut(" ".join(self.spoken.split()), SHOWN_TEXT)

    @property
    def words(self) -> str:
        """All that is searched beside the name, folded: the manifest's path, the tags and the text, each in a line."""
        return "\n".join(filter(None, (fold(part) for part in (self.source, *self.tags, self.spoken))))

    @property
    def place(self) -> int:
        """Where it stands among all jobs: a later job has a larger place. The same from whatever it was made."""
        return place_of(self.accepted, self.job)

    @classmethod
    def of_job(cls, job: Job) -> Entry:
        """Return the entry of a record."""
        return cls._of(
            job=job.id,
            name=job.name,
            state=job.told_state,
            stage=job.stage,
            kind=kind_of(job),
            by=job.by,
            source=job.source,
            document=job.document,
            accepted=_milliseconds(iso(job.accepted)) or 0,
            finished=_milliseconds(iso(job.finished)),
            priority=job.priority,
            error=job.error,
            waiting_for=job.facts.missing if job.state == "waiting" else (),
            metadata=job.manifest.get("metadata"),
            text=text_of(job),
            audio_s=job.audio_s,
            timings=job.timings,
        )

    @classmethod
    def of_status(cls, status: Mapping[str, Any]) -> Entry | None:
        """Return the entry of a status file, whose content is not trusted; None if it can be none of ours. A manifest that is no
        job yet has no id.
        """
        job, state = str(status.get("job") or ""), str(status.get("state"))
        if state not in NEXT or not (JOB_ID.fullmatch(job) or (state == "waiting" and not job)):
            return None
        if not isinstance(status.get("name"), str):
            return None
        stages = status.get("stages")
        facts = stages.get("tts") if isinstance(stages, dict) else None
        audio_s = facts.get("audio_s") if isinstance(facts, dict) else None
        document = status.get("document")
        stage = status.get("stage")
        return cls._of(
            job=job,
            name=status["name"],
            state=state,
            stage=stage if stage in STAGES else None,
            kind=status.get("kind"),
            by=status.get("by"),
            source=status.get("source"),
            document=document if isinstance(document, int) and 0 <= document < 1 << 31 else 0,
            accepted=_milliseconds(status.get("accepted")) or 0,
            finished=_milliseconds(status.get("finished")),
            priority=0,
            error=status.get("error"),
            waiting_for=status.get("waiting_for"),
            metadata=status.get("metadata"),
            text=status.get("text"),
            audio_s=audio_s,
            timings=status.get("timings"),
        )

    @classmethod
    def _of(cls, *, metadata: Any, timings: Any, text: Any, error: Any, waiting_for: Any, **known: Any) -> Entry:
        spoken = text[:TEXT_CHARS] if isinstance(text, str) else ""
        tags = tags_of(metadata)
        for key in ("kind", "by", "source"):
            value = known[key]
            known[key] = _cut(value) if isinstance(value, str) else (None if key == "kind" else "")
        known["name"] = _cut(known["name"], MAX_NAME)
        return cls(
            **{**known, "audio_s": _number(known["audio_s"])},
            error=_error(error),
            waiting_for=tuple(_cut(str(file)) for file in waiting_for[:MAX_TAGS])
            if isinstance(waiting_for, list | tuple)
            else (),
            tags=tags,
            spoken=spoken,
            work_s=_work(timings),
        )


def tags_of(metadata: Any) -> tuple[str, ...]:
    """Return the tags of a job by the `metadata` of its manifest: those below `tags`, a list or one, and `key=value` for every
    other value that is a text, a number, true or false.
    """
    if not isinstance(metadata, dict):
        return ()
    listed = metadata.get("tags")
    found = [tag for tag in (listed if isinstance(listed, list) else [listed]) if isinstance(tag, str) and tag.strip()]
    found += [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in metadata.items()
        if key != "tags" and isinstance(value, str | int | float)
    ]
    return tuple(dict.fromkeys(_cut(" ".join(tag.split()), MAX_TAG) for tag in found))[:MAX_TAGS]


def _cut(text: str, length: int = MAX_WORDS) -> str:
    """Return a text that is fit to be shown and stored, of at most `length` characters before unprintable ones are escaped."""
    return escape_unprintable(text[:length].encode("utf-8", "backslashreplace").decode())


def _error(error: Any) -> dict[str, Any] | None:
    if not isinstance(error, dict):
        return None
    return {key: _cut(str(error[key])) for key in ("code", "message", "fault", "stage") if error.get(key)} or None


def _work(timings: Any) -> float:
    stages = timings.values() if isinstance(timings, dict) else ()
    return round(sum(_number(times.get("run")) for times in stages if isinstance(times, dict)), 3)


def _number(value: Any) -> float:
    fits = isinstance(value, int | float) and math.isfinite(value) and 0 <= value < 1e9
    return round(float(value), 3) if fits else 0.0


def _milliseconds(moment: Any) -> int | None:
    try:
        time = datetime.fromisoformat(moment)
        return round(time.timestamp() * 1000) if time.tzinfo is not None else None
    except (TypeError, ValueError, OverflowError):
        return None
