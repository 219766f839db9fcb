"""Decides how a video is converted: what is copied, what is encoded anew, and why."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from daemon.jobs.manifest import Manifest
from daemon.jobs.manifest_values import FRAME_RATES
from daemon.jobs.video_files import VideoFormat
from stages.encode.formats import OutputFormat, format_for
from stages.info.tracks import AudioTrack, MediaFile, VideoTrack
from stages.transcode.shape import Shape, shape_of

#: Codecs of picture and sound that a format takes as they are.
_PICTURES: dict[VideoFormat, frozenset[str]] = {
    "mp4": frozenset({"h264", "hevc", "av1"}),
    "webm": frozenset({"vp8", "vp9", "av1"}),
    "mov": frozenset({"prores"}),
}
_SOUNDS: dict[VideoFormat, frozenset[str]] = {
    "mp4": frozenset({"aac", "mp3", "ac3", "eac3"}),
    "webm": frozenset({"opus", "vorbis"}),
    "mov": frozenset({"aac", "pcm_s16le", "pcm_s24le", "pcm_s16be"}),
}
#: Sound that goes on for less than this behind the picture is only the filling of its last packet. s
_LEAST_TAIL_S = Fraction(1, 10)
#: A frame rate above this is no longer that of a video for people; it is reduced to the highest usual one.
_HIGHEST_RATE = 120


@dataclass(frozen=True)
class Plan:
    """How a video is converted.

    Attributes:
        form: the output format.
        shape: size and filters of the picture; ignored where it is copied.
        rate: frames per second of the result.
        changes: why the picture is encoded anew; empty: it is copied.
        copy_sound: whether the sound is the source's packets.
        sound: the sound track; None: the video has none.
        new_sound: whether the sound is that of `audio`.
        picture_s, sound_s: lengths of the sources, s.
        length_s: of the result, s.
        loops: whether the picture begins again until the sound ends; such a picture is encoded anew, since only its number of
            frames ends it.
    """

    form: OutputFormat
    shape: Shape
    rate: Fraction
    changes: tuple[str, ...]
    copy_sound: bool
    sound: AudioTrack | None
    new_sound: bool
    picture_s: Fraction
    sound_s: Fraction
    length_s: Fraction
    loops: bool

    @property
    def copy_picture(self) -> bool:
        """Whether the picture is the source's packets."""
        return not self.changes

    @property
    def frames(self) -> int:
        """Number of frames of a picture that is encoded anew."""
        return max(1, round(self.length_s * self.rate))


def plan_conversion(
    manifest: Manifest, media: MediaFile, track: VideoTrack, own: AudioTrack | None, new: AudioTrack | None
) -> Plan:
    """Decide how the job's video is converted.

    Args:
        media: the source, with the picture `track` and its sound `own`.
        new: the sound that replaces it; None: it stays.

    Raises:
        JobError: `crop-outside`.
    """
    name = _format_name(manifest, media)
    shape = shape_of(manifest, track)
    rate = FRAME_RATES[manifest.fps] if manifest.fps else source_rate(track)
    sound = new or own
    picture_s, sound_s = track.times.end, sound.times.duration if sound else Fraction(0)
    length_s = _length(manifest, picture_s, sound_s) if new else picture_s
    changes = [f"`{key}`" for key in shape.keys]
    if manifest.quality and "`quality`" not in changes:
        changes.append("`quality`")
    if manifest.fps and (not track.constant or rate != track.rate):
        changes.append("`fps`")
    if manifest.captions == "burn":
        changes.append("`captions`")
    other_length = abs(length_s - picture_s) >= 1 / rate
    if other_length:
        changes.append("the length of `audio`")
    if track.codec not in _PICTURES[name] or (manifest.codec and manifest.codec != track.codec):
        changes.append(f"{name} from {track.codec}")
    elif name == "webm" and (track.rotation or track.mirrored):
        changes.append("a WebM cannot say how it is turned or mirrored")
    if changes and own and not new and own.times.end - picture_s >= _LEAST_TAIL_S:
        length_s = own.times.end  # the last frame stays until the sound ends, which is not cut
    form = format_for(name, manifest.codec, transparent=False)
    fits = sound is not None and sound.codec in _SOUNDS[name]
    same_length = not new or abs(sound_s - length_s) < 1 / rate
    return Plan(
        form, shape, rate, tuple(changes), fits and same_length, sound, new is not None, picture_s, sound_s, length_s,
        other_length and manifest.sync_mode == "loop" and sound_s > picture_s,
    )  # fmt: skip


def source_rate(track: VideoTrack) -> Fraction:
    """Return the frame rate of a video that is made from `track`: its own, or the nearest usual one if it is not constant."""
    if track.constant and 1 <= track.rate <= _HIGHEST_RATE:
        return track.rate
    usual = sorted(FRAME_RATES.values())
    return min(usual, key=lambda rate: abs(rate - track.rate))


def _format_name(manifest: Manifest, media: MediaFile) -> VideoFormat:
    if manifest.format or manifest.codec:
        return manifest.video_format
    codecs = {track.codec for track in (*media.videos[:1], *media.audios[:1])}
    is_webm = "webm" in media.formats and codecs <= _PICTURES["webm"] | _SOUNDS["webm"]
    return "webm" if is_webm else "mp4"


def _length(manifest: Manifest, picture_s: Fraction, sound_s: Fraction) -> Fraction:
    if manifest.sync_mode == "loop":
        return sound_s
    return min(picture_s, sound_s) if manifest.sync_mode == "cut" else max(picture_s, sound_s)
