"""Which font shows the captions: the first of those that are here that has a shape for every letter of them.

DejaVu Sans is always here and has Latin, Greek, Cyrillic, Arabic, Hebrew and more. Chinese and Japanese have fonts in packages
(`avatard[fonts]`); for those and for other scripts the system's fonts are looked through.
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
#: Where packages have fonts.
_JAPANESE, _CHINESE = ("matplotlib_fontja", "fonts/ipaexg.ttf"), ("zhplot", "fonts/NotoSansSC-Regular.ttf")
_MOST_FILES = 500  # of the system's, that are looked into
_MOST_FACES = 12  # of a collection
_TOLD = 8  # letters that are named in a warning
#: Scripts whose fonts are in Debian's fonts-noto-cjk, and those of them that the extra `fonts` has as well.
_EAST_ASIAN, _IN_EXTRA = frozenset({"Korean", "Japanese", "Chinese"}), frozenset({"Japanese", "Chinese"})


@dataclass(frozen=True)
class Font:
    """A font that can be burned in with.

    Attributes:
        family: the name that a script asks for it by.
        files: with its bold face, where that is a file of its own.
    """

    family: str
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Face:
    font: Font
    letters: frozenset[int]


def font_for(text: str, language: str) -> tuple[Font, str]:
    """The font for a text, and a warning where it lacks letters; empty where it has all.

    Args:
        language: BCP 47 tag; says which shapes of Han characters come first.

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
        f"No font here has shapes for {what} {shown}: the captions show boxes. Try `apt install {package}`, or take "
        f"`captions: srt`.{extra}"
    )


def _faces(language: str) -> Iterator[_Face]:
    """Fonts in the order in which they are tried; those of the system are only opened when nothing before them did."""
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
    spec = importlib.util.find_spec(package)  # does not run the package
    return Path(spec.origin).parent / name if spec and spec.origin else None


def _system_files(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    found = [path for folder in folders for kind in ("ttc", "otf", "ttf") for path in sorted(folder.rglob(f"*.{kind}"))]
    # The plain face of a family first: it is made bold where it has to be.
    return tuple(sorted(found, key=lambda path: "Regular" not in path.stem))[:_MOST_FILES]


def _shapes(language: str) -> str:
    """How the name of a family ends that draws Han as readers of a language know it."""
    tag = language.casefold()
    primary = tag.partition("-")[0]
    return " TC" if tag.startswith(TRADITIONAL) else {"ja": " JP", "ko": " KR", "zh": " SC"}.get(primary, "")


def _read(path: Path, more: tuple[Path, ...] = (), shapes: str = "") -> Iterator[_Face]:
    """The faces in a file, one at a time, for a collection's are large; those of these shapes first.

    None where it cannot be read: fonts of the system are not ours to judge.
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
    except Exception:  # damaged tables raise whatever they trip over
        return
