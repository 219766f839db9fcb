"""The tree stays one in which a stranger finds things: folders are split by idea before they are long lists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.usefixtures("models")  # not for its models: it takes as long as one
def test_make_quick_collects_no_file_that_imports_torch() -> None:
    code = (
        "import sys, pytest; code = pytest.main(['--collect-only', '-q', '-m', 'quick', '-p', 'no:cacheprovider']); "
        "sys.exit(f'pytest ended with {code}' if code else 'torch' in sys.modules and 'name the file in layers.TORCH')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
