"""What is in a media file, as ffmpeg reads it: the container and its tracks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction


@dataclass
class PacketTimes:
    """When the packets of one track are shown, s.

    Attributes:
        count: number of packets.
        start, end: the first moment, and the end of the last packet.
        steps: the shortest and the longest time between two packets.
        tick: the container's unit of time.
    """

    count: int = 0
    start: Fraction = Fraction(0)
    end: Fraction = Fraction(0)
    steps: tuple[Fraction, Fraction] = (Fraction(0), Fraction(0))
    tick: Fraction = Fraction(1)

    @property
    def duration(self) -> Fraction:
        """Length of what is shown or heard, s. Sound may have packets before its start, which players skip."""
        return max(Fraction(0), self.end - max(Fraction(0), self.start))

    @property
    def steady(self) -> bool:
        """Whether the packets follow each other in equal steps, but for the container's rounding."""
        return self.count < 2 or self.steps[1] - self.steps[0] <= max(self.tick, Fraction(1, 1000))


@dataclass
class Track:
    """One track of a media file.

    Attributes:
        index: in the file, from 0.
        kind: "video", "audio", "subtitle", "data" or "attachment".
        codec, profile: ffmpeg's names; an empty profile is not known.
        language, title: as the file says; may be empty.
        default: whether players choose it.
        cover: whether it is a picture on the cover of a sound, and no video.
        times: of its packets.
    """

    index: int
    kind: str
    codec: str
    profile: str = ""
    language: str = ""
    title: str = ""
    default: bool = False
    cover: bool = False
    times: PacketTimes = field(default_factory=PacketTimes)


@dataclass
class VideoTrack(Track):
    """A picture track.

    Attributes:
        pixel_format: ffmpeg's name.
        width, height: of the stored frames, px.
        sample_aspect: width of a pixel over its height.
        mirrored: whether players mirror the frames, left to right, before they turn them.
        rotation: by how many degrees clockwise players turn the frames: 0, 90, 180 or 270.
        rate: frames per second: exact if they are constant, else the mean.
        constant: whether the frame rate is constant.
        colours: ffmpeg's names of range, matrix, primaries and transfer, as they stand in its listing.
        interlaced: whether a frame consists of two fields.
        alpha_mode: whether a WebM says that the codec's frames have an alpha channel beside them.
    """

    pixel_format: str = ""
    width: int = 0
    height: int = 0
    sample_aspect: Fraction = Fraction(1)
    mirrored: bool = False
    rotation: int = 0
    rate: Fraction = Fraction(0)
    constant: bool = True
    colours: str = ""
    interlaced: bool = False
    alpha_mode: bool = False

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in px as players show the frames: upright, with square pixels."""
        width, height = max(1, round(self.width * self.sample_aspect)), self.height
        return (height, width) if self.rotation in (90, 270) else (width, height)

    @property
    def high_dynamic_range(self) -> bool:
        """Whether its brightness is coded as PQ or HLG."""
        return "smpte2084" in self.colours or "arib-std-b67" in self.colours

    @property
    def matrix_and_primaries(self) -> tuple[str, str]:
        """ffmpeg's names of the two; "unknown" where the file does not say."""
        found = re.search(r"([\w-]+)/([\w-]+)/[\w-]+", self.colours)
        known = (found[1], found[2]) if found else ("unknown", "unknown")
        return known[0].replace("reserved", "unknown"), known[1].replace("reserved", "unknown")

    @property
    def transparent(self) -> bool:
        """Whether its frames have an alpha channel, as far as the pixel format or the container says so."""
        return self.alpha_mode or re.match(r"yuva|ya\d|gbrap|rgba|bgra|argb|abgr", self.pixel_format) is not None

    @property
    def bits(self) -> int:
        """Bits of a colour value."""
        return next((bits for bits in (16, 14, 12, 10, 9) if f"p{bits}" in self.pixel_format), 8)


@dataclass
class AudioTrack(Track):
    """A sound track.

    Attributes:
        rate: Hz.
        layout: ffmpeg's name of the channels, such as "stereo".
        channels: their number; 0 if it is not known.
    """

    rate: int = 0
    layout: str = ""
    channels: int = 0


@dataclass
class MediaFile:
    """A media file.

    Attributes:
        formats: ffmpeg's names of the container, such as "mov,mp4,m4a,3gp,3g2,mj2".
        declared_s: its length as its header says, s; None if it does not say.
        tracks: all of them, in the file's order.
        tags: metadata of the whole file.
        chapters: start and end, s, and title.
        encrypted: whether tracks are encrypted.
        faults: sentences about what is damaged or missing.
    """

    formats: str
    declared_s: float | None = None
    tracks: list[Track] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    chapters: list[tuple[float, float, str]] = field(default_factory=list)
    encrypted: bool = False
    faults: list[str] = field(default_factory=list)

    @property
    def videos(self) -> list[VideoTrack]:
        """The picture tracks that are no cover, those first that players choose."""
        found = [track for track in self.tracks if isinstance(track, VideoTrack) and not track.cover]
        return sorted(found, key=lambda track: not track.default)

    @property
    def audios(self) -> list[AudioTrack]:
        """The sound tracks, those first that players choose."""
        found = [track for track in self.tracks if isinstance(track, AudioTrack)]
        return sorted(found, key=lambda track: not track.default)

    @property
    def duration(self) -> Fraction:
        """The length of its longest picture or sound track, s."""
        return max((track.times.duration for track in (*self.videos, *self.audios)), default=Fraction(0))
