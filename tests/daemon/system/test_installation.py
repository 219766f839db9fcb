"""What the program says of its own installation works as it is said."""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from daemon.system import installation

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("record", "prefix", "says"),
    [
        (
            {"url": ROOT.as_uri(), "dir_info": {"editable": True}},
            "/x/venv",
            f"cd {ROOT} && tools/extras.sh /x/venv/bin/pip ",
        ),
        (
            {"url": "file:///x/avatard-1-py3-none-any.whl"},
            "/x/venv",
            '"avatard[languages] @ file:///x/avatard-1-py3-none-any.whl"',
        ),
        ({"url": "file:///tmp/copy"}, "/opt/avatard/versions/1", "make install OPTIONS=--languages"),
    ],
    ids=["checkout", "wheel", "service"],
)
def test_an_extra_is_installed_from_where_the_program_came_from(
    record: dict[str, object], prefix: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pip looks for a bare name on an index, which has no avatard
    known = SimpleNamespace(read_text=lambda name: json.dumps(record))
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: known)
    monkeypatch.setattr(sys, "prefix", prefix)
    assert says in installation.how_to_install_extra("languages")


@pytest.mark.usefixtures("processes")
def test_the_help_of_the_backup_needs_neither_root_nor_rsync(tmp_path: Path) -> None:
    for program in ("sed", "sh"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    told = subprocess.run(
        ["sh", str(ROOT / "tools" / "backup.sh"), "--help"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "backup.sh save FOLDER" in told.stdout
    assert not told.stderr
