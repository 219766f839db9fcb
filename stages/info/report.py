"""Writes `info.json`: what is in a media file. The shape is published (docs/kinds.md): keys are added, never changed."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from daemon.errors import JobError
from daemon.system.fs import artifact
from daemon.system.json_files import dump_lines
from stages.context import Context
from stages.facts import MediaFacts
from stages.info.decode_check import decode_picture, decode_sound
from stages.info.read_media import read_media
from stages.info.tracks import AudioTrack, MediaFile, Track, VideoTrack

VERSION = 1
#: A longer video is not decoded as a whole to look for damage, but its key frames only. s
_WHOLE_S = 60.0


class TrackInfo(TypedDict):
    """What every track has.

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
    """A picture that players show beside a sound: `index` in the file, `codec`, `width` and `height` in px."""

    index: int
    codec: str
    width: int
    height: int


class ChapterInfo(TypedDict):
    """A chapter: `start` and `end`, s, and `title`, which may be empty."""

    start: float
    end: float
    title: str


class PictureInfo(TypedDict):
    """A picture file: size in px as it is shown, upright, and whether it is whole."""

    width: int
    height: int


class MediaInfo(TypedDict):
    """The content of `info.json`.

    Attributes:
        version: 1.
        file: the name that the manifest gives.
        bytes: size of the file.
        container: ffmpeg's names of the file's format, such as "mov,mp4,m4a,3gp,3g2,mj2"; of a picture Pillow's, such as "png".
        duration_s: length of the longest picture or sound track, s; 0 for a picture.
        video, audio, captions: its tracks, those first that players choose.
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


def report_file(ctx: Context) -> MediaFacts:
    """Look into the job's file and write `info.json`; returns a summary for the status.

    Raises:
        JobError: it cannot be opened: the codes of `read_media`, or of `stages.face.decode.read_picture` for a picture.
    """
    if ctx.manifest.image is not None:
        info = _picture_info(ctx, ctx.manifest.image)
    else:
        key = "video" if ctx.manifest.video is not None else "audio"
        info = _media_info(ctx, key, read_media(ctx, key))
    ctx.warnings.extend(info["damage"])
    with artifact(ctx.path("info.json")) as path:
        path.write_bytes(dump_lines(dict(info)))
    ctx.progress(1.0)
    facts: MediaFacts = {
        "container": info["container"],
        "duration_s": info["duration_s"],
        "tracks": {kind: len(info[kind]) for kind in ("video", "audio", "captions") if info[kind]},  # type: ignore[literal-required]
        "damaged": bool(info["damage"]),
    }
    return facts


def _media_info(ctx: Context, key: Literal["video", "audio"], media: MediaFile) -> MediaInfo:
    path = ctx.source(key)
    whole = media.duration <= _WHOLE_S
    complaints, loudness = ([], {}) if media.encrypted else _decoded(ctx, key, media, whole)
    if media.encrypted:
        ctx.warnings.append("The file is encrypted: nothing can play it without its key.")
    return {
        "version": VERSION,
        "file": str(getattr(ctx.manifest, key)),
        "bytes": path.stat().st_size,
        "container": media.formats,
        "duration_s": round(float(media.duration), 3),
        "video": [_video_info(track) for track in media.videos],
        "audio": [_audio_info(track, loudness.get(track.index)) for track in media.audios],
        "captions": [_track_info(track) for track in media.tracks if track.kind == "subtitle"],
        "covers": [
            {"index": track.index, "codec": track.codec, "width": track.width, "height": track.height}
            for track in media.tracks
            if isinstance(track, VideoTrack) and track.cover
        ],
        "chapters": [{"start": start, "end": end, "title": title} for start, end, title in media.chapters],
        "metadata": media.tags,
        "encrypted": media.encrypted,
        "checked": "nothing" if media.encrypted else "all" if whole else "key frames",
        "damage": [*media.faults, *complaints],
    }


def _decoded(ctx: Context, key: str, media: MediaFile, whole: bool) -> tuple[list[str], dict[int, float | None]]:
    """Decode every track. Returns sentences about damage, and the loudness of each sound track by its index."""
    settings, path, timeout = ctx.settings.stages.transcode, ctx.source(key), ctx.settings.lanes.timeout
    tracks = [*media.videos, *media.audios]
    damage: list[str] = []
    loudness: dict[int, float | None] = {}
    for number, track in enumerate(tracks):

        def progress(seconds: float, number: int = number) -> None:
            done = min(1.0, seconds / max(0.1, float(media.duration)))
            ctx.progress((number + done) / len(tracks))

        ctx.allow_seconds(timeout.base_s + timeout.per_audio_s * float(track.times.duration))
        if isinstance(track, VideoTrack):
            complaint = decode_picture(
                path, track.index, only_key_frames=not whole, max_pixels=settings.max_pixels,
                memory_mb=settings.memory_mb, progress=progress,
            )  # fmt: skip
        else:
            complaint, loudness[track.index] = decode_sound(
                path, track.index, memory_mb=settings.memory_mb, progress=progress
            )
        if complaint:
            what = "picture" if isinstance(track, VideoTrack) else "sound"
            damage.append(f"The {what} (track {track.index}) cannot be decoded everywhere: {complaint}.")
    return damage, loudness


def _track_info(track: Track) -> TrackInfo:
    return {
        "index": track.index,
        "codec": track.codec,
        "language": track.language,
        "title": track.title,
        "default": track.default,
    }


def _video_info(track: VideoTrack) -> VideoInfo:
    width, height = track.shown_size
    return {
        **_track_info(track),
        "profile": track.profile,
        "width": width,
        "height": height,
        "rotation": track.rotation,
        "fps": str(track.rate),
        "constant_fps": track.constant,
        "frames": track.times.count,
        "duration_s": round(float(track.times.duration), 3),
        "pixel_format": track.pixel_format,
        "bits": track.bits,
        "hdr": track.high_dynamic_range,
        "interlaced": track.interlaced,
    }


def _audio_info(track: AudioTrack, loudness: float | None) -> AudioInfo:
    return {
        **_track_info(track),
        "sample_rate": track.rate,
        "channels": track.channels,
        "layout": track.layout,
        "duration_s": round(float(track.times.duration), 3),
        "loudness_lufs": None if loudness is None else round(loudness, 1),
    }


def _picture_info(ctx: Context, name: str) -> MediaInfo:
    from stages.face.decode import read_header, read_picture

    path = ctx.source("image")
    damage: list[str] = []
    try:
        read_picture(
            path, ctx.settings.stages.face.max_pixels, ctx.allow_pixels,
            lambda: damage.append("The picture's file lacks its end mark, but nothing of the picture is missing."),
        )  # fmt: skip
    except JobError as exc:
        if exc.code != "image-truncated":
            raise
        damage.append(exc.message)
    form, width, height = read_header(path)
    return {
        "version": VERSION,
        "file": name,
        "bytes": path.stat().st_size,
        "container": form,
        "duration_s": 0.0,
        "video": [],
        "audio": [],
        "captions": [],
        "covers": [],
        "chapters": [],
        "metadata": {},
        "picture": {"width": width, "height": height},
        "encrypted": False,
        "checked": "all",
        "damage": damage,
    }
