"""The tree stays one in which a stranger finds things: folders are split by idea before they are long lists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOPS = [ROOT / name for name in ("benchmarks", "daemon", "stages", "tests", "tools")]
#: Modules of a folder beside its `__init__.py`, and lines of a module.
MOST_MODULES, MOST_LINES = 20, 400


def test_no_folder_has_more_modules_than_a_reader_takes_in_at_once() -> None:
    folders = [folder for top in TOPS for folder in (top, *(path for path in top.rglob("*") if path.is_dir()))]
    sizes = {
        str(folder.relative_to(ROOT)): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
    }
    assert max(sizes.values()) > 10  # the tree was found
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}


def test_no_module_has_more_lines_than_a_reader_takes_in_at_once() -> None:
    modules = [path for top in TOPS for path in top.rglob("*.py")]
    lines = {str(path.relative_to(ROOT)): path.read_bytes().count(b"\n") for path in modules}
    assert max(lines.values()) > 300  # the modules were found
    assert {path: count for path, count in lines.items() if count > MOST_LINES} == {}


def test_every_error_says_whose_fault_it_is() -> None:
    modules = [path for top in (ROOT / "daemon", ROOT / "stages") for path in top.rglob("*.py")]
    sources = {str(path.relative_to(ROOT)): path.read_text() for path in modules}
    assert any("RefusedError(" in source for source in sources.values())  # the modules were found
    bare = re.compile(r"(?<!class )\bAvatarError\(")  # the base class, which leaves that open
    assert [path for path, source in sources.items() if bare.search(source)] == []


#: Packages whose use is one module's matter: all others call that one.
ONE_USER = {
    "wave": "stages/media/wav.py",
    "soxr": "stages/media/resample.py",
    "ffmpeg": "stages/encode/ffmpeg_command.py",
}


def imported(path: Path) -> Iterator[str]:
    """Yield the packages of `ONE_USER` that a module imports, also within functions."""
    source = path.read_bytes()
    if not any(name.encode() in source for name in ONE_USER):  # to parse all modules takes seconds
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def test_what_has_one_place_is_used_from_there_alone() -> None:
    modules = [path for top in (ROOT / "daemon", ROOT / "stages") for path in top.rglob("*.py")]
    users = {(name, str(path.relative_to(ROOT))) for path in modules for name in imported(path) if name in ONE_USER}
    assert users == set(ONE_USER.items())
