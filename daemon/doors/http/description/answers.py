"""Describes the answers of the door in JSON. What is answered is not compared with this: that would cost time at each request."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import WithJsonSchema
from typing_extensions import TypedDict  # pydantic reads that of `typing` only with newer Pythons

from daemon.doors.http.description.job_schemas import JobStatus, ListedJob

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]


class About(TypedDict):
    """What this server is. `links`: where to go on, by page, as ways from the address of this answer."""

    name: str
    version: str
    links: dict[str, str]


class Health(TypedDict):
    """Whether jobs can be handed in. `wrong`: why not."""

    ok: bool
    wrong: list[str]


class DaemonState(TypedDict):
    """Whether the daemon runs; null: that cannot be told."""

    running: bool | None


class QueuePause(TypedDict):
    """A pause that somebody ordered."""

    by: str
    reason: str
    since: Time


class LoadedModel(TypedDict):
    """A model in memory, and the stage that uses it."""

    model: str | None
    stage: str | None


class FreeDisk(TypedDict):
    """Room on a disk; null where its filesystem tells no size."""

    free_bytes: int | None


class ServiceStatus(TypedDict):
    """How the service stands.

    Attributes:
        paused: what somebody paused: `lanes` or `intake`.
        paused_lanes: lanes of the work that stand still as the machine is at fault, each with the error.
        jobs: how many jobs are in each state; null: not known.
        disk: of `inbox` and `outbox`.
    """

    version: str
    daemon: DaemonState
    paused: dict[str, QueuePause]
    paused_lanes: dict[str, dict[str, Any]]
    jobs: dict[str, int] | None
    models: list[LoadedModel]
    disk: dict[str, FreeDisk]


class JobList(TypedDict):
    """A page of jobs. `next`: the value of `after` for the page behind; null on the last."""

    jobs: list[ListedJob]
    next: int | None


class JobCounts(TypedDict):
    """Counts of jobs.

    Attributes:
        jobs: all.
        states, kinds, owners, errors: how many of each, the most frequent first.
        audio_s, work_s: seconds of speech, and of work, of the jobs that are done.
        oldest: when the oldest job that has not ended was accepted.
    """

    jobs: int
    states: dict[str, int]
    kinds: dict[str, int]
    owners: dict[str, int]
    errors: dict[str, int]
    audio_s: float
    work_s: float
    oldest: Time | None


class ExpectedTimes(TypedDict):
    """How long a job would take, without waiting in queues.

    Attributes:
        speech_s: expected length of the speech, s; null where a recording does not declare its own.
        stages: of each stage, s.
        total_s: their sum, s.
        learned: whether stages were measured here, or else these are first guesses.
    """

    speech_s: float | None
    stages: dict[str, float]
    total_s: float
    learned: bool


class Mistake(TypedDict):
    """What is wrong with a job: a stable code, sentences, and what to do."""

    code: str
    message: str
    hint: str


class Checked(TypedDict):
    """What is right or wrong with a job that was not handed in.

    Attributes:
        errors: what is wrong; empty if `ok`.
        warnings: what does nothing, or may spoil the result; only if `ok`, as the following.
        manifest: as it would be done, with all defaults.
        rows: of a batch: how many jobs it would make.
        expected: how long it would take; not of a batch, nor of a job with a `base`.
    """

    ok: bool
    errors: list[Mistake]
    warnings: NotRequired[list[str]]
    manifest: NotRequired[dict[str, Any]]
    rows: NotRequired[int]
    expected: NotRequired[ExpectedTimes]


class Upload(TypedDict):
    """A file that is kept for jobs. `ref`: what a job names it by; `expires`: when it is removed."""

    id: str
    ref: str
    name: str
    bytes: int
    sha256: str
    expires: Time


class BatchList(TypedDict):
    """A page of batches. `next`: the value of `after` for the page behind; null on the last."""

    batches: list[JobStatus]
    next: int | None


class RowLinks(TypedDict):
    """The way from the address of the answer to the row's job."""

    job: str


class BatchRow(TypedDict):
    """What became of a row of a batch.

    Attributes:
        row: its number, from 1.
        state: `done`, `failed`, `cancelled`, `waiting`, `wrong` or `not taken`.
        job: id of its job.
        file: path of its result below the outbox.
        seconds: of work.
        code, error: why it failed.
        sha256: of its result.
    """

    row: int
    state: NotRequired[str]
    job: NotRequired[str]
    file: NotRequired[str]
    seconds: NotRequired[float]
    code: NotRequired[str]
    error: NotRequired[str]
    sha256: NotRequired[str]
    links: NotRequired[RowLinks]


class BatchRows(TypedDict):
    """A page of rows. `next`: the value of `after` for the page behind; null on the last."""

    rows: list[BatchRow]
    next: int | None


class Voice(TypedDict):
    """A voice.

    Attributes:
        id: `engine/name`, which is unique.
        languages: BCP 47 tags, its native one first.
        description: language and accent, gender, and what was measured.
        profile: whether it was made from a recording.
        aliases: other names for it.
        lacking, remedy: why it cannot be used, and what to do; null where it can.
    """

    id: str
    name: str
    engine: str
    languages: list[str]
    gender: str | None
    description: NotRequired[str]
    licence: str
    profile: bool
    aliases: list[str]
    installed: bool
    lacking: str | None
    remedy: str | None


class Voices(TypedDict):
    """The voices as the service published them. `at`: when that was; it is missing before."""

    voices: list[Voice]
    at: NotRequired[Time]


class Avatar(TypedDict):
    """An avatar profile. `defaults`: keys of manifests that jobs take over from it."""

    id: str
    name: str
    defaults: dict[str, Any]
    expired: bool


class Avatars(TypedDict):
    """The avatar profiles."""

    avatars: list[Avatar]


class SpeechModel(TypedDict):
    """A model, as OpenAI's clients know it."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class SpeechModels(TypedDict):
    """The models, as OpenAI's clients know them."""

    object: Literal["list"]
    data: list[SpeechModel]


class SpeechVoice(TypedDict):
    """A voice that can be used. `id` is unique, and `name` need not be."""

    id: str
    name: str


class SpeechVoices(TypedDict):
    """The voices that can be used. `voices`: their ids."""

    object: Literal["list"]
    data: list[SpeechVoice]
    voices: list[str]


class SpokenWord(TypedDict):
    """A word with its begin and end, s."""

    word: str
    start_time: float
    end_time: float


class TimedSpeech(TypedDict):
    """A speech with the times of its words. `audio`: the sound, Base64."""

    format: str
    timestamps: list[SpokenWord]
    audio: str
