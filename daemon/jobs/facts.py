"""Defines what is known of a job beside its state: what its stages reported, and the inbox files that its copies came from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict, cast

from daemon.jobs.stages import BY_NAME
from daemon.system.json_files import StoredAs


class Output(TypedDict):
    """One result in the outbox: its path below it, its size in bytes, and the hexadecimal digest of its content."""

    file: str
    bytes: int
    sha256: str


class Outputs(TypedDict, total=False):
    """The results of a job, the main one last; empty until they are delivered."""

    outputs: list[Output]


class StageFacts(Outputs, total=False):
    """What the daemon reads of that which a stage reported. Each stage has some of these, and others, which are stored and shown
    as they are: see `stages.facts`.
    """

    rows: int
    speech_s: float
    engine: str
    engines: Mapping[str, str]
    width: int
    height: int
    audio_s: float
    duration_s: float
    taken_over: bool
    frames: int
    voice: str
    licence: str
    why: str
    profile: str


@dataclass(slots=True)
class SourceFile:
    """The inbox file from which a copy in the job's folder was made.

    Attributes:
        path: below the inbox.
        file: its key (see `daemon.system.file_key.file_key`); None while it is not known which copy is in place.
        still_s: how long it had not changed when it was copied, s.
    """

    path: str
    file: list[int] | None
    still_s: float


@dataclass(slots=True)
class WaitStart:
    """Since when a manifest waits: monotonic seconds, which are comparable within one run of the kernel (`boot`) only."""

    boot: str
    at: float


@dataclass(slots=True)
class RowOf:
    """The batch that a job belongs to.

    Attributes:
        batch: id of its job.
        name: of its results.
        number: of the row, from 1.
    """

    batch: str
    name: str
    number: int


@dataclass(slots=True)
class BatchCounts:
    """How far a batch has come, in rows.

    Attributes:
        rows: all of them.
        taken: of which jobs have been made, or that are equal to such a one, in the order of `rows.jsonl`.
        begun: of which jobs have been made beyond these, by a turn that came to its end before the next note of `taken`.
        done, failed, cancelled: that have ended.
        stopped: why the rows that have not ended are cancelled: who ordered that, or "on_error"; empty where they are not.
        since: when its first job was made, seconds since the epoch.
        report: path of its report below the outbox; empty while there is none.
        orders: what people asked for all its rows and has not reached each of them, the oldest first.
        waits: why it does not go on now, such as that no more rows become jobs, and what to do; empty where it does.
        reordered: whether somebody gave all its rows another priority, which those that are made later have, too, also
            where their manifests say one.
        held: rows whose jobs are held.
        rests: whether none of its rows goes on until somebody releases some.
    """

    rows: int
    taken: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    stopped: str = ""
    since: float = 0.0
    report: str = ""
    orders: list[dict[str, Any]] = field(default_factory=list)
    waits: str = ""
    reordered: bool = False
    held: int = 0
    rests: bool = False
    begun: int = 0

    @property
    def made(self) -> int:
        """Rows of which jobs have been made, or that are equal to such a one."""
        return self.taken + self.begun

    @property
    def ended(self) -> int:
        """Rows that have ended."""
        return self.done + self.failed + self.cancelled


@dataclass(slots=True)
class JobFacts:
    """Stored as one JSON object, in which the stages' facts stand beside the others.

    Attributes:
        stages: what each finished stage reported (`stages.facts`), by stage. A job may have been made by another version, so that
            keys may be missing.
        sources: where the copies in the job's folder came from, by their name.
        restart: while the job is moved back to its first stage: the names of the copies that new ones replace; else None.
        path: of a manifest that waits, below the inbox.
        missing: what a manifest waits for.
        waits_since: since when a manifest waits.
        defaults: the files of folder defaults that were applied to the manifest, by their path below the inbox, the nearest last.
        inherited: the keys that only folder defaults give: key → file, below the inbox.
        given: keys that the manifest and the folder defaults give; the others have the values of an avatar profile or usual ones.
        base: id of the earlier job whose values and files the manifest takes; empty where it names none.
        rows_folder: of the outbox, in which the results of a batch's rows lie; empty where it is called like the batch.
        folder_was_there: whether the inbox had a folder called like a batch before that: it is not made for requests for rows.
        row: the batch that the job belongs to; None for one of its own.
        batch: of a batch whose rows have become jobs, or do: how far it has come.
    """

    stages: Annotated[dict[str, StageFacts], StoredAs(dict[str, dict[str, Any]])] = field(default_factory=dict)
    sources: dict[str, SourceFile] = field(default_factory=dict)
    restart: list[str] | None = None
    path: str | None = None
    missing: list[str] = field(default_factory=list)
    waits_since: WaitStart | None = None
    defaults: list[str] = field(default_factory=list)
    inherited: dict[str, str] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    base: str = ""
    rows_folder: str = ""
    folder_was_there: bool = False
    row: RowOf | None = None
    batch: BatchCounts | None = None

    def of(self, stage: str) -> StageFacts:
        """Return what a stage reported; empty until it has finished."""
        return self.stages.get(stage, {})

    def to_json(self) -> dict[str, Any]:
        """Return the object as it is stored; what is empty is left out."""
        others = {
            "sources": {name: dataclasses.asdict(source) for name, source in self.sources.items()},
            "path": self.path,
            "missing": self.missing,
            "defaults": self.defaults,
            "inherited": self.inherited,
            "given": self.given,
            "base": self.base,
            "rows_folder": self.rows_folder,
            "folder_was_there": self.folder_was_there,
            "row": dataclasses.asdict(self.row) if self.row else None,
            # Without what is empty, so that an earlier version reads it, which lacks some of these.
            "batch": {"rows": self.batch.rows, **_not_empty(self.batch)} if self.batch else None,
            "waits_since": dataclasses.asdict(self.waits_since) if self.waits_since else None,
        }
        restart = {} if self.restart is None else {"restart": self.restart or True}
        return {**self.stages, **{name: value for name, value in others.items() if value}, **restart}

    @classmethod
    def parse(cls, data: Any) -> JobFacts:
        """Read the stored object.

        Raises:
            ValueError: it is not valid.
        """
        if isinstance(data, cls):
            return data
        try:
            restart, since = data.get("restart"), data.get("waits_since")
            return cls(
                stages={name: cast(StageFacts, dict(data[name])) for name in BY_NAME if name in data},
                sources={
                    str(name): SourceFile(str(source["path"]), source["file"], float(source["still_s"]))
                    for name, source in data.get("sources", {}).items()
                },
                restart=None if not restart else list(map(str, restart)) if isinstance(restart, list) else [],
                path=data.get("path"),
                missing=list(map(str, data.get("missing", ()))),
                defaults=list(map(str, data.get("defaults", ()))),
                inherited={str(key): str(file) for key, file in data.get("inherited", {}).items()},
                given=list(map(str, data.get("given", ()))),
                base=str(data.get("base", "")),
                rows_folder=str(data.get("rows_folder", "")),
                folder_was_there=bool(data.get("folder_was_there")),
                row=RowOf(**data["row"]) if data.get("row") else None,
                batch=BatchCounts(**data["batch"]) if data.get("batch") else None,
                waits_since=WaitStart(str(since["boot"]), float(since["at"])) if since else None,
            )
        except (AttributeError, KeyError, TypeError) as exc:
            raise ValueError(f"facts are not valid: {exc!r}") from exc


def _not_empty(counts: BatchCounts) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(counts).items() if value}
