"""The examples of the Python door run as they are, and another package's `daemon` is told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.cli.doctor.checks import check_module_name
from daemon.config import Settings
from daemon.doors.http.app import create_app
from tests.conftest import ROOT, Installation
from tests.support.daemon.known_faces import give_known_faces
from tests.support.http_door import serving

pytestmark = pytest.mark.usefixtures("processes")


def make_videos_small(house: Installation) -> None:
    """Let the daemon draw small videos where a job says no size, as all of the examples."""
    (house.inbox / "_defaults.yaml").write_text("size: 256x256\n")
    give_known_faces(house)


def test_the_queue_example_runs_on_a_service(house: Installation) -> None:
    make_videos_small(house)
    command = [sys.executable, str(ROOT / "examples" / "queue_example.py"), str(house.config)]
    for _ in range(2):  # the second time, its keys stand for the same jobs
        ran = subprocess.run(command, capture_output=True, text=True, cwd=house.root, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(list(house.outbox.glob("*.mp4"))) == 1
    assert len(list(house.outbox.glob("*.wav"))) == 1


@pytest.mark.usefixtures("foreground")
def test_the_pipeline_example_needs_no_service(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "examples" / "pipeline_example.py"), "own.mp4"]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "own.mp4").read_bytes()[4:8] == b"ftyp"
    assert ran.stdout.splitlines()[-1].endswith("face, tts, lipsync, encode, deliver")


@pytest.mark.parametrize(
    ("name", "arguments", "code", "says"),
    [
        *((name, ["--help"], 0, "usage: ") for name in ("api", "pipeline", "queue")),
        ("api", ["127.0.0.1:8000"], 2, "127.0.0.1:8000 is no address such as http"),
        ("api", ["http://127.0.0.1:9"], 1, "`avatar server start` starts the server."),
        ("pipeline", ["no/folder/own.mp4"], 1, "no/folder"),
        ("queue", ["none.yaml"], 1, "none.yaml"),
    ],
)
def test_the_examples_tell_of_their_arguments_and_end_in_no_traceback(
    tmp_path: Path, name: str, arguments: list[str], code: int, says: str
) -> None:
    command = [sys.executable, str(ROOT / "examples" / f"{name}_example.py"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (ran.returncode, "Traceback" in ran.stderr) == (code, False), ran.stderr
    assert says in ran.stdout + ran.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("processes")
def test_another_packages_daemon_is_told_by_the_command_and_by_the_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given python-daemon, installed over our files
    shutil.copytree(ROOT / "daemon", tmp_path / "daemon", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "daemon" / "__init__.py").write_text("class DaemonContext: ...\n")
    record = tmp_path / "python_daemon-3.1.2.dist-info"
    record.mkdir()
    (record / "METADATA").write_text("Metadata-Version: 2.1\nName: python-daemon\nVersion: 3.1.2\n")
    (record / "top_level.txt").write_text("daemon\n")
    command = [sys.executable, "-c", "from daemon.cli import main; main(['--version'])"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert (ran.returncode, "python-daemon" in ran.stderr, "Traceback" in ran.stderr) == (1, True, False), ran.stderr
    assert list(check_module_name(Settings())) == []
    monkeypatch.syspath_prepend(str(tmp_path))
    (finding,) = check_module_name(Settings())
    assert (finding.verdict, "python-daemon" in finding.found) == ("bad", True)


def test_the_http_example_needs_nothing_but_python(house: Installation, tmp_path: Path) -> None:
    make_videos_small(house)
    with serving(create_app(Settings.load(house.config))) as server:
        command = [sys.executable, "-I", str(ROOT / "examples" / "api_example.py"), f"http://127.0.0.1:{server.port}"]
        ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert (tmp_path / "api-example.mp4").read_bytes()[4:8] == b"ftyp"
