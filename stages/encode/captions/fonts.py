"""Chooses the font for burned-in captions: the first available one that has a glyph for every letter.

DejaVu Sans is always installed and covers Latin, Greek, Cyrillic, Arabic, Hebrew and more. The extra `avatard[fonts]` has Chinese
and Japanese fonts; after them, the system's fonts are searched.
"""

from __future__ import annotations

import importlib.util
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import MachineError
from daemon.system.installation import how_to_install_extra
from stages.media.fullwidth import TRADITIONAL
from stages.tts.text.scripts import script_of

SYSTEM_FOLDERS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"))
#: Package and path of a font inside it.
_JAPANESE, _CHINESE = ("matplotlib_fontja", "fonts/ipaexg.ttf"), ("zhplot", "fonts/NotoSansSC-Regular.ttf")
_MOST_FILES = 500  # system fonts that are opened
_MOST_FACES = 12  # faces read from a collection
_TOLD = 8  # missing letters that a warning names
#: Scripts covered by Debian's fonts-noto-cjk, and those that the extra `fonts` covers, too.
_EAST_ASIAN, _IN_EXTRA = frozenset({"Korean", "Japanese", "Chinese"}), frozenset({"Japanese", "Chinese"})


@dataclass(frozen=True)
class Font:
    """A font for burned-in captions.

    Attributes:
        family: name of the family, which the ASS script refers to.
        files: its file, and its bold face if that is a separate file.
    """

    family: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Face:
    font: Font
    letters: frozenset[int]


def choose_font(text: str, language: str) -> tuple[Font, str]:
    """Choose the font for a text.

    Args:
        text: all text of the captions.
        language: BCP 47 tag; decides which forms of Han characters are preferred.

    Returns:
        The font, and a warning that names missing letters (empty if none are missing).

    Raises:
        MachineError: `font-missing`: the installation is damaged.
    """
    wanted = {ord(char) for char in text if unicodedata.category(char)[0] in "LNP"}
    best: _Face | None = None
    for face in _faces(language):
        if wanted <= face.letters:
            return face.font, ""
        if best is None or len(wanted & face.letters) > len(wanted & best.letters):
            best = face
    if best is None:
        raise _missing()
    return best.font, _warning([chr(code) for code in sorted(wanted - best.letters)])


def _warning(lacking: list[str]) -> str:
    found = {script for script in map(script_of, lacking) if script}
    scripts = " and ".join(sorted(found))
    shown = "".join(lacking[:_TOLD]) + ("…" if len(lacking) > _TOLD else "")
    what = f"the {scripts} letters" if scripts else "the signs"
    package = "fonts-noto-cjk" if found & _EAST_ASIAN else "fonts-noto-core"
    extra = f" Without apt: {how_to_install_extra('fonts')}" if found & _IN_EXTRA else ""
    return (
        f"No installed font has glyphs for {what} {shown}: the captions show boxes. Try `apt install {package}`, or use "
        f"`captions: srt`.{extra}"
    )


def _faces(language: str) -> Iterator[_Face]:
    """Yield fonts in the order in which they are tried; the system's fonts are opened only if the others do not suffice."""
    folder = _inside("matplotlib", "mpl-data/fonts/ttf")
    if folder is None or not (folder / "DejaVuSans.ttf").is_file():
        raise _missing()
    bold = folder / "DejaVuSans-Bold.ttf"
    yield from _read(folder / "DejaVuSans.ttf", (bold,) if bold.is_file() else ())
    japanese = language.casefold().partition("-")[0] == "ja"
    for package, name in (_JAPANESE, _CHINESE) if japanese else (_CHINESE, _JAPANESE):
        path = _inside(package, name)
        if path is not None and path.is_file():
            yield from _read(path)
    for path in _system_files(SYSTEM_FOLDERS):
        yield from _read(path, shapes=_shapes(language))


def _missing() -> MachineError:
    return MachineError("font-missing", "The caption font DejaVu Sans is missing.", "Install avatard again.")


def _inside(package: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(package)  # does not import the package
    return Path(spec.origin).parent / name if spec and spec.origin else None


def _system_files(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    found = [path for folder in folders for kind in ("ttc", "otf", "ttf") for path in sorted(folder.rglob(f"*.{kind}"))]
    # The regular face of a family comes first; libass makes it bold if there is no bold face.
    return tuple(sorted(found, key=lambda path: "Regular" not in path.stem))[:_MOST_FILES]


def _shapes(language: str) -> str:
    """The suffix of font family names with the Han forms of a language, such as " SC"; empty for other languages."""
    tag = language.casefold()
    primary = tag.partition("-")[0]
    return " TC" if tag.startswith(TRADITIONAL) else {"ja": " JP", "ko": " KR", "zh": " SC"}.get(primary, "")


def _read(path: Path, more: tuple[Path, ...] = (), shapes: str = "") -> Iterator[_Face]:
    """Yield the faces in a font file one at a time, those whose family ends with `shapes` first.

    Yields nothing if the file cannot be read: a damaged system font must not fail the job.
    """
    from fontTools.ttLib import TTCollection, TTFont

    try:
        if path.suffix == ".ttc":
            with TTCollection(str(path), lazy=True) as collection:
                count = min(len(collection.fonts), _MOST_FACES)
                names = [str(font["name"].getDebugName(1)) for font in collection.fonts[:count]]
            order = sorted(range(count), key=lambda number: not names[number].endswith(shapes))
        else:
            order = [-1]
        for number in order:
            with TTFont(str(path), fontNumber=number, lazy=True) as font:
                family, letters = str(font["name"].getDebugName(1)), frozenset(font.getBestCmap() or {})
            yield _Face(Font(family, (path, *more)), letters)
    except Exception:  # damaged tables raise many kinds of exceptions
        return
