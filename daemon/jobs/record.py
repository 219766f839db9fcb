"""Defines the record of a job, which is stored in `job.json`: its identity, state and history."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypedDict, Unpack

from pydantic import BeforeValidator, TypeAdapter

from daemon.errors import AvatarError, ErrorText, Fault, MachineError
from daemon.jobs.facts import JobFacts, Outputs
from daemon.jobs.stages import BY_NAME, Stage
from daemon.system.json_files import StoredAs

#: An owner, and a folder of theirs, or a batch.
Line = tuple[str, str]
State = Literal["waiting", "queued", "running", "held", "done", "failed", "cancelled"]

#: States that a job leaves only on a user's request.
FINISHED: Final = frozenset[State]({"done", "failed", "cancelled"})

JOB_ID = re.compile(r"job-\d{8}T\d{6}Z-[0-9a-f]{8}")
SCHEMA = 1
#: The "stage" in the error of a job that was refused, or cancelled, before it was taken in.
REFUSED = "intake"
#: Folder of the spoken pieces of the text, by their content, in the job's folder.
SAID = "said"
#: Folder of the cache with the spoken pieces that jobs share.
SPOKEN = "speech"
#: In the job's folder: what the motion track and the painted mouths were made from, and these files.
MOVED_RECORD = "moved.json"
MOVED = (MOVED_RECORD, "motion.npz", "mouth.npz", "mouth.raw")
#: The words of a recording, and what they were found from.
HEARD = "heard.json"
#: Folder of the video that a job keeps, of its first frame, and of what they were made from.
DRAWN = "drawn"
#: Artifacts that a job keeps when it has ended, so that a job which is based on it need not make the same again.
REUSED = frozenset({SAID, HEARD, *MOVED, DRAWN})
#: Most entries of `history`, and of `runs`, in a record; bounds the record of a job that fails for days.
HISTORY = 50


def new_job_id() -> str:
    """Return a new job id, `job-YYYYmmddTHHMMSSZ-xxxxxxxx`: sorts by time in UTC; the last part is random."""
    return f"job-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{secrets.token_hex(4)}"


def document_id(claim: str, document: int) -> str:
    """Return the id of the n-th job of a manifest file. It is the same after a crash, so that no job is accepted twice."""
    if document == 0:
        return claim
    tail = hashlib.sha256(f"{claim}/{document}".encode()).hexdigest()[:8]
    return f"{claim[:-8]}{tail}"


def row_id(batch: str, row: int) -> str:
    """Return the id of the job of a batch's row, from 1. It is the same after a crash, and another one for each row."""
    return f"{batch[:-8]}{(int(batch[-8:], 16) + row) % 2**32:08x}"


def seed_of(job_id: str) -> int:
    """Return the seed (31 bits) of a job whose manifest gives none. It is the same whenever the job runs."""
    return int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4], "big") >> 1


def unreadable_record(why: str) -> MachineError:
    """Return the error of a job whose record is damaged. `why`: the end of a sentence."""
    return MachineError("job-unreadable", f"The job's record cannot be read: {why}.", "Drop the manifest again.")


@functools.cache
def _job_adapter() -> TypeAdapter[Job]:
    return TypeAdapter(Job)


class JobErrorRecord(ErrorText):
    """Why a job failed or was cancelled, as `job.json` and the status file have it.

    Attributes:
        stage: in which it failed; None: in no stage; `REFUSED`: before it was taken in.
    """

    fault: Fault
    stage: str | None


class Held(TypedDict):
    """Who holds a job, why, and since when, in seconds since the epoch."""

    by: str
    reason: str
    since: float


class EventData(TypedDict, total=False):
    """What an entry of a job's history says beside its time and event. Each event has some of these.

    Attributes:
        by: who asked for it; `reason`: what they gave as one.
        before, now: a priority that was changed.
        batch, row: name of the batch that the job was made for, and number of the row.
        stage: in which it happened.
        code, message: of an error; `traceback`, and `log`: the last lines that a worker wrote.
        files: paths of files in the inbox; `late`: True where they changed after the job had begun.
    """

    by: str
    reason: str
    before: int
    now: int
    batch: str
    row: int
    stage: str | None
    code: str
    message: str
    traceback: str
    log: list[str]
    files: list[str]
    late: bool


class HistoryEntry(EventData):
    """One event in the life of a job, with its time in seconds since the epoch."""

    at: float
    event: str


@dataclass(slots=True)
class StageRun:
    """One attempt at a stage that has ended.

    Attributes:
        slot: of a lane, which ran it: `gpu`, `cpu-2`.
        began: seconds since the epoch; `seconds`: how long it took.
        result: as in `Subscriber.stage_ended`.
        again: from when on the stage could be tried again, seconds since the epoch; 0 where no delay was set.
    """

    stage: Stage
    slot: str
    began: float
    seconds: float
    result: str
    again: float = 0.0


@dataclass(slots=True)
class Job:
    """The record of a job. Times are seconds since the epoch; durations are seconds.

    Attributes:
        name: path of the results below the outbox, without ending; reserved when the job is accepted.
        source: the manifest's path in the inbox, as dropped; `document` counts the documents in it from 0.
        by: user who owned the manifest file; empty if it is not known.
        manifest: the checked manifest; `manifest_warnings`: what was written in it and does nothing. `warnings` are those of the
            stages, which a restart clears.
        since: when the job entered its present queue.
        attempts: starts of each stage, counted on disk before the start.
        crashes: workers that died while they ran this job.
        interruptions: times that the daemon, or the machine of a worker, died while this job ran.
        facts: what each finished stage reported, among others; `timings`: seconds waited and run, by stage.
        runs: the last attempts, in order.
    """

    id: str
    name: str
    source: str
    document: int = 0
    by: str = ""
    manifest: dict[str, Any] = field(default_factory=dict)
    manifest_warnings: list[str] = field(default_factory=list)
    stages: tuple[Stage, ...] = ()
    stage: Stage | None = None
    state: State = "queued"
    accepted: float = 0.0
    since: float = 0.0
    finished: float | None = None
    priority: int = 0
    attempts: dict[str, int] = field(default_factory=dict)
    crashes: int = 0
    interruptions: int = 0
    not_before: float = 0.0
    error: Annotated[JobErrorRecord | None, StoredAs(dict[str, Any] | None)] = None
    facts: Annotated[JobFacts, BeforeValidator(JobFacts.parse)] = field(default_factory=JobFacts)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    history: Annotated[list[HistoryEntry], StoredAs(list[dict[str, Any]])] = field(default_factory=list)
    held: Annotated[Held | None, StoredAs(dict[str, Any] | None)] = None
    outputs: Annotated[Outputs, StoredAs(dict[str, Any])] = field(default_factory=Outputs)
    runs: list[StageRun] = field(default_factory=list)

    @property
    def next_stage(self) -> Stage | None:
        """The stage after the present one; None after the last."""
        if self.stage is None:
            return self.stages[0]
        at = self.stages.index(self.stage) + 1
        return self.stages[at] if at < len(self.stages) else None

    @property
    def told_state(self) -> State:
        """The state that people are told: a batch is held where none of its rows goes on until somebody releases some."""
        return (
            "held"
            if self.state == "running" and self.facts.batch is not None and self.facts.batch.rests
            else self.state
        )

    @property
    def line(self) -> Line:
        """The line in which it waits for its turn: who handed it in, and the folder of the inbox that it came from. A batch has
        one of its own, so that what its owner drops beside it does not wait behind a thousand rows.
        """
        return self.by, self.facts.row.batch if self.facts.row else os.path.dirname(self.source)

    @property
    def was_accepted(self) -> bool:
        """Whether it was taken in, so that it has a stage to start at and copies of its files. One that was refused, or
        cancelled, before that has neither.
        """
        return bool(self.stages) and (self.error is None or self.error.get("stage") != REFUSED)

    @property
    def audio_s(self) -> float:
        """Length of the speech in s; 0 until the tts stage has finished."""
        return float(self.facts.of("tts").get("audio_s", 0.0))

    def note(self, event: str, **data: Unpack[EventData]) -> None:
        """Add an entry to the job's history."""
        entry: HistoryEntry = {"at": round(time.time(), 3), "event": event, **data}
        self.history = [*self.history, entry][-HISTORY:]

    def set_error(self, error: AvatarError, stage: str | None) -> None:
        """Store why the job failed, and in which stage (None: in no stage; `REFUSED`: before it was taken in)."""
        self.error = {**error.to_dict(), "fault": error.fault, "stage": stage}

    def to_json(self) -> dict[str, Any]:
        """Return the content of `job.json`."""
        return {
            "schema": SCHEMA,
            **{f.name: getattr(self, f.name) for f in dataclasses.fields(self)},
            "facts": self.facts.to_json(),
            "runs": [dataclasses.asdict(run) for run in self.runs],
        }

    @classmethod
    def from_bytes(cls, data: bytes) -> Job:
        """Parse the content of `job.json`.

        Raises:
            ValueError: it is no valid record of this version.
        """
        try:
            raw = json.loads(data)
        except RecursionError as exc:
            raise ValueError("nested too deeply") from exc
        if not isinstance(raw, dict) or raw.pop("schema", None) != SCHEMA:
            raise ValueError("not a job record of this version")
        job: Job = _job_adapter().validate_python(raw)  # its ValidationError is a ValueError
        if not JOB_ID.fullmatch(job.id):
            raise ValueError(f"not a job id: {job.id!r}")
        if unknown := {*job.stages, job.stage} - {*BY_NAME, None}:
            raise ValueError(f"no stages of this version: {', '.join(sorted(map(str, unknown)))}")
        return job
