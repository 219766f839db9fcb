"""Makes the folder from which ffmpeg burns captions in: the ASS script and its font, under plain names."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from daemon.errors import LackingError
from stages.encode.captions.ass_subtitles import ass_script, burned_block_height, without_pictographs
from stages.encode.captions.cues import Cue
from stages.encode.captions.fonts import choose_font
from stages.encode.captions.place import FaceHeights, choose_place
from stages.media.ffmpeg_encoders import listed_filters

#: ffmpeg's filter that draws the script; it needs libass, which some builds of ffmpeg lack.
FILTER = "ass"


@contextmanager
def burn_in_folder(
    folder: Path,
    cues: Sequence[Cue],
    size: tuple[int, int],
    language: str,
    face: FaceHeights | None,
    warn: Callable[[str], None],
    ffmpeg: str,
) -> Iterator[tuple[str, str] | None]:
    """Make the folder, and remove it at the end. Yields the names of the script and of the fonts in it; None without cues.

    Args:
        folder: ffmpeg's working folder: its filters then need no path, whose signs would have to be escaped.
        size: width and height of the video, px.
        language: of the captions; it decides between fonts.
        face: where the face is; None if that is not known.
        warn: receives a sentence if no font has all signs.
        ffmpeg: path of the program that burns them in.

    Raises:
        LackingError: `filter-missing`: that ffmpeg cannot draw them.
        MachineError: `font-missing`, `ffmpeg-missing`.
    """
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was killed
    if not cues:
        yield None
        return
    if FILTER not in listed_filters(ffmpeg):
        raise LackingError(
            "filter-missing",
            f"{ffmpeg} has no filter {FILTER}, which `captions: burn` needs.",
            "Name an ffmpeg that has it in stages.encode.ffmpeg; without that setting and AVATAR_FFMPEG, the one that was "
            "installed with avatard is used, which has it. `captions: srt` writes a file beside the video.",
        )
    font, warning = choose_font("".join(without_pictographs(line) for cue in cues for line in cue.lines), language)
    if warning:
        warn(warning)
    (folder / "fonts").mkdir(parents=True)
    try:
        place = choose_place(face, *size, burned_block_height(cues, *size))
        (folder / "captions.ass").write_text(ass_script(cues, *size, font, place), encoding="utf-8")
        for path in font.files:
            (folder / "fonts" / path.name).symlink_to(path.resolve())
        yield "captions.ass", "fonts"
    finally:
        shutil.rmtree(folder, ignore_errors=True)
