"""Reads the listing of a media file that ffmpeg prints: `ffmpeg -i FILE`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction

from stages.info.tracks import AudioTrack, MediaFile, Track, VideoTrack

_INPUT = re.compile(r"Input #0, (\S+), from ")
_DURATION = re.compile(r"  Duration: (\d+):(\d\d):(\d\d\.\d+)")
# ffmpeg indents lines of tags further, and continues them further still, so that no tag can begin like a track.
_TRACK = re.compile(
    r"  Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\(([\w-]+)\))?: (Video|Audio|Subtitle|Data|Attachment): (.*)"
)
_ROTATION = re.compile(r" +displaymatrix: rotation of (-?[\d.]+|nan) degrees")
_TITLE = re.compile(r" {6,8}title +: (.*)")
_ALPHA_MODE = re.compile(r" {6,8}alpha_mode +: 1$", re.IGNORECASE)
_FLAGS = re.compile(r"(?: \([a-z ]+\))+$")
_COMMA = re.compile(r",(?![^(\[]*[)\]])\s*")
_SIZE = re.compile(r"(\d+)x(\d+)\b(?:.*?SAR (\d+):(\d+))?")
_RATE = re.compile(r"([\d.]+)(k?) (fps|tbr)$")
_CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "3.0": 3, "4.0": 4, "quad": 4, "5.0": 5, "5.1": 6, "6.1": 7, "7.1": 8}


def read_listing(log: str) -> MediaFile | None:
    """Read ffmpeg's listing of its first input; None if there is none, since the file could not be opened."""
    media: MediaFile | None = None
    for line in log.splitlines():
        if media is None:
            if found := _INPUT.match(line):
                media = MediaFile(found[1].rstrip(","))
        elif line.startswith(("Output #", "Stream mapping:")):
            break
        elif found := _DURATION.match(line):
            media.declared_s = int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3])
        elif found := _TRACK.match(line):
            media.tracks.append(_track(int(found[1]), found[2] or "", found[3].lower(), found[4]))
        elif media.tracks:
            _add_to(media.tracks[-1], line)
    if media:
        _set_default(media.videos)
        _set_default(media.audios)
    return media


def _set_default(tracks: Sequence[Track]) -> None:
    """Where a file marks no track of a kind, as an AVI or a WAV cannot, players choose the first."""
    if tracks and not any(track.default for track in tracks):
        tracks[0].default = True


def _track(index: int, language: str, kind: str, words: str) -> Track:
    flags = _FLAGS.search(words)
    marks = flags[0] if flags else ""
    fields = _COMMA.split(words[: flags.start()] if flags else words)
    codec, _, more = fields[0].partition(" ")
    profile = more[1:].partition(")")[0] if more.startswith("(") and "/" not in more.partition(")")[0] else ""
    language = "" if language == "und" else language
    about = (index, kind, codec, profile, language, "", "(default)" in marks, "(attached pic)" in marks)
    if kind == "video":
        return _with_picture(VideoTrack(*about), fields[1:])
    if kind == "audio":
        return _with_sound(AudioTrack(*about), fields[1:])
    return Track(*about)


def _with_picture(track: VideoTrack, fields: list[str]) -> VideoTrack:
    if fields and not _SIZE.match(fields[0]):
        track.pixel_format, _, colours = fields[0].partition("(")
        track.colours = colours.rstrip(")")
        track.interlaced = any(word in colours for word in ("top first", "bottom first", "top coded", "bottom coded"))
    for field in fields:
        if not track.width and (found := _SIZE.match(field)):
            track.width, track.height = int(found[1]), int(found[2])
            if found[3] and int(found[3]) and int(found[4]):
                track.sample_aspect = Fraction(int(found[3]), int(found[4]))
        elif (found := _RATE.match(field)) and (found[3] == "fps" or not track.rate):
            track.rate = Fraction(found[1]) * (1000 if found[2] else 1)
    return track


def _with_sound(track: AudioTrack, fields: list[str]) -> AudioTrack:
    rates = [field for field in fields if field.endswith(" Hz")]
    if rates and (at := fields.index(rates[0])) + 1 < len(fields):
        track.rate = int(rates[0].split()[0])
        track.layout = fields[at + 1]
        counted = re.match(r"(\d+) channels", track.layout)
        track.channels = int(counted[1]) if counted else _CHANNELS.get(track.layout.partition("(")[0], 0)
    return track


def _add_to(track: Track, line: str) -> None:
    """Add what a line below a track's own says of it."""
    if isinstance(track, VideoTrack) and (found := _ROTATION.match(line)) and found[1] != "nan":
        track.rotation = round(-float(found[1]) / 90) * 90 % 360
    elif isinstance(track, VideoTrack) and _ALPHA_MODE.match(line):
        track.alpha_mode = True
    elif found := _TITLE.match(line):
        track.title = found[1].strip()
