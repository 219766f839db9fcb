"""The documents say what the code does."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def codes() -> Iterator[str]:
    """Every code an error is made with anywhere in the source."""
    for path in [*(ROOT / "daemon").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id.endswith(("Error", "_end"))
                and node.args
            ):
                first = node.args[0]
                if isinstance(first, ast.Constant) and isinstance(first.value, str):
                    yield first.value


def test_every_code_is_explained() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    found = {code for code in codes() if code.replace("-", "").isalpha() and code == code.lower() and "-" in code}
    assert len(found) > 40
    assert {code for code in found if f"`{code}`" not in page} == set()


def test_generated_pages_are_what_the_models_say() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
