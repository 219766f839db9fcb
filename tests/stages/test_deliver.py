"""Results come into the outbox whole and once, whatever people have put in their place."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from daemon.system import fs
from stages import deliver
from stages.context import Context
from tests.support.daemon.queue import PowerCut, Unflushed
from tests.support.machine.deep_folders import deep_folder
from tests.support.machine.refusing_folders import REFUSALS, refuse

JOB = "job-20260101T000000Z-abcdef12"
SOUND = b"a sound"


@pytest.fixture
def ops(monkeypatch: pytest.MonkeyPatch) -> Unflushed:
    calls = Unflushed()
    monkeypatch.setattr(fs, "OPS", calls)
    return calls


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    settings = Settings.parse({"paths": {"outbox": "outbox", "spool": "spool"}}, tmp_path / "config.yaml")
    for folder in (settings.paths.outbox, settings.paths.spool, tmp_path / "job"):
        folder.mkdir()
    (tmp_path / "job" / "speech.wav").write_bytes(SOUND)
    manifest = Manifest.model_validate({"kind": "speech", "text": "Hello."})
    return Context(JOB, "anna/hello", tmp_path / "job", manifest, settings)


def delivered(ctx: Context) -> dict[str, bytes]:
    outbox = ctx.settings.paths.outbox
    return {str(path.relative_to(outbox)): path.read_bytes() for path in outbox.rglob("*") if path.is_file()}


@pytest.mark.parametrize("number", REFUSALS, ids=errno.errorcode.get)
def test_what_a_folder_refuses_lies_in_the_outbox_itself(ctx: Context, ops: Unflushed, number: int) -> None:
    refuse(ops, number)
    (output,) = deliver.run(ctx)["outputs"]
    assert output["file"] == f"hello-{JOB}.wav"
    assert delivered(ctx) == {output["file"]: SOUND}


def test_files_and_folders_in_the_place_of_every_name_cost_no_result(ctx: Context) -> None:
    outbox = ctx.settings.paths.outbox
    for name in ("anna/hello.wav", f"anna/hello-{JOB}.wav", f"hello-{JOB}.wav"):
        (outbox / name).mkdir(parents=True)
    (output,) = deliver.run(ctx)["outputs"]
    assert delivered(ctx) == {output["file"]: SOUND}


@pytest.mark.usefixtures("processes")
def test_a_folder_in_the_place_of_a_part_costs_no_result(ctx: Context) -> None:
    # Given a folder that cannot be removed, where the temporary file of a result can be foreseen
    with deep_folder(ctx.settings.paths.outbox / f".{JOB}.wav.part"):
        assert [output["file"] for output in deliver.run(ctx)["outputs"]] == ["anna/hello.wav"]


def test_a_part_that_people_take_away_is_copied_again(ctx: Context, ops: Unflushed) -> None:
    taken: list[Path] = []

    def take(name: str, path: Path) -> None:
        if name == "sync_dir" and not taken:
            taken.extend(path.glob(".job-*.part"))
            for part in taken:
                part.unlink()

    ops.before = take
    assert [output["file"] for output in deliver.run(ctx)["outputs"]] == ["anna/hello.wav"]
    assert len(taken) == 1
    assert delivered(ctx) == {"anna/hello.wav": SOUND}


@pytest.mark.parametrize("crash_at", ["write", "rename", "rename_new", "sync_dir"])
def test_a_crash_between_two_names_delivers_once(
    ctx: Context, ops: Unflushed, monkeypatch: pytest.MonkeyPatch, crash_at: str
) -> None:
    # Given a folder that refuses files, and a crash at each moment at which its file gets another name
    outbox = ctx.settings.paths.outbox
    refused = False

    def before(name: str, path: Path) -> None:
        nonlocal refused
        if not path.is_relative_to(outbox) and name == "rename_new" and "hello" in path.name:
            refused = True
            raise OSError(errno.EXDEV, "refused")
        if refused and name == crash_at:
            raise PowerCut

    ops.before = before
    with monkeypatch.context() as dead:
        dead.setattr(fs, "discard", lambda path: None)
        with pytest.raises(PowerCut):
            deliver.run(ctx)
    # When the stage runs again / Then the result is there once, under the name that is told
    refuse(ops, errno.EXDEV)
    (output,) = deliver.run(ctx)["outputs"]
    assert delivered(ctx) == {output["file"]: SOUND}
    assert json.loads(ctx.path("delivery.json").read_bytes())[0]["file"] == output["file"]
