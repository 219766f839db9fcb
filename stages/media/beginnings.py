"""Tells by the first bytes of a file what it was to be, where no decoder can read it: most often it was not copied completely."""

from __future__ import annotations

from pathlib import Path

_HEAD_BYTES = 64
#: So many bytes tell whether a file is a text.
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
#: First bytes of files that are neither, after blanks, and what they are; capital letters do not matter.
_OTHERS = (
    (b"%PDF", "a PDF document"), (b"PK\x03\x04", "a ZIP archive or office document"), (b"\x1f\x8b", "a gzip archive"),
    (b"<svg", "an SVG drawing"), (b"<!DOCTYPE html", "a web page"), (b"<html", "a web page"), (b"ID3", "an MP3 sound"),
    (b"OggS", "an Ogg sound"), (b"fLaC", "a FLAC sound"), (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"8BPS", "a Photoshop document"), (b"%!PS", "a PostScript document"), (b"\x7fELF", "a program"),
    (b"MThd", "a MIDI file, which has notes and no sound"), (b"L\0\0\0\x01\x14\x02\0", "a Windows shortcut"),
    (b"[InternetShortcut]", "a Windows shortcut"), (b"\xd0\xcf\x11\xe0", "an old office document"),
    *((mark, f"{name} picture") for mark, name in PICTURES),
)  # fmt: skip
#: What phones write; no decoder here reads it.
PHONE_PICTURE = "an HEIC or AVIF picture"
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


def is_mp4(path: Path) -> bool:
    """Return whether a file begins as an MP4, M4A or MOV. One that cannot be read then lacks its index, which is written last."""
    with path.open("rb") as file:
        head = file.read(_TEXT_BYTES)
    return head[4:8] in _MP4_PARTS and not is_text(head)


def what_begins_so(path: Path) -> str | None:
    """Return what a file is by its first bytes, as a noun phrase such as "a web page"; None where that is not known."""
    with path.open("rb") as file:
        head = file.read(_TEXT_BYTES)
    start = head.lstrip()
    for mark, name in _OTHERS:
        if start[: len(mark)].lower() == mark.lower():
            return name
    if head[4:8] == b"ftyp":
        return PHONE_PICTURE if head[8:11] in (b"hei", b"mif", b"avi") else "an MP4 video or sound"
    if head[:4] == b"RIFF":
        return "a WebP picture" if head[8:12] == b"WEBP" else "a WAV or AVI file"
    return "a text file" if head and is_text(head) else None


def what_else(path: Path) -> str | None:
    """Return what a file is by its first bytes where that is neither sound nor video; else None."""
    what = what_begins_so(path)
    return None if what is None or what.endswith(("sound", "video", "AVI file")) else what


def is_text(head: bytes) -> bool:
    """Return whether the first bytes of a file are readable text."""
    try:
        text = head.decode("utf-8", "strict" if len(head) < _TEXT_BYTES else "ignore")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char.isspace() for char in text)


def incomplete(path: Path, kind: str) -> str:
    """Return what is wrong with such a file, as the rest of a sentence about it."""
    return f"begins as {kind}, but ends in its header, or is damaged there ({path.stat().st_size:,} bytes)"
