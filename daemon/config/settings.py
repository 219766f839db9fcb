"""Defines every setting of config.yaml, with its type and default. Paths are relative to the folder of the file."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from daemon.config.engines import TTS_ENGINES
from daemon.config.explain import explain_setting_errors
from daemon.config.file import Lines, read_config
from daemon.config.gpu_devices import GpuDevices
from daemon.config.hooks import Hooks
from daemon.config.paths import Paths
from daemon.config.section import Folder, Section, context_of
from daemon.config.stage_settings import ExternalEngine, Stages
from daemon.errors import ConfigError


class Intake(Section):
    """How dropped jobs are detected and accepted."""

    settle_s: float = Field(
        2.0,
        ge=0.05,
        description="A file that its writer has closed, and not renamed since, must stay unchanged for this long.",
    )
    settle_unknown_s: float = Field(
        10.0,
        ge=0,
        description="As `settle_s`, where a close is not reported: on network mounts, and for files present at start.",
    )
    settle_mb_s: float = Field(1.0, ge=0, description="Added to `settle_unknown_s` for each MB of the file.")
    scan_s: float = Field(
        30.0, ge=0.1, description="Interval of full inbox scans, which do not depend on notifications."
    )
    companion_wait_s: float = Field(900.0, ge=0, description="How long a manifest waits for the files that it names.")
    empty_wait_s: float = Field(
        30.0, ge=0, description="How long an empty file may stay empty before it is accepted as it is."
    )
    watch: Literal["auto", "inotify", "poll"] = Field(
        "auto", description="How changes are detected; auto: inotify, and polling on network and FUSE mounts."
    )
    poll_s: float = Field(2.0, ge=0.1, description="Interval of scans where the inbox is polled.")
    max_manifest_bytes: int = Field(
        # Doors tell a manifest by its digest up to this size (`daemon.jobs.hand_in_record`): a larger one would be another job's.
        262_144,
        ge=1024,
        le=16 * 2**20,
        description="Largest manifest; a larger one is refused without being read.",
    )
    max_documents: int = Field(1000, ge=1, description="Most jobs in one manifest file.")
    max_file_bytes: int = Field(512 * 2**20, ge=1024, description="Largest picture or sound file accepted.")
    max_text_chars: int = Field(
        60_000, ge=1, description="Longest text of one job, as it is written; the default is about an hour of speech."
    )
    subfolders: bool = Field(
        True,
        description="Whether a job from a folder of the inbox is answered in the folder of that name in the outbox.",
    )
    voices_page: bool = Field(
        True, description="Whether voices.txt in the outbox lists the voices, for people who have only the folders."
    )
    reserve_mb: int = Field(500, ge=0, description="No new jobs are accepted with less free space on the spool's disk.")

    def unknown_writer_s(self, size: int) -> float:
        """Return how long a file of `size` bytes must stay unchanged where nobody tells when its writer is done, in s."""
        return min(self.settle_unknown_s + self.settle_mb_s * max(0, size) / 1e6, self.companion_wait_s)


class Retry(Section):
    """Retries of failed stages, and when a job is quarantined."""

    attempts: int = Field(3, ge=1, description="Attempts at a stage before the job fails.")
    crashes: int = Field(3, ge=1, description="Worker crashes that a job may cause before it is quarantined.")
    interruptions: int = Field(
        10,
        ge=1,
        description="Times the daemon, or another machine, may die while it runs a job before the job is quarantined.",
    )
    first_delay_s: float = Field(
        5.0, ge=0, description="Delay before the second attempt; doubles each time, plus up to 50 % at random."
    )
    max_delay_s: float = Field(300.0, ge=0, description="Longest delay between attempts.")


class GpuLane(Section):
    """The GPUs, and how the gpu lane chooses between stages (docs/scaling.md)."""

    devices: GpuDevices = Field(
        "all",
        description="GPUs with a slot each: `all` that the daemon sees, `none`, a list such as `[0, 1]` of numbers or UUIDs, or "
        "stages for each, as in `{0: [tts], 1: [lipsync]}`; a stage that no GPU is named for runs on any of them.",
    )

    stick_jobs: int = Field(
        16, ge=1, description="Most jobs in a row for the loaded model while jobs for another model wait."
    )
    stick_s: float = Field(
        120.0,
        ge=0,
        description="How long the jobs for another model may stand still before the model is changed for them.",
    )


class CpuLane(Section):
    """Size of the cpu lane."""

    processes: int = Field(
        0, ge=0, le=64, description="Worker processes; 0: half the cores that the daemon may use, at least 2."
    )

    @property
    def slots(self) -> int:
        """How many jobs the lane works on at once."""
        return self.processes or max(2, len(os.sched_getaffinity(0)) // 2)


class RayLane(Section):
    """Slots on the machines of a Ray cluster (docs/scaling.md)."""

    address: str = Field("", description="Address of the cluster's head, HOST:PORT; empty: no other machine is used.")
    gpus: int = Field(0, ge=0, le=1000, description="Slots of the gpu lane there, each with a GPU of the cluster.")
    cpus: int = Field(
        0,
        ge=0,
        le=1000,
        description="Slots there that draw and convert videos, each with a processor.",
    )
    allow_open: bool = Field(
        False,
        description="Whether a cluster is used that asks for no token, so that whoever reaches it can run code there.",
    )

    @property
    def is_used(self) -> bool:
        """Whether there are slots on other machines."""
        return bool(self.address and (self.gpus or self.cpus))

    @model_validator(mode="after")
    def _has_address(self) -> Self:
        if (self.gpus or self.cpus) and not re.fullmatch(r"[^\s/]+:\d{1,5}", self.address):
            raise ValueError("`address` is not HOST:PORT, the address of the cluster's head, such as gpu1.example:6379")
        return self


class Timeout(Section):
    """Time limits of stages."""

    base_s: float = Field(60.0, gt=0, description="Time limit of every stage. The next three are added to it.")
    per_audio_s: float = Field(
        20.0, ge=0, description="Added for each second of speech that is synthesized, decoded, drawn or encoded."
    )
    per_megapixel_s: float = Field(1.0, ge=0, description="Added for each million pixels of a picture that is read.")
    per_mb_s: float = Field(
        2.0, ge=0, description="Added for each MB of a sound file that is read or of results that are delivered."
    )


class Lanes(Section):
    """The lanes and their worker processes."""

    gpu: GpuLane = GpuLane()
    cpu: CpuLane = CpuLane()
    ray: RayLane = RayLane()
    timeout: Timeout = Timeout()
    heartbeat_s: float = Field(
        2.0, gt=0, description="Interval of the messages by which a worker shows that it is alive."
    )
    cancel_s: float = Field(
        5.0,
        ge=0,
        le=10,
        description="A stage whose job is cancelled is asked to end, and keeps its models; it is killed after this long.",
    )
    silence_s: float = Field(60.0, gt=0, description="A worker that sends no message for this long is killed.")
    memory_mb: int = Field(
        0,
        ge=0,
        description="A worker that uses more memory is killed; 0: half of the machine's memory or of the control group's limit.",
    )
    preload: bool = Field(
        True,
        description="Whether a worker of each lane loads modules and the default voice at start, and stays while memory is free.",
    )
    idle_s: float = Field(
        300.0, gt=0, description="Any other worker without work ends after this long and frees its memory."
    )
    drain_s: float = Field(20.0, ge=0, description="How long running stages may continue after SIGTERM.")
    pause_s: float = Field(
        15.0, gt=0, description="First pause after a machine fault; doubles each time, up to ten times this."
    )


class Retention(Section):
    """When data is removed."""

    every_s: float = Field(3600.0, gt=0, description="Interval at which expired and excess data is removed.")
    done_days: float = Field(30.0, ge=0, description="Days for which records of finished jobs are kept.")
    failed_days: float = Field(90.0, ge=0, description="Days for which failed jobs are kept; they can be retried.")
    done_mb: int = Field(1000, ge=0, description="Most space for finished jobs; the oldest go first.")
    sources_mb: int = Field(
        2000,
        ge=0,
        description="Most space for files, speech and videos of finished jobs, for jobs based on them; videos and then the "
        "oldest go first.",
    )
    failed_mb: int = Field(10_000, ge=0, description="Most space for failed jobs; the oldest go first.")
    cache_mb: int = Field(
        2000,
        ge=0,
        description="Most space for measured portraits and the sentences that jobs share; the least recently used go first. "
        "Sentences also go `done_days` after their last use.",
    )
    outbox_days: float = Field(0.0, ge=0, description="Days after which results are removed; 0: never.")
    outbox_mb: int = Field(0, ge=0, description="Most space for results; 0: no limit.")


class Metrics(Section):
    """How metrics are served."""

    enabled: bool = Field(True, description="Whether /metrics, /healthz and /readyz are served.")
    host: str = Field("127.0.0.1", description="Address; use a reverse proxy to expose the endpoints beyond loopback.")
    port: int = Field(9464, ge=0, le=65535, description="Port; 0: any free port (written to spool/metrics.json).")
    textfile: Folder | None = Field(
        None, description="File for node_exporter's textfile collector (NAME.prom), in addition to HTTP."
    )


class Heartbeat(Section):
    """The test job that is sent at intervals (daemon/telemetry/canary.py)."""

    every_s: float = Field(
        0.0, ge=0, description="Interval of a small test job through the whole system; 0: no test job."
    )


class Server(Section):
    """The HTTP door (`avatar server start`)."""

    user: str = Field(
        "",
        description="User (name or uid) of the HTTP door, whose word on who handed in a job counts; empty: nobody's.",
    )
    keys: Folder = Field(
        Path("keys.json"),
        description="File of the API keys, which `avatar key` writes. Unless a key was ever written into it, none is asked for.",
    )
    hosts: list[str] = Field(
        default_factory=list,
        description="Names by which clients may call the HTTP door, beside localhost and the address that it listens on.",
    )
    voices: dict[str, str] = Field(
        default_factory=dict,
        description="Other names of voices for clients of OpenAI's speech door (/v1/audio/speech), such as alloy: heart.",
    )
    max_upload_bytes: int = Field(1024 * 2**20, ge=1024, description="Largest request: all its files together.")
    max_uploads: int = Field(8, ge=1, description="Uploads at a time in one process; more are asked to come again.")


class Log(Section):
    """How the daemon logs."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is written.")
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, else journald's fields or JSON."
    )


class Settings(BaseModel):
    """All settings, as in config.yaml. Keep these and not a section: a reload puts new sections in the place of the old ones."""

    model_config = ConfigDict(extra="forbid", validate_default=True)

    paths: Paths = Paths()
    intake: Intake = Intake()
    retry: Retry = Retry()
    lanes: Lanes = Lanes()
    stages: Stages = Stages()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    heartbeat: Heartbeat = Heartbeat()
    server: Server = Server()
    hooks: Hooks = Hooks()
    log: Log = Log()
    engines: dict[str, ExternalEngine] = Field({}, description="External voice engines by name; see docs/engines.md.")

    @model_validator(mode="after")
    def _engines_fit(self) -> Self:
        for name, engine in self.engines.items():
            if bool(engine.command) == bool(engine.python):
                raise ValueError(f"engines.{name} needs either `command` or `python`")
            if engine.python and name not in TTS_ENGINES:
                raise ValueError(f"engines.{name}.python is only for {', '.join(TTS_ENGINES)}; use `command`")
            if engine.command and (name in TTS_ENGINES or not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name)):
                raise ValueError(
                    f"engines.{name} is not a valid name: use a-z, digits and -, and no built-in engine's name"
                )
            if engine.command and not engine.voices:
                raise ValueError(f"engines.{name}.voices is missing: name at least one voice and its language")
        known = ("auto", *TTS_ENGINES, *self.engines)
        if (wanted := self.stages.tts.engine) not in known:
            near = difflib.get_close_matches(wanted, known, 1, 0.5)
            hint = f"; did you mean {near[0]}" if near else ""
            raise ValueError(f"stages.tts.engine is '{wanted}', not one of {', '.join(known)}{hint}")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and validate a config file.

        Raises:
            ConfigError: `config-unreadable`, `config-invalid`; names the file, the key and a correction.
        """
        raw, lines = read_config(path)
        return cls.parse(raw or {}, path, lines)

    @classmethod
    def parse(cls, raw: Any, path: Path, lines: Lines | None = None) -> Self:
        """Validate settings that are loaded already; relative folders are relative to the folder of `path`.

        Args:
            lines: of the values in the file, for the error.

        Raises:
            ConfigError: `config-invalid`.
        """
        if isinstance(raw, dict):  # so that the default folders, too, are taken from the file's own
            raw = {**raw, **{section: {} for section in ("paths", "server") if raw.get(section) is None}}
        try:
            return cls.model_validate(raw, context=context_of(path))
        except ValidationError as exc:
            message, hint = explain_setting_errors(exc.errors(), cls, lines or {})
            raise ConfigError("config-invalid", f"{path}: {message}", hint) from exc
