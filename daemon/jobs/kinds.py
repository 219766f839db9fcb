"""Defines every kind of job, one table entry each. All properties of a kind are here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from daemon.jobs.stages import BY_NAME, CHECK, DELIVER, VOICE_KEYS, Stage
from daemon.jobs.stages import TABLE as STAGE_TABLE
from daemon.jobs.video_files import SOUND_ENDINGS, VIDEO_ENDINGS, sound_file, video_file

#: Manifest keys of which one must be given, and the message if none is.
Need = tuple[tuple[str, ...], str]
#: Manifest keys that may not all be given, and the message if they are.
Refusal = tuple[tuple[str, ...], str]


@dataclass(frozen=True)
class Kind:
    """One kind of job.

    Attributes:
        name: value of `kind` in a manifest.
        what: half a sentence for docs/manifest.md.
        stages: stages of a job, in order; the cheap check comes first.
        results: possible results, each as file name in the job's folder and ending in the outbox. The main result is last.
        needs: keys that its manifest must give.
        refuses: keys that its manifest may not give; checked first.
        makes_profile: its tts stage creates a voice profile from the recording, and no speech.
        judges: its face stage reports on every face, and a face that cannot be animated is a result, no error.
        makes_avatar: its face stage keeps the portrait as an avatar profile.
        makes_jobs: its check stage resolves the rows of a table, and each of them becomes a job of its own.
        keeps: keys that its result takes over, beside those that its stages use.
        only_with: stages that a job goes through only where its manifest gives a key: stage → key.
    """

    name: str
    what: str
    stages: tuple[Stage, ...]
    results: tuple[tuple[str, str], ...]
    needs: tuple[Need, ...]
    refuses: tuple[Refusal, ...] = ()
    makes_profile: bool = False
    judges: bool = False
    makes_avatar: bool = False
    makes_jobs: bool = False
    keeps: tuple[str, ...] = ()
    only_with: Mapping[Stage, str] = field(default_factory=dict)

    @property
    def draws(self) -> bool:
        """Whether jobs of this kind draw a video."""
        return "encode" in self.stages

    @property
    def makes_video(self) -> bool:
        """Whether its main result is a video, drawn or converted."""
        return self.results[-1][1] in VIDEO_ENDINGS

    @property
    def makes_sound(self) -> bool:
        """Whether its main result is a sound."""
        return self.results[-1][1] in SOUND_ENDINGS

    @property
    def animates(self) -> bool:
        """Whether jobs of this kind need a portrait that is ready to be animated, with its rig and its background."""
        return self.draws or self.makes_avatar

    def stages_of(self, given: Callable[[str], bool]) -> tuple[Stage, ...]:
        """Return the stages of a job whose manifest gives these keys, in order. `given`: whether a key is given."""
        return tuple(stage for stage in self.stages if stage not in self.only_with or given(self.only_with[stage]))

    def refused(self, given: Callable[[str], bool]) -> list[Refusal]:
        """Return the refusals of which every key is given. `given`: whether a key is given."""
        return [refusal for refusal in self.refuses if all(map(given, refusal[0]))]

    def missing(self, given: Callable[[str], bool]) -> list[Need]:
        """Return the needs of which no key is given. `given`: whether a key is given."""
        return [need for need in self.needs if not any(map(given, need[0]))]

    @property
    def needed(self) -> str:
        """What a manifest of this kind must give, as a sentence."""
        needs = ", and ".join(" or ".join(f"`{key}`" for key in keys) for keys, _ in self.needs)
        return f"A job of `kind: {self.name}` needs {needs}."


_IMAGE: Need = (("image",), "`image` is missing: name a picture file next to the manifest")
_IMAGE_OR_PROMPT: Need = (
    ("image", "prompt"),
    "`image` is missing: name a picture file next to the manifest (or describe a person with `prompt`)",
)
_PORTRAIT: Need = (
    ("image", "avatar"),
    "`image` is missing: name a picture file next to the manifest (or an avatar profile with `avatar`)",
)
_SPEECH: Need = (
    ("text", "audio"),
    "`text` is missing: write what the voice should say (or name a sound file with `audio`)",
)
_RECORDING: Need = (("audio",), "`audio` is missing: name a recording of one person speaking, next to the manifest")
_NO_PROFILE: Refusal = (
    ("profile",),
    "`profile` is given, but only a job of `kind: voice` or `avatar` makes one; to use one, write `voice` or `avatar`",
)
_ONE_PORTRAIT: Refusal = (("image", "avatar"), "`image` and `avatar` are both given: keep one")
_NO_AVATAR: Refusal = (
    ("avatar",),
    "`avatar` is given, but a job of `kind: avatar` makes one, from `image` or `prompt`: remove it",
)
_ONE_SOURCE: Refusal = (("image", "prompt"), "`image` and `prompt` are both given: keep one")
_NO_TEXT: Refusal = (("text",), "`text` is given, but a job of `kind: voice` speaks no text: remove it")
_ONE_FILE = "Two of `video`, `audio` and `image` are given: keep one, and write a job for each of the others"
_ANY_FILE: Need = (
    ("video", "audio", "image"),
    "`video` is missing: name a video (or a sound file with `audio`, a picture with `image`)",
)
_VIDEO: Need = (("video",), "`video` is missing: name a video file next to the manifest")
_ONE_SHAPE: Refusal = (
    ("size", "aspect"),
    "`size` and `aspect` are both given: keep one, `size` for an exact number of pixels, or `aspect` for the shape alone",
)

_ROWS: Need = (("rows",), "`rows` is missing: name a table (.csv, .tsv or .jsonl) next to the manifest")

#: Keys of a batch itself; what its jobs are to be stands in its template and in its table.
BATCH_KEYS = ("rows", "template", "limit", "on_error", "accept_partial", "dedupe")

_CONVERTED_RESULTS = (
    ("captions.srt", ".srt"),
    ("captions.vtt", ".vtt"),
    *((video_file(ending), ending) for ending in VIDEO_ENDINGS),
)
_VIDEO_RESULTS = (("poster.jpg", ".jpg"), *_CONVERTED_RESULTS)
_SPEECH_RESULTS = (("timing.json", ".timing.json"), *((sound_file(ending), ending) for ending in SOUND_ENDINGS))
_DETECT_RESULTS = (("face.jpg", ".face.jpg"), ("face.json", ".face.json"))
_INFO_RESULTS = (("info.json", ".info.json"),)
_VOICE_RESULTS = (("profile.json", ".voice.json"),)
_BATCH_RESULTS = (("errors.csv", ".errors.csv"), ("report.csv", ".report.csv"))
_AVATAR_RESULTS = (("contact.jpg", ".avatar.jpg"), ("avatar-profile.json", ".avatar.json"))

TABLE: Final[tuple[Kind, ...]] = (
    Kind(
        "video", "sound and picture", (CHECK, "face", "tts", "lipsync", "encode", DELIVER), _VIDEO_RESULTS,
        (_SPEECH, _PORTRAIT),
        (_NO_PROFILE, _ONE_PORTRAIT, _ONE_SHAPE),
    ),
    Kind(
        "lipsync", "the picture, moved by a recording (`audio`)", (CHECK, "face", "tts", "lipsync", "encode", DELIVER),
        _VIDEO_RESULTS, (_RECORDING, _PORTRAIT), (_NO_PROFILE, _ONE_PORTRAIT, _ONE_SHAPE),
    ),
    Kind(
        "speech", "only the sound", (CHECK, "tts", DELIVER), _SPEECH_RESULTS, (_SPEECH,), (_NO_PROFILE,),
        keeps=("format", "title", "stream"),
    ),
    Kind(
        "detect", "only a check of the picture", ("face", DELIVER), _DETECT_RESULTS, (_IMAGE,), (_NO_PROFILE, _ONE_SHAPE),
        judges=True,
    ),
    Kind(
        "voice", "the voice of a recording (`audio`), kept as a profile to speak with", (CHECK, "tts", DELIVER), _VOICE_RESULTS,
        (_RECORDING,), (_NO_TEXT,), makes_profile=True,
    ),
    Kind(
        "encode", "another form of a `video`", ("transcode", DELIVER), _CONVERTED_RESULTS, (_VIDEO,),
        (_NO_PROFILE, _ONE_SHAPE),
    ),
    Kind(
        "info", "a report of what is in a file (`video`, `audio` or `image`)", ("info", DELIVER), _INFO_RESULTS, (_ANY_FILE,),
        (_NO_PROFILE, *((pair, _ONE_FILE) for pair in (("video", "audio"), ("video", "image"), ("audio", "image")))),
    ),
    Kind(
        "avatar", "a portrait (`image`, or generated from `prompt`) with its framing, voice, background and motion, kept as a "
        "profile for videos",
        (CHECK, "generate", "face", DELIVER), _AVATAR_RESULTS, (_IMAGE_OR_PROMPT,), (_NO_AVATAR, _ONE_SOURCE, _ONE_SHAPE),
        makes_avatar=True, keeps=("voice", "background", "motion", "title"), only_with={"generate": "prompt"},
    ),
    Kind(
        "batch", "a job for each row of a table (`rows`)", (CHECK,), _BATCH_RESULTS, (_ROWS,), makes_jobs=True, keeps=BATCH_KEYS,
    ),
)  # fmt: skip
KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in TABLE}


def _keys_without_use(kind: Kind) -> tuple[str, ...]:
    used = {key for stage in kind.stages for key in BY_NAME[stage].uses}
    if kind.makes_profile:
        used -= set(VOICE_KEYS)
    used |= set(kind.keeps)
    # What shapes the result comes first, as people look for that.
    known = (*(key for row in reversed(STAGE_TABLE) for key in row.uses), *(key for one in TABLE for key in one.keeps))
    return tuple(key for key in dict.fromkeys(known) if key not in used)


_WITHOUT_USE: Final = {name: _keys_without_use(kind) for name, kind in KINDS.items()}


def keys_without_use(kind: Kind) -> Sequence[str]:
    """Return the keys that do nothing in jobs of a kind: those that only other stages use."""
    return _WITHOUT_USE[kind.name]
