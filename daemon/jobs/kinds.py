"""Defines every kind of job, one table entry each. All properties of a kind are here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from daemon.jobs.stages import DELIVER, Stage
from daemon.jobs.video_files import VIDEO_ENDINGS, video_file

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
    """

    name: str
    what: str
    stages: tuple[Stage, ...]
    results: tuple[tuple[str, str], ...]
    needs: tuple[Need, ...]
    refuses: tuple[Refusal, ...] = ()
    makes_profile: bool = False

    @property
    def draws(self) -> bool:
        """Whether jobs of this kind draw a video, and so need a background and an animated portrait."""
        return "encode" in self.stages

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
_SPEECH: Need = (
    ("text", "audio"),
    "`text` is missing: write what the voice should say (or name a sound file with `audio`)",
)
_RECORDING: Need = (("audio",), "`audio` is missing: name a recording of one person speaking, next to the manifest")
_NO_PROFILE: Refusal = (
    ("profile",),
    "`profile` is given, but only a job of `kind: voice` makes one; to speak with one, use `voice`",
)
_NO_TEXT: Refusal = (("text",), "`text` is given, but a job of `kind: voice` speaks no text: remove it")
_ONE_SHAPE: Refusal = (("size", "aspect"), "`size` and `aspect` are both given: keep one")

_VIDEO_RESULTS = (
    ("poster.jpg", ".jpg"),
    ("captions.srt", ".srt"),
    ("captions.vtt", ".vtt"),
    *((video_file(ending), ending) for ending in VIDEO_ENDINGS),
)
_SPEECH_RESULTS = (("speech.wav", ".wav"),)
_DETECT_RESULTS = (("face.json", ".face.json"),)
_VOICE_RESULTS = (("profile.json", ".voice.json"),)

TABLE: Final[tuple[Kind, ...]] = (
    Kind(
        "video", "sound and picture", ("face", "tts", "lipsync", "encode", DELIVER), _VIDEO_RESULTS, (_SPEECH, _IMAGE),
        (_NO_PROFILE, _ONE_SHAPE),
    ),
    Kind("speech", "only the sound", ("tts", DELIVER), _SPEECH_RESULTS, (_SPEECH,), (_NO_PROFILE,)),
    Kind(
        "detect", "only a check of the picture", ("face", DELIVER), _DETECT_RESULTS, (_IMAGE,), (_NO_PROFILE, _ONE_SHAPE),
    ),
    Kind(
        "voice", "the voice of a recording (`audio`), kept as a profile to speak with", ("tts", DELIVER), _VOICE_RESULTS,
        (_RECORDING,), (_NO_TEXT,), makes_profile=True,
    ),
)  # fmt: skip
KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in TABLE}
