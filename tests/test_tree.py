"""The tree stays one in which a stranger finds things: folders are split by idea before they are long lists."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Modules of a folder beside its `__init__.py`.
MOST_MODULES = 20


def test_no_folder_has_more_modules_than_a_reader_takes_in_at_once() -> None:
    tops = [ROOT / name for name in ("benchmarks", "daemon", "stages", "tests", "tools")]
    folders = [folder for top in tops for folder in (top, *(path for path in top.rglob("*") if path.is_dir()))]
    sizes = {
        str(folder.relative_to(ROOT)): sum(path.name != "__init__.py" for path in folder.glob("*.py"))
        for folder in folders
    }
    assert max(sizes.values()) > 10  # the tree was found
    assert {folder: size for folder, size in sizes.items() if size > MOST_MODULES} == {}
