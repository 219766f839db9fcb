"""Nothing dropped in the inbox can make us read anything else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from daemon.errors import JobError
from daemon.system.safe_open import open_inside


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("secret")
    inbox = tmp_path / "inbox"
    (inbox / "sub").mkdir(parents=True)
    (inbox / "sub" / "p.png").write_text("picture")
    (inbox / "link.png").symlink_to(tmp_path / "secret")
    (inbox / "up").symlink_to(tmp_path)
    os.link(tmp_path / "secret", inbox / "hard.png")
    os.mkfifo(inbox / "pipe.png")
    return inbox


def test_a_file_inside_is_opened(inbox: Path) -> None:
    with open_inside(inbox, "sub/p.png") as fd:
        assert os.read(fd, 100) == b"picture"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("link.png", "file-is-link"),
        ("up/secret", "file-is-link"),
        ("hard.png", "file-is-link"),
        ("pipe.png", "file-not-regular"),
        ("sub", "file-not-regular"),
        ("../secret", "file-outside"),
        ("sub/../../secret", "file-outside"),
        ("nothing.png", "file-missing"),
        ("sub/p.png/x", "file-is-link"),
        ("x" * 300, "file-missing"),
    ],
)
def test_links_devices_and_ways_out_are_refused(inbox: Path, name: str, code: str) -> None:
    with pytest.raises(JobError) as caught, open_inside(inbox, name):
        pass
    assert caught.value.code == code


def test_without_openat2_the_same_is_opened_and_refused(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a kernel, or a seccomp filter, without it
    monkeypatch.setattr("daemon.system.safe_open._has_openat2", lambda: False)
    with open_inside(inbox, "sub/p.png") as fd:
        assert os.read(fd, 100) == b"picture"
    for name, code in (("link.png", "file-is-link"), ("up/secret", "file-is-link"), ("nothing.png", "file-missing")):
        with pytest.raises(JobError) as caught, open_inside(inbox, name):
            pass
        assert caught.value.code == code
