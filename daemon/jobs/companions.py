"""Marks the keys of a manifest that name files next to it, and says what their copies are called."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

if TYPE_CHECKING:
    from daemon.jobs.manifest import Manifest


#: Endings of picture files, in small letters.
PICTURE_ENDINGS = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif",
)  # fmt: skip
#: Endings of videos, and of sound files; a video is taken for its sound, too.
VIDEO_ENDINGS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".mts", ".m2ts", ".3gp", ".wmv")
SOUND_ENDINGS = (".wav", ".mp3", ".m4a", ".flac", ".ogg", ".oga", ".opus", ".aac", ".aif", ".aiff", ".wma", ".mka")


class NamedFile(NamedTuple):
    """A file that a manifest names: its path below the inbox, and the key that names it."""

    path: str
    key: str


@dataclasses.dataclass(frozen=True)
class Companion:
    """Marks a key that names a file next to the manifest. The job waits for the file, copies it, and keeps it for a retry.

    Attributes:
        is_file: returns whether a value of the key, in a manifest, names a file.
        option: help of the option `--KEY FILE` of `avatar submit`, which brings the file into the inbox; None: the key's
            description. Empty: there is no option.
        letter: short form of that option.
        endings: what the names of such files end in, in small letters; of these one is looked for where a manifest has none.
    """

    is_file: Callable[[str, Manifest], bool] = lambda value, manifest: True
    option: str | None = None
    letter: str = ""
    endings: tuple[str, ...] = ()


def companion_marks(annotation: Any) -> Iterator[Companion]:
    """Yield the `Companion` marks in a type, such as those in `Annotated[FileName, Companion()] | None`."""
    for part in getattr(annotation, "__metadata__", ()):
        if isinstance(part, Companion):
            yield part
    for inner in get_args(annotation):
        yield from companion_marks(inner)


def copy_name(key: str) -> str:
    """Return the file name, in the job's folder, of the copy of the file that a key names."""
    return f"source.{key}"
