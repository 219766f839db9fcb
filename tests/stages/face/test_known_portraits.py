"""Portraits that come again: what was measured is kept, and never taken for another picture, option or version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stages.face
from daemon.errors import JobError
from stages.context import Context
from stages.face import decode, known
from stages.face.decode import read_picture
from tests.support.stages.picture_jobs import drawn, encoded, face_of, job, noise, two_faces

pytestmark = pytest.mark.usefixtures("models")


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pictures that were decoded, one entry for each time."""
    read: list[Path] = []

    def reading(path: Path, *rest: Any) -> Any:
        read.append(path)
        return read_picture(path, *rest)

    monkeypatch.setattr(decode, "read_picture", reading)
    return read


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two pictures were measured, as jobs `first` and `second`, and the `name` of what is kept of the first."""
    folder = tmp_path_factory.mktemp("measured")
    stages.face.run(first := job(folder / "first", encoded(drawn(400))))
    (path,) = kept(first)
    (folder / "name").write_text(path.name)
    stages.face.run(job(folder / "second", encoded(drawn(420))))
    return folder


def kept(ctx: Context) -> list[Path]:
    return sorted((ctx.settings.paths.cache / "portraits").glob("*"))


def test_a_picture_that_comes_again_gives_the_same_result_without_being_measured(
    tmp_path: Path, readings: list[Path]
) -> None:
    # Given a picture of two people that was measured, and a cache folder that an earlier version left open
    picture = encoded(two_faces())
    first = job(tmp_path / "first", picture)
    (folder := first.settings.paths.cache / "portraits").mkdir(parents=True)
    folder.chmod(0o777)
    facts = stages.face.run(first)
    # When it comes again with another text
    again = job(tmp_path / "again", picture, text="Something else.")
    asked: list[float] = []
    # Then all that the stage makes is the same, its warning too, and time is asked for the drawing, but nothing is decoded
    assert stages.face.run(replace(again, allow_seconds=asked.append)) == facts
    assert again.path("portrait.png").read_bytes() == first.path("portrait.png").read_bytes()
    assert face_of(again) == face_of(first)
    assert again.warnings == first.warnings
    assert "2 faces" in first.warnings[0]
    assert asked
    assert readings == [first.source("image")]
    # And other users see nothing of it
    assert folder.stat().st_mode & 0o007 == 0


CHANGES: dict[str, dict[str, Any]] = {
    "picture": {"picture": drawn(402)},
    "size": {"size": "320x320"},
    "aspect": {"aspect": "9:16"},
    "quality": {"quality": "draft"},
    "face": {"face": "0"},
    "limit": {"limits": {"max_side_px": 300}},
}


@pytest.mark.parametrize("changed", CHANGES)
def test_another_picture_or_option_is_measured_itself(
    changed: str, measured: Path, tmp_path: Path, readings: list[Path]
) -> None:
    # Given a picture that was measured
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    # When a job differs in what decides about the result
    other = job(tmp_path / "other", **({"picture": encoded(drawn(400))} | CHANGES[changed]))
    facts = stages.face.run(other)
    # Then it was measured itself, and so it is where nothing is known
    assert readings == [other.source("image")]
    alone = job(tmp_path / "elsewhere" / "alone", **({"picture": encoded(drawn(400))} | CHANGES[changed]))
    assert facts == stages.face.run(alone)
    assert face_of(other) == face_of(alone)


def test_another_version_of_the_code_measures_again(
    tmp_path: Path, readings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a picture that was measured / When the stage's code is another
    stages.face.run(job(tmp_path / "first", encoded(drawn(400))))
    monkeypatch.setattr(known, "_code", lambda: ["another"])
    stages.face.run(job(tmp_path / "again", encoded(drawn(400))))
    # Then
    assert len(readings) == 2


def test_a_stricter_limit_refuses_a_known_picture(tmp_path: Path) -> None:
    # Given a picture that was accepted / When the operator asks for larger faces / Then it is refused
    stages.face.run(job(tmp_path / "first", encoded(drawn(400))))
    with pytest.raises(JobError, match="at least 1000 px"):
        stages.face.run(job(tmp_path / "again", encoded(drawn(400)), {"min_face_px": 1000}))


def test_a_refused_picture_is_refused_again_in_the_same_words(tmp_path: Path) -> None:
    # Given, when
    messages = []
    for name in ("first", "again"):
        with pytest.raises(JobError) as caught:
            stages.face.run(ctx := job(tmp_path / name, encoded(noise())))
        messages.append((caught.value.code, caught.value.message, caught.value.hint))
        # Then nothing is kept
        assert not kept(ctx)
    assert messages[0] == messages[1]


def cut_off(data: bytes, _: bytes) -> bytes:
    return data[: len(data) // 2]


def flipped(data: bytes, _: bytes) -> bytes:
    return data[:-1000] + bytes([data[-1000] ^ 1]) + data[-999:]


def emptied(_: bytes, __: bytes) -> bytes:
    return b""


def swapped(_: bytes, other: bytes) -> bytes:
    return other


@pytest.mark.parametrize("damage", [cut_off, flipped, emptied, swapped])
def test_a_damaged_or_foreign_file_is_replaced(
    damage: Callable[[bytes, bytes], bytes], measured: Path, tmp_path: Path, readings: list[Path]
) -> None:
    # Given two pictures that were measured, and the file of the first damaged, or exchanged for the second's
    shutil.copytree(measured, tmp_path, dirs_exist_ok=True)
    first = job(tmp_path / "first", encoded(drawn(400)))
    name = (measured / "name").read_text()
    (path,) = (found for found in kept(first) if found.name == name)
    (other,) = (found for found in kept(first) if found.name != name)
    whole = path.read_bytes()
    path.write_bytes(damage(whole, other.read_bytes()))
    # When the first comes again
    again = job(tmp_path / "again", encoded(drawn(400)))
    stages.face.run(again)
    # Then it was measured, with the same result, and the file is whole again
    assert again.source("image") in readings
    assert face_of(again) == face_of(first)
    assert path.read_bytes() == whole


def test_a_picture_that_changes_while_it_is_measured_is_not_kept(tmp_path: Path) -> None:
    # Given a picture that is overwritten once it was decoded
    ctx = job(tmp_path / "job", encoded(drawn(400)))

    def overwrite(_: float) -> None:
        ctx.source("image").write_bytes(encoded(drawn(420)))

    stages.face.run(replace(ctx, progress=overwrite))
    # Then neither picture is known by its result
    assert not kept(ctx)
    assert json.loads(ctx.path("face.json").read_bytes())["width"] == 400
