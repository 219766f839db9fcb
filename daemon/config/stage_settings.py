"""Defines the settings below `stages:` and `engines:` of config.yaml, with their types and defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from daemon.config.engines import LIPSYNC_ENGINES
from daemon.config.lexicon import Lexicon, check_lexicon
from daemon.config.section import Folder, Section


class FaceStage(Section):
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
        30.0,
        gt=0,
        le=44,
        description="Largest lean of the head to a shoulder. A picture that lies on its side or upside down is turned first.",
    )
    max_pitch_deg: float = Field(
        20.0, gt=0, le=90, description="Largest turn of the head up or down; beyond it, the moving head is distorted."
    )
    max_pixels: int = Field(
        100_000_000, ge=10_000, description="Largest picture, in pixels; a larger one is refused without being decoded."
    )
    max_side_px: int = Field(
        1080,
        ge=128,
        le=4096,
        description="Of videos without `size`: the shorter side is at most so long, the longer one at most 16/9 of it (1080: "
        "1920x1080 or 1080x1920). Larger pictures are scaled down.",
    )
    require_consent: bool = Field(
        False, description="Avatar profiles can be created and used only with a recorded consent."
    )


#: GPU memory with which SDXL can work at all, layer by layer, with the driver's context; rounded up. MB
_LEAST_SDXL_MB = 5000


class GenerateStage(Section):
    """How portraits are generated from a prompt (docs/avatars.md)."""

    steps: int = Field(30, ge=1, le=150, description="Steps of denoising; more take longer.")
    guidance: float = Field(5.0, ge=1, le=20, description="How closely the picture follows the prompt; 1: loosely.")
    tries: int = Field(
        3, ge=1, le=10, description="Pictures that are generated, each with the next seed, until one can be animated."
    )
    prompt: str = Field(
        "portrait photo of one person, facing the camera, looking into the camera, head and shoulders, neutral expression, "
        "closed mouth, even light, plain background",
        max_length=1000,
        description="Added to each prompt, unless the manifest says `enhance_prompt: false`; empty: nothing.",
    )
    negative: str = Field(
        "several people, side view, hands, text, watermark, sunglasses, open mouth, cropped head, blurry, deformed",
        max_length=1000,
        description="Added in the same way to what the portrait should not show.",
    )
    memory_mb: int = Field(
        0,
        ge=0,
        description="Most GPU memory to use, in MB, from 5000; where it is small, parts of the model wait in main memory, which "
        "is slower. 0: what is free.",
    )
    picture_s: float = Field(
        3600.0, gt=0, description="Time limit of one picture, in s; a processor may need an hour, a GPU seconds."
    )
    label: str = Field("AI-generated portrait", description="Label in the picture's metadata.")

    @field_validator("memory_mb")
    @classmethod
    def _holds_the_network(cls, given: int) -> int:
        if 0 < given < _LEAST_SDXL_MB:
            raise ValueError(f"must be 0, or at least {_LEAST_SDXL_MB}, which the network needs")
        return given


class ExternalEngine(Section):
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
    say_s: float = Field(120.0, gt=0, description="Time limit of a sentence, or of a clause of a long one.")
    say_char_s: float = Field(
        1.0, ge=0, description="Added to `say_s` for each of its letters (XTTS: at each attempt)."
    )


class Xtts(Section):
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
    top_k: int = Field(50, ge=1, description="Sampling is limited to this many most likely next tokens.")
    top_p: float = Field(
        0.85, gt=0, le=1, description="Sampling is limited to the most likely next tokens up to this total probability."
    )


class TtsStage(Section):
    """How text is spoken."""

    engine: str = Field(
        "auto",
        description="hibari, kokoro, piper, xtts, coqui, a name under `engines`, or auto: the default voice's, else a usable.",
    )
    voice: str = Field(
        "heart", description="What `voice: default` means: a name, engine/name, or words such as british female."
    )
    lexicon: Lexicon = Field(
        {},
        description="Pronunciations: nginx: engine ex; for one language: es: {nginx: énchin-ex}; see docs/voices.md.",
    )
    sentence_pause_s: float = Field(0.30, ge=0, le=5, description="Silence between sentences.")
    paragraph_pause_s: float = Field(0.60, ge=0, le=5, description="Silence between paragraphs.")
    lead_s: float = Field(0.25, ge=0, le=5, description="Silence before the first word.")
    tail_s: float = Field(0.35, ge=0, le=5, description="Silence after the last word.")
    max_audio_s: float = Field(7200.0, gt=0, description="Longest speech of one job, synthesized or from a sound file.")
    label: str = Field("AI-generated speech", description="Label in a synthesized sound file's metadata (comment).")
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

    transcribe: bool = Field(
        True,
        description="Recognise the words of a sound file that comes without `text`, where the extra `transcribe` is installed.",
    )
    whisper_model: Folder | None = Field(
        None,
        description="Folder of a Whisper network in CTranslate2's layout, which then recognises all its languages.",
    )

    @field_validator("lexicon", mode="before")
    @classmethod
    def _lexicon_fits(cls, lexicon: Any) -> Any:
        if isinstance(lexicon, dict):
            check_lexicon(lexicon)
        return lexicon


#: GPU memory of MuseTalk in half precision with one frame in a pass, and the driver's context; rounded up. MB
_LEAST_MUSETALK_MB = 3000


class Musetalk(Section):
    """Settings of the lip-sync engine MuseTalk."""

    version: Literal["1.5", "1.0"] = Field("1.5", description="Version of the published network.")
    precision: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        "auto",
        description="auto: the nearest to float32 that the hardware computes fast (GPUs: float16); invalid frames are "
        "computed again in float32.",
    )
    memory_mb: int = Field(
        0,
        ge=0,
        description="Most GPU memory to use, in MB, for which the batch size is chosen; from 3000, which hold the network in "
        "half precision and one frame. 0: 5600, or 40 % of the GPU's memory where that is more.",
    )
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
    fused_norm: bool = Field(
        True,
        description="On a GPU: compute each GroupNorm with its bias and SiLU by kernels of our own, where Triton can build them "
        "and they pass a trial.",
    )
    partial_rows: bool = Field(
        False,
        description="Decode only the rows that are shown of the patches of nearly every second frame, with an eighth of all "
        "products less on a large GPU. Not exact: the norms take what they need of the rows above from the frames before and "
        "after.",
    )
    patience: float = Field(
        300.0, gt=0, description="Longest painting time accepted, in s for each s of speech; a CPU needs 50 to 200."
    )

    @field_validator("memory_mb")
    @classmethod
    def _holds_the_network(cls, given: int) -> int:
        if 0 < given < _LEAST_MUSETALK_MB:
            raise ValueError(f"must be 0, or at least {_LEAST_MUSETALK_MB}, which the network and one frame need")
        return given


#: The lip-sync engines, each a module of `stages.lipsync.engines`, and what leaves the choice to the machine.
if TYPE_CHECKING:
    LipsyncEngineName = str
else:
    LipsyncEngineName = Literal["auto", *LIPSYNC_ENGINES]


class LipsyncStage(Section):
    """How the mouth is moved."""

    engine: LipsyncEngineName = Field(
        "auto", description="Engine that moves the mouth; auto: musetalk if its files and a GPU are present, else warp."
    )
    musetalk: Musetalk = Musetalk()


#: x264's presets, from the quickest one on.
X264Preset = Literal[
    "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"
]


class EncodeStage(Section):
    """How videos are drawn and encoded."""

    encoder: Literal["auto", "libx264", "h264_nvenc"] = Field(
        "auto",
        description="Encoder of MP4s; auto: NVENC if the ffmpeg has it and a trial works, else libx264. HEVC likewise.",
    )
    ffmpeg: Folder | None = Field(
        None,
        description="Another ffmpeg that encodes videos, such as /usr/bin/ffmpeg for NVENC; null: the installed one.",
    )
    preset: dict[str, X264Preset] = Field(
        {"draft": "ultrafast", "low": "veryfast", "medium": "veryfast", "high": "medium"},
        description="x264's effort for each quality; other encoders get an equivalent.",
    )
    crf: dict[str, Annotated[int, Field(ge=0, le=51)]] = Field(
        {"draft": 26, "low": 26, "medium": 21, "high": 17},
        description="x264's constant rate factor for each quality; lower is better and larger.",
    )
    audio_kbps: int = Field(160, ge=32, le=512, description="AAC bit rate.")
    threads: int = Field(0, ge=0, description="Threads of the encoder; 0: the encoder chooses.")
    processes: int = Field(
        0,
        ge=0,
        le=64,
        description="Processes that draw a video; 0: 2 where there are 2 cores, more where the cpu lane leaves more.",
    )
    sampler: Literal["cpu", "cuda"] = Field(
        "cpu",
        description="Where frames are drawn; cuda: on the GPU, where it has memory for that and for a network (see operations).",
    )
    label: str = Field("AI-generated video", description="Label in the video's metadata (comment and description).")

    @field_validator("preset", "crf")
    @classmethod
    def _for_every_quality(cls, given: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        """Complete what is given for some qualities by the defaults of the others."""
        default = cls.model_fields[str(info.field_name)].default
        if unknown := set(given) - set(default):
            raise ValueError(f"knows no quality {', '.join(sorted(unknown))}: they are {', '.join(default)}")
        return {**default, **given}


class TranscodeStage(Section):
    """How videos are converted by `kind: encode`, and looked into by `kind: info`."""

    max_video_s: float = Field(7200.0, gt=0, description="Longest video that is converted.")
    max_pixels: int = Field(36_000_000, ge=1, description="Most pixels of a frame that is decoded: 8K has 33 million.")
    memory_mb: int = Field(
        256, ge=16, description="Most memory that ffmpeg takes at once for one piece of a source file."
    )


class Stages(Section):
    """Settings of the stages."""

    generate: GenerateStage = GenerateStage()
    face: FaceStage = FaceStage()
    tts: TtsStage = TtsStage()
    lipsync: LipsyncStage = LipsyncStage()
    encode: EncodeStage = EncodeStage()
    transcode: TranscodeStage = TranscodeStage()
