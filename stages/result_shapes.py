"""The shapes of the JSON files that jobs deliver, for everybody who reads them: keys are added, never changed or removed.

docs/kinds.md is made from these records.
"""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class Verdict(TypedDict):
    """Whether a face can be animated.

    Attributes:
        accepted: whether it can.
        code, message, hint: if not: why, as in the error of a video's job.
        cautions: if so: codes of what may spoil the video.
    """

    accepted: bool
    code: NotRequired[str]
    message: NotRequired[str]
    hint: NotRequired[str]
    cautions: NotRequired[list[str]]


class ReportedFace(TypedDict):
    """One face, in px of the upright picture file.

    Attributes:
        chosen: whether `face` of the manifest means this one.
        verdict: on this face.
        box: left, top, width, height.
        confidence: of the detection, 0 to 1.
        pose: `yaw`, `pitch` and `roll`, degrees.
        face_px: the longer side of `box`.
        landmarks: 478 points of the mesh, x, y and depth.
    """

    chosen: bool
    verdict: Verdict
    box: list[float]
    confidence: float
    pose: dict[str, float]
    face_px: float
    landmarks: list[list[float]]


class PictureSize(TypedDict):
    """Width and height in px of a picture as it is shown, upright."""

    width: int
    height: int


class PictureInfo(PictureSize):
    """A picture file.

    Attributes:
        frames: 1, or more of a picture that moves (GIF, PNG, WebP).
    """

    frames: int


class FaceReport(TypedDict):
    """The content of `NAME.face.json`. Where the chosen face is accepted, further keys describe the picture as a video shows it.

    Attributes:
        version: 1.
        faces_found: number of faces.
        verdict: on the chosen face, or on a picture without one.
        picture: size of the file.
        faces: all of them, from left to right.
    """

    version: int
    faces_found: int
    verdict: Verdict
    picture: PictureSize
    faces: list[ReportedFace]


class TrackInfo(TypedDict):
    """A track; those with picture and sound have further keys.

    Attributes:
        index: in the file, from 0.
        codec: ffmpeg's name, such as "h264".
        language: as the file says, such as "deu"; may be empty.
        title: as the file says; may be empty.
        default: whether players choose it.
    """

    index: int
    codec: str
    language: str
    title: str
    default: bool


class VideoInfo(TrackInfo):
    """A picture track.

    Attributes:
        profile: of the codec, such as "High"; may be empty.
        width, height: as it is shown, upright and with square pixels, px.
        mirrored: whether players mirror the stored frames, left to right, before they turn them.
        rotation: degrees clockwise by which players turn the stored frames: 0, 90, 180 or 270.
        fps: frames per second, as a fraction such as "30000/1001"; the mean where they are not constant.
        constant_fps: whether the frame rate is constant.
        frames: their number.
        duration_s: its length, s.
        pixel_format: ffmpeg's name, such as "yuv420p".
        bits: of a colour value: 8, 10, 12.
        hdr: whether it has a high dynamic range (PQ or HLG).
        interlaced: whether its frames are two fields.
    """

    profile: str
    width: int
    height: int
    mirrored: bool
    rotation: int
    fps: str
    constant_fps: bool
    frames: int
    duration_s: float
    pixel_format: str
    bits: int
    hdr: bool
    interlaced: bool


class AudioInfo(TrackInfo):
    """A sound track.

    Attributes:
        sample_rate: Hz.
        channels: their number; 0 if it is not known.
        layout: of the channels, such as "stereo".
        duration_s: its length, s.
        loudness_lufs: integrated loudness (ITU-R BS.1770); null for silence, and for too little sound.
    """

    sample_rate: int
    channels: int
    layout: str
    duration_s: float
    loudness_lufs: float | None


class CoverInfo(TypedDict):
    """A picture that players show beside a sound.

    Attributes:
        index: in the file, from 0.
        codec: ffmpeg's name, such as "mjpeg".
        width, height: px.
    """

    index: int
    codec: str
    width: int
    height: int


class ChapterInfo(TypedDict):
    """A chapter.

    Attributes:
        start, end: s.
        title: may be empty.
    """

    start: float
    end: float
    title: str


class MediaInfo(TypedDict):
    """The content of `NAME.info.json`.

    Attributes:
        version: 1.
        file: the name that the manifest gives.
        bytes: size of the file.
        container: ffmpeg's names of the file's format, such as "mov,mp4,m4a,3gp,3g2,mj2"; of a picture Pillow's, such as "png".
        duration_s: length of the longest picture or sound track, s; 0 for a picture that does not move.
        video, audio: its tracks, those first that players choose.
        captions: its caption tracks.
        covers: cover pictures, which are no video.
        chapters, metadata: as the file says.
        picture: of a picture file.
        encrypted: whether tracks are encrypted, so that nothing can play them without a key.
        checked: what was decoded to look for damage: "all", "key frames" of a long video and all of its sound, or "nothing".
        damage: sentences about what is damaged or missing; empty if nothing was found.
    """

    version: int
    file: str
    bytes: int
    container: str
    duration_s: float
    video: list[VideoInfo]
    audio: list[AudioInfo]
    captions: list[TrackInfo]
    covers: list[CoverInfo]
    chapters: list[ChapterInfo]
    metadata: dict[str, str]
    picture: NotRequired[PictureInfo]
    encrypted: bool
    checked: Literal["all", "key frames", "nothing"]
    damage: list[str]


class TimedSentenceShape(TypedDict):
    """A sentence.

    Attributes:
        text: as it is written.
        start, end: s.
    """

    text: str
    start: float
    end: float


class TimedWordShape(TypedDict):
    """A word.

    Attributes:
        text: as it is written, with its punctuation.
        start, end: s.
        sentence: index of its sentence.
        glued: true where no space stands before it, as in Chinese; else the key is missing.
    """

    text: str
    start: float
    end: float
    sentence: int
    glued: NotRequired[bool]


class TimedPhoneShape(TypedDict):
    """A speech sound.

    Attributes:
        phone: its sign, in the alphabet of misaki, which is near the IPA.
        start, end: s.
        word: index of its word.
        stress: of its syllable: 0 none, 1 primary, 2 secondary.
    """

    phone: str
    start: float
    end: float
    word: int
    stress: int


class SpeechTiming(TypedDict):
    """The content of `NAME.timing.json`. Times are in s from the start of the sound.

    Attributes:
        version: 1.
        engine: the voice engine; "brought" for a recording.
        method: where the times come from: "exact" (the engine), "aligned" (found in the sound), or "energy": the phones are not
            known.
        sample_rate: of the speech as it was made, Hz.
        duration: s.
        language: tag of the text's language.
        sentences, words, phones: in the order of time; empty where they are not known.
    """

    version: int
    engine: str
    method: Literal["exact", "aligned", "energy"]
    sample_rate: int
    duration: float
    language: str
    sentences: list[TimedSentenceShape]
    words: list[TimedWordShape]
    phones: list[TimedPhoneShape]
