"""config.yaml: every setting, typed, with its default. Paths are relative to the file's own folder."""

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
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Paths(_Section):
    inbox: Folder = Field(Path("inbox"), description="Where jobs are dropped.")
    outbox: Folder = Field(Path("outbox"), description="Where results appear.")
    spool: Folder = Field(Path("spool"), description="The queue; on a local disk with a journal.")
    cache: Folder = Field(Path("spool/cache"), description="What can be made again: rigs of portraits.")
    models: Folder = Field(Path("spool/models"), description="Model files of the engines that need some.")
    profiles: Folder = Field(
        Path("spool/profiles"), description="Voice profiles; not a cache: keep a copy of it. Unset: below the spool."
    )

    @model_validator(mode="before")
    @classmethod
    def _profiles_below_the_spool(cls, data: Any) -> Any:
        """A configuration that says where it may write, but is older than the profiles, must not get a folder elsewhere."""
        if isinstance(data, dict) and "profiles" not in data and isinstance(spool := data.get("spool"), str | Path):
            return {**data, "profiles": Path(spool) / "profiles"}
        return data


class Intake(_Section):
    settle_s: float = Field(
        2.0, ge=0.05, description="A file that its writer has closed must look the same on two looks this far apart."
    )
    settle_unknown_s: float = Field(
        10.0,
        ge=0,
        description="The same where nobody tells when a writer is done: on network mounts, and for what lay there at start;",
    )
    settle_mb_s: float = Field(1.0, ge=0, description="and there so much longer for each MB of the file.")
    scan_s: float = Field(30.0, ge=0.1, description="Full scan of the inbox, whatever the notifications say.")
    companion_wait_s: float = Field(900.0, ge=0, description="How long a manifest waits for the files it names.")
    empty_wait_s: float = Field(
        30.0, ge=0, description="How long an empty file may still be filled; then it is taken as it is."
    )
    watch: Literal["auto", "inotify", "poll"] = Field("auto", description="auto polls on network and FUSE mounts.")
    poll_s: float = Field(2.0, ge=0.1, description="Time between looks where changes are not announced.")
    max_manifest_bytes: int = Field(262_144, ge=1024, description="A larger manifest is refused unread.")
    max_documents: int = Field(1000, ge=1, description="Jobs in one manifest file.")
    max_file_bytes: int = Field(512 * 2**20, ge=1024, description="Largest picture or sound taken in.")
    max_text_chars: int = Field(5000, ge=1, description="Longest text of one job that a voice is to say.")
    reserve_mb: int = Field(500, ge=0, description="No new jobs are taken in with less free space on the spool's disk.")


class Retry(_Section):
    attempts: int = Field(3, ge=1, description="Tries of a stage before the job is failed.")
    crashes: int = Field(3, ge=1, description="Processes a job may kill before it is quarantined.")
    interruptions: int = Field(
        10, ge=1, description="Times the whole daemon may die during a job before it is quarantined."
    )
    first_delay_s: float = Field(5.0, ge=0, description="Doubles at each try, with up to half as much again of chance.")
    max_delay_s: float = Field(300.0, ge=0, description="The delay grows no further than this.")


class GpuLane(_Section):
    stick_jobs: int = Field(16, ge=1, description="Jobs in a row for the loaded model while others wait.")
    stick_s: float = Field(120.0, ge=0, description="How long others wait at most before the model is changed.")


class CpuLane(_Section):
    processes: int = Field(0, ge=0, le=64, description="0: half the cores, at least 2.")


class Timeout(_Section):
    base_s: float = Field(60.0, gt=0, description="A stage may take this long, whatever it works on.")
    per_audio_s: float = Field(
        20.0, ge=0, description="Added for each second of speech, where one is spoken, decoded, drawn or encoded,"
    )
    per_megapixel_s: float = Field(1.0, ge=0, description="for each million pixels of a picture, where one is read,")
    per_mb_s: float = Field(
        2.0, ge=0, description="and for each megabyte, where a sound is read or results are delivered."
    )


class Lanes(_Section):
    gpu: GpuLane = GpuLane()
    cpu: CpuLane = CpuLane()
    timeout: Timeout = Timeout()
    heartbeat_s: float = Field(2.0, gt=0, description="How often a child says that it lives.")
    silence_s: float = Field(60.0, gt=0, description="A child that says nothing this long is ended.")
    memory_mb: int = Field(
        0,
        ge=0,
        description="A child that takes more memory is ended; 0: half the machine's, or of what its control group allows.",
    )
    idle_s: float = Field(300.0, gt=0, description="A child without work ends after this long and frees its memory.")
    drain_s: float = Field(20.0, ge=0, description="On SIGTERM, how long running stages may still take.")
    pause_s: float = Field(
        15.0, gt=0, description="First look again after a machine fault; doubles up to ten times this."
    )


class FaceStage(_Section):
    min_face_px: int = Field(
        128,
        ge=32,
        description="Smallest face that still animates well: its longer side, in pixels of the picture as dropped.",
    )
    min_confidence: float = Field(0.5, ge=0, le=1, description="Below this the detector is guessing.")
    max_yaw_deg: float = Field(
        25.0, gt=0, le=90, description="A face turned further away shows too little of its far side."
    )
    max_tilt_deg: float = Field(15.0, gt=0, le=90, description="A head tilted further distorts when it moves.")
    max_pixels: int = Field(100_000_000, ge=10_000, description="Pictures larger than this are refused unread.")
    max_side_px: int = Field(
        1080, ge=128, le=4096, description="Longest side of the video; larger pictures are scaled down."
    )


#: The voice engines that are part of this program, each a package `stages.tts.engines.NAME`. Of two voices of the same name
#: the first engine's is taken.
TTS_ENGINES = ("hibari", "kokoro", "coqui", "xtts")


class ExternalEngine(_Section):
    """A voice engine in another program: docs/engines.md."""

    command: list[str] = Field([], description="The program and its arguments; it is spoken to in JSON lines.")
    python: str = Field("", description="Or: another virtual environment's Python, for an engine of our own.")
    voices: dict[str, str] = Field({}, description="Its voices: name and language tag.")
    licence: str = Field("not stated", description="Of what it says; shown in the status.")
    start_s: float = Field(300.0, gt=0, description="How long it may take to start.")
    say_s: float = Field(120.0, gt=0, description="How long a sentence, or a clause of a long one, may take,")
    say_char_s: float = Field(1.0, ge=0, description="and so much longer for each letter of it (XTTS: at each try).")


class Xtts(_Section):
    accept_licence: bool = Field(
        False,
        description="Set to true once you agree that XTTS and what it says are for non-commercial use only (CPML).",
    )
    model_sha256: str = Field(
        "",
        pattern="^([0-9a-fA-F]{64})?$",
        description="Of model.pth, where it is a model of your own; empty: it must be the published one.",
    )
    attempts: int = Field(3, ge=1, le=10, description="Tries at a sentence that does not come out right.")
    temperature: float = Field(0.75, gt=0, le=2, description="More is livelier and less reliable.")
    repetition_penalty: float = Field(5.0, ge=1, le=20, description="More stops it from repeating itself.")
    length_penalty: float = Field(1.0, ge=0, le=10, description="As in the published configuration.")
    top_k: int = Field(50, ge=1, description="It chooses among this many next sounds,")
    top_p: float = Field(0.85, gt=0, le=1, description="and among those that are this likely together.")


class TtsStage(_Section):
    engine: str = Field(
        "auto",
        description="hibari, kokoro, xtts, coqui, a name under `engines`, or auto: the default voice's, else one that can.",
    )
    voice: str = Field("heart", description="What `voice: default` means: a name, or engine/name.")
    lexicon: Lexicon = Field(
        {},
        description="How words are said: nginx: engine ex; only in one language: es: {nginx: énchin-ex}; docs/voices.md.",
    )
    sentence_pause_s: float = Field(0.30, ge=0, le=5, description="Silence between sentences.")
    paragraph_pause_s: float = Field(0.60, ge=0, le=5, description="Silence between paragraphs.")
    lead_s: float = Field(0.25, ge=0, le=5, description="Silence before the first word.")
    tail_s: float = Field(0.35, ge=0, le=5, description="Silence after the last word.")
    max_audio_s: float = Field(3600.0, gt=0, description="Longest speech of one job, spoken or brought.")
    check_speech: bool = Field(
        True,
        description="Refuse sound that is not speech; false keeps it with a warning, for a voice that hums or beeps.",
    )
    require_consent: bool = Field(
        False, description="Voice profiles are made, and spoken with, only where it is written down who agreed."
    )
    xtts: Xtts = Xtts()
    level_audio: bool = Field(False, description="Bring a job's own sound to -16 LUFS too, as all that is spoken is.")

    @field_validator("lexicon", mode="before")
    @classmethod
    def _lexicon_fits(cls, lexicon: Any) -> Any:
        if isinstance(lexicon, dict):
            check_lexicon(lexicon)
        return lexicon


class Musetalk(_Section):
    version: Literal["1.5", "1.0"] = Field("1.5", description="Which of the published networks.")
    precision: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto", description="auto: the fastest that the hardware has; broken frames are redone in float32."
    )
    memory_mb: int = Field(5600, ge=2500, description="GPU memory that the batch is chosen for.")
    batch: int = Field(0, ge=0, le=256, description="Frames at once; 0: by memory. Halved where memory ends.")
    mask: Literal["landmarks", "parsing"] = Field(
        "landmarks",
        description="What the painted part is cut out by; parsing: a network whose training data is not for commerce.",
    )
    bbox_shift: int = Field(
        0,
        ge=-100,
        le=100,
        description="Version 1.0 only: px that the face's middle is moved down; more opens the mouth.",
    )
    patience: float = Field(
        300.0, gt=0, description="Longest painting accepted, in s for each s of speech; a processor needs 50 to 200."
    )


#: The lip-sync engines, each a module of `stages.lipsync.engines`, and what leaves the choice to the machine.
LipsyncEngineName = Literal["auto", "warp", "musetalk"]


class LipsyncStage(_Section):
    engine: LipsyncEngineName = Field(
        "auto", description="Which engine moves the mouth; auto: musetalk where its files and a GPU are, else warp."
    )
    musetalk: Musetalk = Musetalk()


class EncodeStage(_Section):
    preset: dict[str, str] = Field(
        {"low": "ultrafast", "medium": "veryfast", "high": "medium"}, description="x264's effort for each quality."
    )
    crf: dict[str, int] = Field(
        {"low": 26, "medium": 21, "high": 17},
        description="x264's constant rate factor for each quality; lower is better and larger.",
    )
    audio_kbps: int = Field(160, ge=32, le=512, description="AAC bit rate.")
    threads: int = Field(0, ge=0, description="Threads for the encoder; 0 lets it choose.")
    processes: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes that draw one video's frames; 0: the cores for each process of the cpu lane.",
    )
    label: str = Field("AI-generated video", description="Written into the MP4's metadata.")


class Stages(_Section):
    face: FaceStage = FaceStage()
    tts: TtsStage = TtsStage()
    lipsync: LipsyncStage = LipsyncStage()
    encode: EncodeStage = EncodeStage()


class Retention(_Section):
    every_s: float = Field(3600.0, gt=0, description="How often what is too old or too much is cleared.")
    done_days: float = Field(30.0, ge=0, description="Records of finished jobs are kept this long.")
    failed_days: float = Field(90.0, ge=0, description="Failed jobs, which can still be retried, are kept this long.")
    done_mb: int = Field(1000, ge=0, description="Most space for finished jobs; the oldest go first.")
    failed_mb: int = Field(10_000, ge=0, description="Most space for failed jobs; the oldest go first.")
    cache_mb: int = Field(2000, ge=0, description="Most space for rigs of portraits; the longest unused go first.")
    outbox_days: float = Field(
        0.0, ge=0, description="Results are removed after this long; 0: never, people take them."
    )
    outbox_mb: int = Field(0, ge=0, description="Most space for results; 0: no limit.")


class Metrics(_Section):
    enabled: bool = Field(True, description="Whether /metrics, /healthz and /readyz are served.")
    host: str = Field("127.0.0.1", description="Loopback: put a proxy in front to show them elsewhere.")
    port: int = Field(9464, ge=0, le=65535, description="0: any free port (written to spool/metrics.json).")
    textfile: Folder | None = Field(
        None, description="Written here as well, for node_exporter's textfile collector (NAME.prom)."
    )


class Heartbeat(_Section):
    every_s: float = Field(
        0.0, ge=0, description="A tiny job of our own goes through the whole system so often; 0: none."
    )


class Log(_Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is written.")
    format: Literal["auto", "console", "json"] = Field(
        "auto", description="auto: console on a terminal, JSON otherwise."
    )


class Settings(_Section):
    paths: Paths = Paths()
    intake: Intake = Intake()
    retry: Retry = Retry()
    lanes: Lanes = Lanes()
    stages: Stages = Stages()
    retention: Retention = Retention()
    metrics: Metrics = Metrics()
    heartbeat: Heartbeat = Heartbeat()
    log: Log = Log()
    engines: dict[str, ExternalEngine] = Field(
        {}, description="Voice engines in programs of their own, by name; see docs/engines.md."
    )

    @model_validator(mode="after")
    def _engines_fit(self) -> Self:
        for name, engine in self.engines.items():
            if bool(engine.command) == bool(engine.python):
                raise ValueError(f"engines.{name} needs either `command` or `python`")
            if engine.python and name not in TTS_ENGINES:
                raise ValueError(f"engines.{name}.python is for {', '.join(TTS_ENGINES)}; give a `command`")
            if engine.command and (name in TTS_ENGINES or not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name)):
                raise ValueError(f"engines.{name} cannot be a new engine's name: letters a-z, digits, -, and not ours")
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
        """Read and check a config file.

        Raises:
            ConfigError: with the file, the key and what would be right.
        """
        try:
            raw = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise ConfigError(
                "config-unreadable", f"{path}: {exc.strerror}.", "Name a readable file with --config."
            ) from exc
        except (yaml.YAMLError, UnicodeDecodeError) as exc:
            raise ConfigError(
                "config-invalid", f"{path} is not valid YAML: {exc}", "Mend it, or start from config.yaml."
            ) from exc
        return cls.parse(raw or {}, path)

    @classmethod
    def parse(cls, raw: Any, path: Path) -> Self:
        """Check already loaded settings; relative folders are taken from `path`'s folder."""
        if isinstance(raw, dict) and raw.get("paths") is None:
            raw = {**raw, "paths": {}}  # so that the default folders, too, are taken from the file's own
        try:
            return cls.model_validate(raw, context={"base": path.absolute().parent})
        except ValidationError as exc:
            message, hint = explain_setting_error(exc.errors()[0], cls)
            raise ConfigError("config-invalid", f"{path}: {message}", hint) from exc
