"""Checks that the files of a conversion are what the manifest says, before anything is encoded."""

from __future__ import annotations

from daemon.errors import JobError
from daemon.jobs.companions import copy_name
from stages.context import Context
from stages.info.read_media import read_media
from stages.info.tracks import AudioTrack, MediaFile, VideoTrack


def check_video(ctx: Context) -> tuple[MediaFile, VideoTrack, AudioTrack | None]:
    """Read the source. Returns it with the picture track and the sound track that are converted; None: it has no sound.

    Raises:
        JobError: `video-empty`, `video-unreadable`, `video-truncated`, `video-encrypted`, `video-no-picture`, `video-too-long`,
            `video-too-large`.
    """
    media = read_media(ctx, "video")
    _check_encrypted(media, "video")
    if not media.videos:
        cover = ", with a picture on its cover" if any(isinstance(one, VideoTrack) for one in media.tracks) else ""
        raise JobError(
            "video-no-picture",
            f"The file named in `video` is a sound{cover}: it has no moving picture.",
            "Name a video; to move a portrait by a sound, write `kind: lipsync` with `image` and `audio`.",
        )
    _check_complete(ctx, media, "video")
    settings, track = ctx.settings.stages.transcode, media.videos[0]
    seconds, pixels = float(track.times.end), track.width * track.height
    if not track.times.count or not pixels:
        raise JobError(
            "video-unreadable", "The file named in `video` has no frame that can be read.", "Export the video again."
        )
    if seconds > settings.max_video_s:
        raise JobError(
            "video-too-long",
            f"The video is {seconds:.0f} s long; {settings.max_video_s:.0f} s are allowed.",
            "Cut it into parts. Whoever runs avatard can raise `stages.transcode.max_video_s` in config.yaml.",
        )
    if pixels > settings.max_pixels:
        raise JobError(
            "video-too-large",
            f"The video has {track.width} × {track.height} px; {settings.max_pixels:,} pixels are allowed.",
            "Use a smaller version. Whoever runs avatard can raise `stages.transcode.max_pixels` in config.yaml.",
        )
    for number, what in ((len(media.videos), "picture"), (len(media.audios), "sound")):
        if number > 1 and not (what == "sound" and ctx.manifest.audio):
            ctx.warnings.append(f"The video has {number} {what} tracks; the one that players choose is kept.")
    if any(one.kind == "subtitle" for one in media.tracks):
        ctx.warnings.append("The captions inside the video file are not kept; give them as a file with `subtitles`.")
    return media, track, media.audios[0] if media.audios else None


def check_sound(ctx: Context) -> tuple[MediaFile, AudioTrack]:
    """Read the file of the new sound. Returns it with its sound track.

    Raises:
        JobError: `audio-empty`, `audio-unreadable`, `audio-truncated`, `audio-encrypted`.
    """
    media = read_media(ctx, "audio")
    _check_encrypted(media, "audio")
    if not media.audios or not media.audios[0].times.count:
        raise JobError("audio-unreadable", "The file named in `audio` has no sound.", "Name a sound file.")
    _check_complete(ctx, media, "audio")
    return media, media.audios[0]


def _check_encrypted(media: MediaFile, key: str) -> None:
    if media.encrypted:
        raise JobError(
            f"{key}-encrypted",
            f"The file named in `{key}` is encrypted (bought or rented media are): it can be played only with its key.",
            "Use a file without copy protection.",
        )


def _check_complete(ctx: Context, media: MediaFile, key: str) -> None:
    """Refuse a file that ends early, because it may still be being copied, unless it has not changed for long."""
    if not media.faults:
        return
    wait_s = ctx.settings.intake.companion_wait_s
    if ctx.still_s.get(copy_name(key), 0.0) < wait_s:
        raise JobError(
            f"{key}-truncated",
            f"The file named in `{key}` is incomplete. {media.faults[0]}",
            f"Copy it again, then put the manifest into the inbox again. A file that stays unchanged in the inbox for "
            f"{wait_s:.0f} s before its manifest arrives is used as it is.",
        )
    ctx.warnings.extend(media.faults)
