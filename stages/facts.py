"""The facts that each stage returns: JSON objects, shown in the status file under `stages` and kept in the job's record.

The records say which keys a stage writes; readers must expect that others are there, or that some are missing, since a job may
have been made by another version.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from daemon.jobs.facts import Output


class RefusedPicture(TypedDict):
    """A generated picture that cannot be animated: its seed, and the code and message of the error."""

    seed: int
    code: str
    message: str


class GeneratedFacts(TypedDict):
    """The portrait that the generate stage made, and, on a GPU, the memory before and after, in MB.

    Attributes:
        model: that made it.
        seed: that was used.
        refused: the pictures before it, which could not be animated.
        width, height: of the picture, px.
        device: "cpu", or the GPU.
        offload: what was on the GPU at a time: see `stages.generate.memory_plan.MemoryPlan`.
        load_s, picture_s: time to load the model, and to draw the last picture, s.
    """

    engine: str
    model: str
    seed: int
    refused: list[RefusedPicture]
    width: int
    height: int
    device: str
    offload: str
    load_s: float
    picture_s: float


class CheckFacts(TypedDict, total=False):
    """What the check stage found out.

    Attributes:
        speech_s: expected length of the speech, s: estimated from the text, or as the recording declares it.
        voice: the chosen voice, and `why` it was chosen; absent where a recording is heard, or the machine lacks the voice.
        engines: the engine that will do a later stage, by stage.
        rows: of a batch: rows of which jobs are made; `wrong_rows`: rows that are wrong; `equal_rows`: of `rows`, those that get
            the result of another one; `done_rows`: rows of a report that are left out, since they are done.
    """

    rows: int
    wrong_rows: int
    equal_rows: int
    done_rows: int
    speech_s: float
    voice: str
    why: str
    engines: Mapping[str, str]


class FaceFacts(TypedDict):
    """What the face stage measured.

    Attributes:
        faces_found: number of faces in the picture.
        face_px: size of the chosen face in the picture, px.
        detail_px: size of a sharp face that shows as much detail as the chosen one, px.
        confidence: of the detection, 0 to 1.
        pose: `yaw`, `pitch` and `roll`, degrees.
        eyes: "open", "closed", or "unsure": not where a person's would be, or covered; only open eyes blink and look about.
        width, height: of the video, px.
        cautions: codes of what may spoil the video; `warnings` has their sentences.
        profile, avatar: id and name of the avatar profile that the job uses or has made.
    """

    engine: str
    faces_found: int
    face_px: int
    detail_px: int
    confidence: float
    eyes: str
    pose: Mapping[str, float]
    width: int
    height: int
    cautions: list[str]
    profile: NotRequired[str]
    avatar: NotRequired[str]


class VerdictFacts(TypedDict):
    """What the face stage reports for `kind: detect`, which adds `FaceFacts` where the face is accepted.

    Attributes:
        verdict: "accepted", or the code of why the chosen face cannot be animated, such as "face-turned".
        verdict_of: the same for every face, from the left.
    """

    verdict: str
    verdict_of: list[str]


class SpeechFacts(TypedDict):
    """What the tts stage synthesized, or decoded from a recording (engine "brought").

    Attributes:
        why: the reason for the engine, as a phrase.
        audio_s: length of the speech, s.
        words: number of words.
        sentences: number of sentences.
        spoken: how many of them were synthesized now, as "2 of 14 sentences new"; the others are those of the job's base, of
            another job that said the same lately, or of an attempt that was interrupted. Not of a recording.
        method: source of the times of words and sounds: "exact" (the engine), "aligned" (found in the sound), or "energy":
            none, so that the mouth follows the loudness.
        voice, licence: of synthesized speech.
        speed, pauses: where the manifest gives `duration`: the speed that it was spoken at, and the length of the pauses between
            sentences relative to the usual one.
        loudness_lufs: of a recording that is long enough to measure.
        recogniser: what recognised the words of a recording that came without its text.
        words_kept: True where the words of the recording were known from the job's base, or from an earlier attempt.
    """

    engine: str
    why: str
    audio_s: float
    words: int
    sentences: int
    method: str
    spoken: NotRequired[str]
    speed: NotRequired[float]
    pauses: NotRequired[float]
    voice: NotRequired[str]
    licence: NotRequired[str]
    loudness_lufs: NotRequired[float]
    recogniser: NotRequired[str]
    words_kept: NotRequired[bool]


class ProfileFacts(TypedDict):
    """The voice profile that the tts stage made: its id, its name, and `RecordingQuality.record()`."""

    profile: str
    voice: str
    quality: Mapping[str, float]


class MotionFacts(TypedDict):
    """The motion track of the lipsync stage, which adds `engine`, `why`, and what the engine itself reports.

    Attributes:
        method: "phones" or "energy": what moves the mouth.
        frames: number of frames.
        seed: of the idle motion.
        taken_over: True where the motion of the job's base was taken over: nothing that it follows from had changed.
    """

    method: str
    frames: int
    seed: int
    taken_over: NotRequired[bool]


class VideoFacts(TypedDict):
    """The video of the encode stage.

    Attributes:
        encoder: ffmpeg's name of the video encoder.
        why: the reason for its options, as a phrase.
        width, height: of the video, px.
        fps: frames per second, as in the manifest.
        frames: number of frames.
        duration_s: length, s.
        bytes: size of the file, bytes.
        captions: name of the caption file, "burned in", or "none" with the reason.
        sampled: where the frames were drawn, and why; only with `stages.encode.sampler: cuda`.
        taken_over: True where the video of the job's base was taken over: nothing that it follows from had changed.
    """

    encoder: str
    why: str
    width: int
    height: int
    fps: str
    frames: int
    duration_s: float
    bytes: int
    captions: str
    sampled: NotRequired[str]
    taken_over: NotRequired[bool]


class ConversionFacts(VideoFacts):
    """The video of the transcode stage. `encoder` is "copy" where the picture is the source's.

    Attributes:
        sound: where the sound comes from and how it is encoded, such as "copied", "aac" or "none".
    """

    sound: str


class MediaFacts(TypedDict):
    """What the info stage found; `info.json` has the whole.

    Attributes:
        container: ffmpeg's names of the file's format, such as "mov,mp4,m4a,3gp,3g2,mj2".
        duration_s: length of the longest track, s; 0 for a picture.
        tracks: numbers of `video`, `audio` and `captions` tracks; those that are missing are left out.
        damaged: whether damage was found.
    """

    container: str
    duration_s: float
    tracks: Mapping[str, int]
    damaged: bool


class DeliveryFacts(TypedDict):
    """The results of the deliver stage, the main one last."""

    outputs: list[Output]
