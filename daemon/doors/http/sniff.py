"""Tells from the first bytes of an upload what it cannot be, so that a wrong file is refused before all of it has come."""

from __future__ import annotations

from typing import Final

#: How many bytes are looked at.
SNIFF_BYTES: Final = 512
#: First bytes of pictures; HEIF, AVIF and WebP say what they are a little later.
_PICTURES: Final = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
)
#: First bytes of what is never a picture, a sound or a video, and its name.
_NEITHER: Final = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP file or an office document"),
    (b"Rar!", "a RAR file"),
    (b"7z\xbc\xaf", "a 7-Zip file"),
    (b"\x1f\x8b", "a gzip file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"#!", "a script"),
    (b"{\\rtf", "a text document"),
    (b"\xd0\xcf\x11\xe0", "an office document"),
)
_PAGES: Final = (b"<!doctype", b"<html", b"<?xml", b"<svg")


def what_it_is(head: bytes) -> str:
    """Return what a file is that can be neither picture, sound nor video; empty where it may be one.

    Args:
        head: its first bytes, `SNIFF_BYTES` or all.
    """
    for magic, name in _NEITHER:
        if head.startswith(magic):
            return name
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_PAGES):
        return "a page or a drawing in XML"
    return ""


def may_be_picture(head: bytes) -> bool:
    """Return whether a file can be a picture by its first bytes."""
    if head.startswith(_PICTURES):
        return True
    return (head.startswith(b"RIFF") and head[8:12] == b"WEBP") or head[4:8] == b"ftyp"
