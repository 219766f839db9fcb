"""Defines every setting of config.yaml, with its type and default. Paths are relative to the folder of the file."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from daemon.config.explain import explain_setting_error
from daemon.config.lexicon import Lexicon, check_lexicon
from daemon.errors import ConfigError


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path.cwd())
    return Path(os.path.normpath(Path(base) / path.expanduser()))


Folder = Annotated[Path, AfterValidator(_resolve)]


class _Section(BaseModel):
    # Not frozen: a reload assigns the new values, in place, and so no two `Settings` share the defaults. All other code
    # reads only.
    model_config = ConfigDict(extra="forbid", validate_default=True)


class Paths(_Section):
    """Folders of the daemon."""

    inbox: Folder = Field(Path("inbox"), description="Folder in which users drop jobs.")
    outbox: Folder = Field(Path("outbox"), description="Folder in which results appear.")
    spool: Folder = Field(
        Path("spool"), description="The queue. It must be on a local disk with a journalling filesystem."
    )
    cache: Folder = Field(Path("spool/cache"), description="Data that can be computed again: rigs of portraits.")
    models: Folder = Field(Path("spool/models"), description="Model files of the engines.")
    profiles: Folder = Field(
        Path("spool/profiles"),
        description="Voice profiles. They cannot be computed again: back them up. Unset: below the spool.",
    )

    @model_validator(mode="before")
    @classmethod
    def _profiles_below_the_spool(cls, data: Any) -> Any:
        """Put the profiles below the spool where only the spool is set: older configurations have no `profiles`."""
        if isinstance(data, dict) and "profiles" not in data and isinstance(spool := data.get("spool"), str | Path):
            return {**data, "profiles": Path(spool) / "profiles"}
        return data


class Intake(_Section):
    """How dropped jobs are detected and accepted."""

    settle_s: float = Field(
        2.0,
        ge=0.05,
        description="A file that its writer has closed, and not renamed since, must stay unchanged for this long.",
    )
    settle_unknown_s: float = Field(
        10.0,
        ge=0,
        description="The same where a close is not reported: on network mounts, and for files present at start;",
    )
    settle_mb_s: float = Field(1.0, ge=0, description="plus this much for each MB of the file.")
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
        262_144, ge=1024, description="Largest manifest; a larger one is refused without being read."
    )
    max_documents: int = Field(1000, ge=1, description="Most jobs in one manifest file.")
    max_file_bytes: int = Field(512 * 2**20, ge=1024, description="Largest picture or sound file accepted.")
    max_text_chars: int = Field(5000, ge=1, description="Longest text of one job.")
    reserve_mb: int = Field(500, ge=0, description="No new jobs are accepted with less free space on the spool's disk.")

    def unknown_writer_s(self, size: int) -> float:
        """Return how long a file of `size` bytes must stay unchanged where nobody tells when its writer is done, in s."""
        return min(self.settle_unknown_s + self.settle_mb_s * max(0, size) / 1e6, self.companion_wait_s)


class Retry(_Section):
    """Retries of failed stages, and when a job is quarantined."""

    attempts: int = Field(3, ge=1, description="Attempts at a stage before the job fails.")
    crashes: int = Field(3, ge=1, description="Worker crashes that a job may cause before it is quarantined.")
    interruptions: int = Field(
        10, ge=1, description="Times the daemon may die while a job runs before the job is quarantined."
    )
    first_delay_s: float = Field(
        5.0, ge=0, description="Delay before the second attempt; doubles each time, plus up to 50 % at random."
    )
    max_delay_s: float = Field(300.0, ge=0, description="Longest delay between attempts.")


class GpuLane(_Section):
    """How the gpu lane chooses between stages."""

    stick_jobs: int = Field(
        16, ge=1, description="Most jobs in a row for the loaded model while jobs for another model wait."
    )
    stick_s: float = Field(
        120.0, ge=0, description="Longest wait of jobs for another model before the model is changed."
    )


class CpuLane(_Section):
    """Size of the cpu lane."""

    processes: int = Field(0, ge=0, le=64, description="Worker processes; 0: half the cores, at least 2.")


class Timeout(_Section):
    """Time limits of stages."""

    base_s: float = Field(60.0, gt=0, description="Time limit of every stage,")
    per_audio_s: float = Field(
        20.0, ge=0, description="plus this for each second of speech that is synthesized, decoded, drawn or encoded,"
    )
    per_megapixel_s: float = Field(
        1.0, ge=0, description="plus this for each million pixels of a picture that is read,"
    )
    per_mb_s: float = Field(
        2.0, ge=0, description="plus this for each MB of a sound file that is read or of results that are delivered."
    )


class Lanes(_Section):
    """The lanes and their worker processes."""

    gpu: GpuLane = GpuLane()
    cpu: CpuLane = CpuLane()
    timeout: Timeout = Timeout()
    heartbeat_s: float = Field(
        2.0, gt=0, description="Interval of the messages by which a worker shows that it is alive."
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


class FaceStage(_Section):
    """Which portraits are accepted."""

    min_face_px: int = Field(
        128,
        ge=32,
        description="Smallest face accepted: its longer side, in pixels of the original picture.",
    )
    min_confidence: float = Field(
        0.5, ge=0, le=1, description="Lowest confidence of the face detector that is accepted."
    )
    max_yaw_deg: float = Field(
        25.0,
        gt=0,
        le=90,
        description="Largest turn of the head to a side; beyond it, too little of the far side is visible.",
    )
    max_tilt_deg: float = Field(
        15.0, gt=0, le=90, description="Largest tilt of the head; beyond it, the moving head is distorted."
    )
    max_pixels: int = Field(
        100_000_000, ge=10_000, description="Largest picture, in pixels; a larger one is refused without being decoded."
    )
    max_side_px: int = Field(
        1080, ge=128, le=4096, description="Longest side of the video; larger pictures are scaled down."
    )


#: The voice engines that are part of this program, each a package `stages.tts.engines.NAME`. Of two voices of the same name
#: the first engine's is taken.
TTS_ENGINES = ("hibari", "kokoro", "coqui", "xtts")


class ExternalEngine(_Section):
    """Settings of a voice engine that runs as another program (docs/engines.md)."""

    command: list[str] = Field(
        [], description="The program and its arguments; it exchanges JSON lines on stdin and stdout."
    )
    python: str = Field(
        "", description="Alternatively: the Python of another virtual environment, for a built-in engine."
    )
    voices: dict[str, str] = Field({}, description="Its voices: name and language tag.")
    licence: str = Field("not stated", description="Licence of its output; shown in the status.")
    start_s: float = Field(300.0, gt=0, description="Longest start.")
    say_s: float = Field(120.0, gt=0, description="Time limit of a sentence, or of a clause of a long one,")
    say_char_s: float = Field(1.0, ge=0, description="plus this for each of its letters (XTTS: at each attempt).")


class Xtts(_Section):
    """Settings of the voice engine XTTS."""

    accept_licence: bool = Field(
        False,
        description="Set to true if you accept that XTTS and its output are for non-commercial use only (CPML).",
    )
    model_sha256: str = Field(
        "",
        pattern="^([0-9a-fA-F]{64})?$",
        description="SHA-256 of your own model.pth; empty: the published model is required.",
    )
    attempts: int = Field(3, ge=1, le=10, description="Attempts at a sentence that fails the quality check.")
    temperature: float = Field(
        0.75, gt=0, le=2, description="Sampling temperature; higher is livelier and less reliable."
    )
    repetition_penalty: float = Field(5.0, ge=1, le=20, description="Penalty on repetition; higher repeats less.")
    length_penalty: float = Field(
        1.0, ge=0, le=10, description="Exponent of the length penalty; the default is the published configuration's."
    )
    top_k: int = Field(50, ge=1, description="Sampling is limited to this many most likely next tokens,")
    top_p: float = Field(0.85, gt=0, le=1, description="and to the most likely ones up to this total probability.")


class TtsStage(_Section):
    """How text is spoken."""

    engine: str = Field(
        "auto",
        description="hibari, kokoro, xtts, coqui, a name under `engines`, or auto: that of the default voice, else a usable one.",
    )
    voice: str = Field("heart", description="What `voice: default` means: a name, or engine/name.")
    lexicon: Lexicon = Field(
        {},
        description="Pronunciations: nginx: engine ex; for one language: es: {nginx: énchin-ex}; see docs/voices.md.",
    )
    sentence_pause_s: float = Field(0.30, ge=0, le=5, description="Silence between sentences.")
    paragraph_pause_s: float = Field(0.60, ge=0, le=5, description="Silence between paragraphs.")
    lead_s: float = Field(0.25, ge=0, le=5, description="Silence before the first word.")
    tail_s: float = Field(0.35, ge=0, le=5, description="Silence after the last word.")
    max_audio_s: float = Field(3600.0, gt=0, description="Longest speech of one job, synthesized or from a sound file.")
    check_speech: bool = Field(
        True,
        description="Refuse synthesized sound that is not speech; false: accept it with a warning.",
    )
    require_consent: bool = Field(
        False, description="Voice profiles can be created and used only with a recorded consent."
    )
    xtts: Xtts = Xtts()
    level_audio: bool = Field(
        False, description="Normalize a job's own sound file to -16 LUFS, as synthesized speech is."
    )

    @field_validator("lexicon", mode="before")
    @classmethod
    def _lexicon_fits(cls, lexicon: Any) -> Any:
        if isinstance(lexicon, dict):
            check_lexicon(lexicon)
        return lexicon


class Musetalk(_Section):
    """Settings of the lip-sync engine MuseTalk."""

    version: Literal["1.5", "1.0"] = Field("1.5", description="Version of the published network.")
    precision: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="auto: the fastest that the hardware supports; invalid frames are computed again in float32.",
    )
    memory_mb: int = Field(5600, ge=2500, description="GPU memory, in MB, for which the batch size is chosen.")
    batch: int = Field(
        0, ge=0, le=256, description="Frames in one batch; 0: chosen by memory. Halved when memory runs out."
    )
    mask: Literal["landmarks", "parsing"] = Field(
        "landmarks",
        description="How the painted area is cut out; parsing: by a network trained on non-commercial data.",
    )
    bbox_shift: int = Field(
        0,
        ge=-100,
        le=100,
        description="Version 1.0 only: shift of the face's centre downwards, in px; more opens the mouth.",
    )
    patience: float = Field(
        300.0, gt=0, description="Longest painting time accepted, in s for each s of speech; a CPU needs 50 to 200."
    )


#: The lip-sync engines, each a module of `stages.lipsync.engines`, and what leaves the choice to the machine.
LipsyncEngineName = Literal["auto", "warp", "musetalk"]


class LipsyncStage(_Section):
    """How the mouth is moved."""

    engine: LipsyncEngineName = Field(
        "auto", description="Engine that moves the mouth; auto: musetalk if its files and a GPU are present, else warp."
    )
    musetalk: Musetalk = Musetalk()


class EncodeStage(_Section):
    """How videos are drawn and encoded."""

    encoder: Literal["auto", "libx264", "h264_nvenc"] = Field(
        "auto",
        description="Encoder of MP4s; auto: NVENC if the ffmpeg has it and a trial works, else libx264. HEVC likewise.",
    )
    ffmpeg: Folder | None = Field(
        None,
        description="Another ffmpeg that encodes videos, such as /usr/bin/ffmpeg for NVENC; null: the installed one.",
    )
    preset: dict[str, str] = Field(
        {"draft": "ultrafast", "low": "ultrafast", "medium": "veryfast", "high": "medium"},
        description="x264's effort for each quality; other encoders get an equivalent.",
    )
    crf: dict[str, int] = Field(
        {"draft": 26, "low": 26, "medium": 21, "high": 17},
        description="x264's constant rate factor for each quality; lower is better and larger.",
    )
    audio_kbps: int = Field(160, ge=32, le=512, description="AAC bit rate.")
    threads: int = Field(0, ge=0, description="Threads of the encoder; 0: the encoder chooses.")
    processes: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes that draw a long video; 0: 2 where there are 2 cores, more where the cpu lane leaves more.",
    )
    sampler: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="Where frames are sampled; cuda: by torch on the GPU if there is one, which no lane counts (see operations).",
    )
    label: str = Field("AI-generated video", description="Label written into the video's metadata.")

    @field_validator("preset", "crf")
    @classmethod
    def _for_every_quality(cls, given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Complete what is given for some qualities by the defaults of the others."""
        default = cls.model_fields[str(info.field_name)].default
        if unknown := set(given) - set(default):
            raise ValueError(f"knows no quality {', '.join(sorted(unknown))}: they are {', '.join(default)}")
        return {**default, **given}


class Stages(_Section):
    """Settings of the stages."""

    face: FaceStage = FaceStage()
    tts: TtsStage = TtsStage()
    lipsync: LipsyncStage = LipsyncStage()
    encode: EncodeStage = EncodeStage()


class Retention(_Section):
    """When data is removed."""

    every_s: float = Field(3600.0, gt=0, description="Interval at which expired and excess data is removed.")
    done_days: float = Field(30.0, ge=0, description="Days for which records of finished jobs are kept.")
    failed_days: float = Field(90.0, ge=0, description="Days for which failed jobs are kept; they can be retried.")
    done_mb: int = Field(1000, ge=0, description="Most space for finished jobs; the oldest go first.")
    failed_mb: int = Field(10_000, ge=0, description="Most space for failed jobs; the oldest go first.")
    cache_mb: int = Field(
        2000, ge=0, description="Most space for measured portraits; the least recently used go first."
    )
    outbox_days: float = Field(0.0, ge=0, description="Days after which results are removed; 0: never.")
    outbox_mb: int = Field(0, ge=0, description="Most space for results; 0: no limit.")


class Metrics(_Section):
    """How metrics are served."""

    enabled: bool = Field(True, description="Whether /metrics, /healthz and /readyz are served.")
    host: str = Field("127.0.0.1", description="Address; use a reverse proxy to expose the endpoints beyond loopback.")
    port: int = Field(9464, ge=0, le=65535, description="Port; 0: any free port (written to spool/metrics.json).")
    textfile: Folder | None = Field(
        None, description="File for node_exporter's textfile collector (NAME.prom), in addition to HTTP."
    )


class Heartbeat(_Section):
    """The test job that is sent at intervals (daemon/telemetry/canary.py)."""

    every_s: float = Field(
        0.0, ge=0, description="Interval of a small test job through the whole system; 0: no test job."
    )


class Log(_Section):
    """How the daemon logs."""

    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Lowest level that is written.")
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, else journald's fields or JSON."
    )


class Settings(_Section):
    """All settings, as in config.yaml."""

    paths: Paths = Paths()
    intake: Intake = Intake()
    retry: Retry = Retry()
    lanes: Lanes = Lanes()
    stages: Stages = Stages()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    heartbeat: Heartbeat = Heartbeat()
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
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise ConfigError(
                "config-unreadable", f"{path}: {exc.strerror}.", "Give a readable file with --config."
            ) from exc
        except (yaml.YAMLError, UnicodeDecodeError) as exc:
            raise ConfigError(
                "config-invalid",
                f"{path} is not valid YAML: {exc}",
                "Correct it, or start from the shipped config.yaml.",
            ) from exc
        return cls.parse(raw or {}, path)

    @classmethod
    def parse(cls, raw: Any, path: Path) -> Self:
        """Validate settings that are loaded already; relative folders are relative to the folder of `path`.

        Raises:
            ConfigError: `config-invalid`.
        """
        if isinstance(raw, dict) and raw.get("paths") is None:
            raw = {**raw, "paths": {}}  # so that the default folders, too, are taken from the file's own
        try:
            return cls.model_validate(raw, context={"base": path.absolute().parent})
        except ValidationError as exc:
            message, hint = explain_setting_error(exc.errors()[0], cls)
            raise ConfigError("config-invalid", f"{path}: {message}", hint) from exc
