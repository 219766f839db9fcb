"""Tells by the first bytes of a file what it was to be, where no decoder can read it: most often it was not copied completely."""

from __future__ import annotations

from pathlib import Path

_HEAD_BYTES = 64
#: So many bytes tell a text.
_TEXT_BYTES = 4096
#: Types of the parts with which an MP4, M4A or MOV begins.
_MP4_PARTS = (b"ftyp", b"moov", b"mdat", b"wide", b"free")
#: First bytes and what they begin; pictures, and sound or videos with sound.
PICTURES = (
    (b"\xff\xd8\xff", "a JPEG"), (b"\x89PNG\r\n\x1a\n", "a PNG"), (b"GIF87a", "a GIF"), (b"GIF89a", "a GIF"),
    (b"II*\0", "a TIFF"), (b"MM\0*", "a TIFF"),
)  # fmt: skip
SOUNDS = (
    (b"OggS", "an Ogg or Opus file"), (b"fLaC", "a FLAC file"), (b"ID3", "an MP3"), (b"\x1aE\xdf\xa3", "a Matroska or WebM file"),
)  # fmt: skip
#: Form of a RIFF file, from its ninth byte → what it is.
_RIFFS = {b"WEBP": "a WebP", b"WAVE": "a WAV"}
#: So few bytes are compared at least.
_LEAST_BYTES = 3


def kind_by_beginning(path: Path, kinds: tuple[tuple[bytes, str], ...]) -> str | None:
    """Return what a file begins as, such as "a JPEG"; None where it is none of `kinds`. A file that ends in the mark of its
    format counts.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if head.startswith(b"RIFF"):
        riff = _RIFFS.get(head[8:12])
        return riff if riff and (riff == "a WebP") == (kinds is PICTURES) else None
    for mark, name in kinds:
        if head.startswith(mark) or (_LEAST_BYTES <= len(head) < len(mark) and mark.startswith(head)):
            return name
    return None


def incomplete(path: Path, kind: str) -> str:
    """Return what is wrong with such a file, as the rest of a sentence about it."""
    return f"begins as {kind}, but ends in its header, or is damaged there ({path.stat().st_size:,} bytes)"


def is_mp4(path: Path) -> bool:
    """Return whether a file begins as an MP4, M4A or MOV. One that cannot be read then lacks its index, which is written last."""
    with path.open("rb") as file:
        head = file.read(_TEXT_BYTES)
    return head[4:8] in _MP4_PARTS and not is_text(head)


def in_place_of_media(path: Path) -> str:
    """Return what a file is in place of a video or sound, as the rest of a sentence, such as ", but a text"; empty: not known."""
    with path.open("rb") as file:
        head = file.read(_TEXT_BYTES)
    kind = "a text" if head and is_text(head) else kind_by_beginning(path, PICTURES)
    return f", but {kind}" if kind else ""


def is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are readable text."""
    try:
        text = head[:4000].decode("utf-8", "strict") if len(head) < 4000 else head[:4000].decode("utf-8", "ignore")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)
