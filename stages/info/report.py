"""Writes `info.json`: what is in a media file. Its shape is `stages.result_shapes.MediaInfo`."""

from __future__ import annotations

from typing import Literal

from daemon.errors import JobError
from daemon.system.fs import artifact
from daemon.system.json_files import dump_lines
from stages.context import Context
from stages.facts import MediaFacts
from stages.info.decode_check import decode_picture, decode_sound
from stages.info.moving_picture import read_frames
from stages.info.read_media import read_media
from stages.info.tracks import AudioTrack, MediaFile, Track, VideoTrack
from stages.result_shapes import AudioInfo, MediaInfo, TrackInfo, VideoInfo

VERSION = 1
#: A longer video is not decoded as a whole to look for damage, but its key frames only. s
_WHOLE_S = 60.0


def report_file(ctx: Context) -> MediaFacts:
    """Look into the job's file and write `info.json`; returns a summary for the status.

    Raises:
        JobError: it cannot be opened: the codes of `read_media`, or of `stages.face.decode.read_picture` for a picture.
    """
    if ctx.manifest.image is not None:
        info = _picture_info(ctx, ctx.manifest.image)
    else:
        key: Literal["video", "audio"] = "video" if ctx.manifest.video is not None else "audio"
        info = _media_info(ctx, key, read_media(ctx, key))
    ctx.warnings.extend(info["damage"])
    with artifact(ctx.path("info.json")) as path:
        path.write_bytes(dump_lines(dict(info)))
    ctx.progress(1.0)
    facts: MediaFacts = {
        "container": info["container"],
        "duration_s": info["duration_s"],
        "tracks": {kind: len(info[kind]) for kind in ("video", "audio", "captions") if info[kind]},
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
        "mirrored": track.mirrored,
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
    frames, seconds = read_frames(path, form, ctx.settings.stages.transcode.memory_mb)
    return {
        "version": VERSION,
        "file": name,
        "bytes": path.stat().st_size,
        "container": form,
        "duration_s": round(seconds, 3),
        "video": [],
        "audio": [],
        "captions": [],
        "covers": [],
        "chapters": [],
        "metadata": {},
        "picture": {"width": width, "height": height, "frames": frames},
        "encrypted": False,
        "checked": "all",
        "damage": damage,
    }
