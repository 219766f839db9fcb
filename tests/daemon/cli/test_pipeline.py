"""`avatar pipeline run`: one command from a text to its result, by the service or without one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.doors.client.status import JobStatus
from daemon.doors.render import render
from tests.conftest import Installation
from tests.support.daemon.commands import run_command
from tests.support.daemon.worker_seam import Gates

ARGS = ("pipeline", "run", "Hello.", "--avatar", "nobody", "--set", "kind=speech")


def test_it_needs_no_service_and_no_configuration_and_goes_on_after_ctrl_c(foreground: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "daemon.cli", *ARGS, "-o", "hello.wav"]

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            # What a script starts with `&` ignores Ctrl-C, and so would a run of the tests in a script hand it down.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    # When it is interrupted while it works / Then nothing is left but what it goes on with
    with start() as first:
        assert first.stderr is not None
        while not first.stderr.readline().startswith("running"):
            assert first.poll() is None
        first.send_signal(signal.SIGINT)
        first.stderr.read()
    assert first.returncode != 0
    assert not (tmp_path / "hello.wav").exists()
    (folder,) = (path for path in foreground.iterdir() if path.is_dir())
    with start() as second:
        assert second.stderr is not None
        said = second.stderr.read()
    assert (second.returncode, "done" in said) == (0, True), said
    assert (tmp_path / "hello.wav").read_bytes()[:4] == b"RIFF"
    assert not folder.exists()
    # And nothing of an installation came to be where there is none
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "hello.wav"}


def test_ctrl_c_cancels_the_job_at_the_service(installation: Callable[..., Installation], tmp_path: Path) -> None:
    # Given a job that a service is at
    house = installation()
    gates = Gates(house, tmp_path / "seam")
    gates.shut("tts")
    house.start()

    # When whoever waits for it is interrupted
    def interrupt(status: JobStatus) -> None:
        if status.stage == "tts" and status.state == "running":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render("Hello.", None, tmp_path / "x.wav", kind="speech", config=house.config, progress=interrupt)
    # Then it ends as cancelled
    (status,) = (path for path in house.outbox.glob("*.json"))
    assert house.finished(status.stem)["state"] == "cancelled"


def test_where_a_service_runs_it_does_the_work(house: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(house.root)
    told = json.loads(house.avatar(*ARGS, "--output", "by-service.wav", "--json").stdout)
    assert (told["success"], Path(told["output"]).name) == (True, "by-service.wav")
    assert (house.root / "by-service.wav").read_bytes()[:4] == b"RIFF"
    # Without --output the file has the ending of what is in it
    house.avatar(*ARGS)
    assert (house.root / "avatar.wav").read_bytes()[:4] == b"RIFF"
    # And what it refuses is told, with its code
    told = house.avatar("pipeline", "run", "?!", "--avatar", "nobody", "--set", "kind=speech", "-o", "x.wav", code=1)
    assert "failed (text-unspeakable)" in told.stderr
    assert not (house.root / "x.wav").exists()
    assert "Give a TEXT" in house.avatar("pipeline", "run", "--avatar", "nobody", code=2).stderr


@pytest.mark.parametrize("face", ["nobody.PNG", "pictures/nobody"])
def test_a_picture_that_is_not_there_is_called_that_and_not_a_profile(face: str, tmp_path: Path) -> None:
    told = run_command(["pipeline", "run", "Hello.", "--avatar", face], tmp_path)
    assert told.returncode == 2
    assert f"{face} is not here" in told.stderr
    assert not list(tmp_path.iterdir())
