"""A daemon that tests start as a copy of a prepared process behaves as one that was started by itself."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from stages.face.landmarker import shared_landmarker
from tests.conftest import PATIENCE_S, ROOT, Installation, wait_for
from tests.support.daemon.prepared_daemon import PreparedDaemon, usual_environment
from tests.support.daemon.worker_seam import Gates


def test_a_copy_runs_in_its_own_folder_and_its_end_is_told(installation: Callable[..., Installation]) -> None:
    # Given a daemon that is a copy
    house = installation()
    house.environment = usual_environment()
    house.start()
    daemon = house.process
    assert isinstance(daemon, PreparedDaemon)
    # Then it works in its own folder, and its output goes to its log
    assert psutil.Process(daemon.pid).cwd() == str(house.root)
    assert {os.readlink(f"/proc/{daemon.pid}/fd/{number}") for number in (1, 2)} == {str(house.log)}
    assert daemon.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        daemon.wait(0.0)
    # And how it ends is told, by each signal
    assert house.stop() == 0
    assert not psutil.pid_exists(daemon.pid)
    house.start()
    house.kill()
    assert house.process is not None
    assert house.process.poll() == -signal.SIGKILL


def test_the_workers_of_a_copy_have_no_file_of_the_daemons_and_end_with_it(
    installation: Callable[..., Installation],
) -> None:
    # Given a copied daemon that has done a job, with a word that is read from the dictionaries
    house = installation()
    house.environment = usual_environment()
    house.start()
    house.drop("hello.yaml", {"kind": "speech", "text": "Hello, zebras."})
    assert house.finished("hello")["state"] == "done"
    assert "dictionaries is damaged" not in house.log.read_text()
    daemon = house.process
    assert isinstance(daemon, PreparedDaemon)
    workers = [one for one in psutil.Process(daemon.pid).children() if os.getpgid(one.pid) == one.pid]
    # Then its workers are copies, too, each in a session and folder of its own, without the daemon's files and handlers
    assert len(workers) == 2
    for one in workers:
        assert "stages.worker" not in one.cmdline()
        assert (os.getsid(one.pid), one.cwd()) == (one.pid, "/")
        files = [os.readlink(link) for link in Path(f"/proc/{one.pid}/fd").iterdir()]
        assert [name for name in files if name.startswith(str(house.root))] == []
        caught = int(re.findall(r"SigCgt:\s*(\w+)", Path(f"/proc/{one.pid}/status").read_text())[0], 16)
        assert not caught & (1 << (signal.SIGTERM - 1))
    # And when the daemon is killed, they end
    house.kill()
    assert psutil.wait_procs(workers, PATIENCE_S)[1] == []


def test_a_test_reaches_into_the_workers_of_a_copy(installation: Callable[..., Installation], tmp_path: Path) -> None:
    # Given a copied daemon, and a gate before a stage
    house = installation()
    house.environment = usual_environment()
    gates = Gates(house, tmp_path / "seam")
    gates.shut("tts")
    house.start()
    assert isinstance(house.process, PreparedDaemon)
    # When a job comes to it / Then it waits there, until the gate is opened
    house.drop("hello.yaml", {"kind": "speech", "text": "Hello."})
    gates.reached("tts")
    assert house.jobs("tts/active") != []
    gates.open("tts")
    assert house.finished("hello")["state"] == "done"


def test_one_that_cannot_start_says_why_and_ends_with_its_code(house: Installation) -> None:
    house.stop()
    house.config.write_text("nonsense: true\n")
    house.launch()
    assert house.process is not None
    wait_for("the daemon to end", lambda: house.process and house.process.poll() is not None)
    assert house.process.poll() == 78
    assert "nonsense" in house.log.read_text()


def test_another_environment_gets_a_process_of_its_own(installation: Callable[..., Installation]) -> None:
    one = installation()
    one.environment |= {"AVATAR_NOT_USUAL": "1"}
    one.start()
    assert isinstance(one.process, subprocess.Popen)
    assert psutil.Process(one.process.pid).environ()["AVATAR_NOT_USUAL"] == "1"


@pytest.mark.usefixtures("models")
def test_what_a_library_sets_in_the_environment_keeps_no_daemon_from_being_copied(
    installation: Callable[..., Installation],
) -> None:
    shared_landmarker()
    one = installation()
    one.environment = usual_environment() | {
        name: os.environ[name] for name in ("GLOG_minloglevel", "TF_CPP_MIN_LOG_LEVEL")
    }
    one.start()
    assert isinstance(one.process, PreparedDaemon)


@pytest.mark.usefixtures("processes")
def test_copies_end_with_the_process_of_the_tests(tmp_path: Path) -> None:
    # Given a process that starts a daemon, as one that runs tests does
    script = (
        "import os, sys, tempfile; from pathlib import Path\n"
        "from tests.conftest import Installation\n"
        "from tests.support.daemon.prepared_daemon import note_environment\n"
        "note_environment()\n"
        "one = Installation(Path(tempfile.mkdtemp(dir=sys.argv[1])))\n"
        "one.start(); print(type(one.process).__name__, one.process.pid, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as tests:
        assert tests.stdout is not None
        kind, pid = tests.stdout.readline().split()
        assert kind == "PreparedDaemon"
        daemon = psutil.Process(int(pid))
        # When that process is killed / Then the daemon ends
        tests.kill()
    assert psutil.wait_procs([daemon], PATIENCE_S)[1] == []
