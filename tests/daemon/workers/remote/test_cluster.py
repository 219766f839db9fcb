"""Several machines, by a real Ray cluster on this one and a real daemon. What the stages do is played."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT, Installation, wait_for

pytestmark = [
    pytest.mark.usefixtures("processes"),
    pytest.mark.ray,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed"),
]

#: In a worker: stages that do nothing. check makes a large file; tts waits while a file holds it, makes a large
#: one and a small one, and removes the first; deliver tells what it finds.
SITECUSTOMIZE = """
import hashlib, importlib, os, shutil, sys, time, types

FOLDER = os.environ["TEST_RAY"]


def note(*words):
    with open(os.path.join(FOLDER, "diary"), "a") as diary:
        diary.write(" ".join(map(str, words)) + "\\n")


def run(stage, ctx):
    large, speech, said = ctx.path("large"), ctx.path("speech.wav"), ctx.path("said")
    if stage == "check":
        shutil.copyfile(os.path.join(FOLDER, "large"), large)
    if stage == "tts":
        note("begins", ctx.name, os.getppid())
        while os.path.exists(os.path.join(FOLDER, "hold", ctx.name)):
            time.sleep(0.005)
        for path in sorted(ctx.settings.paths.profiles.glob("*/*")):
            whole = hashlib.sha256(path.read_bytes()).hexdigest()
            note("hears", ctx.name, path.relative_to(path.parents[1]), whole)
        speech.write_bytes(large.read_bytes()[::-1])
        large.unlink()
        said.mkdir()
        (said / "first").write_text(ctx.name)
        note("ends", ctx.name, os.getppid())
    if stage == "deliver":
        whole = hashlib.sha256(speech.read_bytes()[::-1]).hexdigest()
        note("delivers", ctx.name, whole, (said / "first").read_text(), large.exists())
    return {}


def import_module(name, package=None, real=importlib.import_module):
    stage = name.removeprefix("stages.")
    if stage not in ("check", "tts", "deliver"):
        return real(name, package)
    module = types.ModuleType(name)
    module.run = lambda ctx: run(stage, ctx)
    return module


if "stages.worker" in sys.orig_argv:
    importlib.import_module = import_module
"""


class Site:
    """A cluster of a head and some machines, and a daemon without a GPU. `short`: a folder for Ray."""

    def __init__(self, make: Callable[..., Installation], folder: Path, short: Path, *, token: str | None) -> None:
        self.folder, self.short = folder, short
        (folder / "hold").mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
        (folder / "large").write_bytes(LARGE)
        self.environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RAY_")},
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
            "TEST_RAY": str(folder),
            "AVATAR_RAY_DIR": str(folder / "node"),
            "RAY_TMPDIR": str(short),  # a socket's name may have 107 bytes
            "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        }
        if token is not None:
            (folder / "token").write_text(token)
            self.environment["RAY_AUTH_MODE"] = "token"
        with socket.socket() as free:
            free.bind(("", 0))
            self.port = free.getsockname()[1]
        self.house = make(
            lanes={
                "ray": {"address": f"{own_address()}:{self.port}", "gpus": 2},
                "pause_s": 0.3, "preload": False, "heartbeat_s": 0.2, "silence_s": 8.0,
            },
            stages={"tts": {"engine": "coqui"}},
        )  # fmt: skip
        self.house.environment = {**self.environment, "CUDA_VISIBLE_DEVICES": ""}
        self._cluster: subprocess.Popen[str] | None = None

    def begin(self, gpus: int = 0) -> None:
        """Start the head of the cluster. `gpus`: how many its own machine has."""
        command = [sys.executable, str(ROOT / "tests" / "support" / "ray_cluster.py"), str(self.port), str(gpus)]
        with (self.folder / "cluster.log").open("ab") as log:
            self._cluster = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                start_new_session=True,
            )  # fmt: skip
        self.head = list(map(int, self._answer()))

    def add_machines(self, count: int) -> list[int]:
        """Add machines; returns the process ids of their raylets."""
        assert self._cluster is not None
        assert self._cluster.stdin is not None
        self._cluster.stdin.write(f"{count}\n")
        self._cluster.stdin.flush()
        return list(map(int, self._answer()))

    def _answer(self) -> list[str]:
        assert self._cluster is not None
        assert self._cluster.stdout is not None
        words = self._cluster.stdout.readline().split()
        assert words, (self.folder / "cluster.log").read_text()
        return words

    def end(self) -> None:
        """End every process of the cluster."""
        if self._cluster is None:
            return
        every = [psutil.Process(self._cluster.pid)]
        every += every[0].children(recursive=True)
        for one in every:
            for number in (signal.SIGKILL, signal.SIGCONT):
                try:
                    one.send_signal(number)
                except psutil.NoSuchProcess:
                    break
        self._cluster.wait()
        self._cluster = None

    def drop(self, name: str, *, held: bool = False, voice: str = "coqui/any") -> None:
        if held:
            (self.folder / "hold" / name).touch()
        self.house.drop(f"{name}.yaml", {"kind": "speech", "text": "Hello.", "voice": voice})

    def release(self, name: str) -> None:
        (self.folder / "hold" / name).unlink()

    def diary(self, what: str) -> list[list[str]]:
        path = self.folder / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        return [words[1:] for line in lines if (words := line.split())[0] == what]

    def began(self, name: str) -> int:
        """Wait until a stage has begun; returns the process id of the actor, or of the daemon, whose worker has begun it."""

        def look() -> int | None:
            return next((int(words[1]) for words in self.diary("begins") if words[0] == name), None)

        return wait_for(f"tts of {name} to begin", look)

    @property
    def daemon(self) -> int:
        assert self.house.process is not None
        return self.house.process.pid

    def record(self, name: str) -> dict[str, Any]:
        """Return the record of a job that is done."""
        job = self.house.finished(name)["job"]
        record = self.house.spool / "done" / job / "job.json"
        wait_for("the job to be put down", record.exists)
        found: dict[str, Any] = json.loads(record.read_bytes())
        return found


#: Larger than what travels with a request.
LARGE = secrets.token_bytes(600_000)


@pytest.fixture
def site(installation: Callable[..., Installation], tmp_path: Path) -> Iterator[Callable[..., Site]]:
    made: list[Site] = []

    def make(token: str | None = "0123456789abcdef" * 4) -> Site:
        made.append(Site(installation, tmp_path / "site", Path(tempfile.mkdtemp(prefix="ray-")), token=token))
        return made[-1]

    yield make
    for one in made:
        one.end()
        shutil.rmtree(one.short, ignore_errors=True)


def own_address() -> str:
    """Return this machine's address, as Ray finds it; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect(("8.8.8.8", 80))
        return str(asked.getsockname()[0])


def raylet_of(actor: int, raylets: list[int]) -> int:
    """Return which raylet an actor's process was started by."""
    above = {parent.pid for parent in psutil.Process(actor).parents()}
    return next(raylet for raylet in raylets if raylet in above)


def test_a_batch_is_done_once_though_a_machine_dies_another_is_cut_off_and_the_cluster_is_lost(
    site: Callable[..., Site],
) -> None:
    one = site()
    one.begin()
    raylets = one.add_machines(2)
    house = one.house
    house.start()
    # Given twenty jobs, of which three are in the middle of a stage: one here, and one on each machine
    first, others = ("job-a", "job-b", "job-c"), [f"job-{number}" for number in range(17)]
    for name in first:
        one.drop(name, held=True)
    actors = {name: one.began(name) for name in first}
    away = [name for name in first if actors[name] != one.daemon]
    assert {raylet_of(actors[name], raylets) for name in away} == set(raylets)
    for name in others:
        one.drop(name)
    dead, cut_off = away
    # When one machine dies, whose actor lives on for a while / Then its job is done elsewhere
    os.kill(raylet_of(actors[dead], raylets), signal.SIGKILL)
    # And when the way to the other one is cut, which finishes its stage meanwhile
    silent = [raylet_of(actors[cut_off], raylets), actors[cut_off]]
    for process in silent:
        os.kill(process, signal.SIGSTOP)
    for name in first:
        one.release(name)
    assert [house.finished(name)["state"] for name in (*first, *others)] == ["done"] * 20
    # Then its job is done elsewhere, and what it hands in later is refused
    os.kill(silent[1], signal.SIGCONT)
    wait_for("the late result", lambda: house.metric("avatar_late_results_refused_total") == 1)
    os.kill(silent[0], signal.SIGCONT)
    assert house.events("late result refused")
    # And every job was delivered once, with the files of one run, and none was charged
    assert Counter(words[0] for words in one.diary("delivers")) == dict.fromkeys((*first, *others), 1)
    whole = hashlib.sha256(LARGE).hexdigest()
    assert all(words[1:] == [whole, words[0], "False"] for words in one.diary("delivers"))
    for name in (dead, cut_off):
        record = one.record(name)
        assert record["attempts"]["tts"] == 1
        assert record["crashes"] == 0
        assert [entry["code"] for entry in record["history"] if entry["event"] == "lost"] == ["node-lost"]
    # When the whole cluster is lost in the middle of a stage
    for name in ("job-x", "job-y"):
        one.drop(name, held=True)
    remote = next(name for name in ("job-x", "job-y") if one.began(name) != one.daemon)
    one.end()
    # Then its job goes back, and the daemon goes on without the cluster
    wait_for("the loss", lambda: house.metric("avatar_ray_nodes") == 0)
    for name in ("job-x", "job-y"):
        one.release(name)
    assert [house.finished(name)["state"] for name in ("job-x", "job-y")] == ["done", "done"]
    record = one.record(remote)
    assert [entry["code"] for entry in record["history"] if entry["event"] == "lost"] in (["ray-lost"], ["node-lost"])
    assert (record["attempts"]["tts"], record["crashes"]) == (1, 0)
    wait_for("the status to say so", lambda: "ray-unreachable" in house.avatar("status", "--json").stdout)
    # When it is there again / Then the daemon uses it
    one.begin(gpus=1)
    wait_for("the cluster", lambda: house.metric("avatar_ray_nodes") == 1)
    for name in ("job-v", "job-w"):
        one.drop(name, held=True)
    assert len({one.began(name) for name in ("job-v", "job-w")} - {one.daemon}) == 1
    for name in ("job-v", "job-w"):
        one.release(name)
    assert [house.finished(name)["state"] for name in ("job-v", "job-w")] == ["done", "done"]


def test_a_voice_profile_goes_along(site: Callable[..., Site]) -> None:
    # Given voices of two people, and a cluster
    one = site()
    one.begin(gpus=1)
    house = one.house
    house.start()
    for profile, name, voice in (("vp-0000000a", "Anna", LARGE), ("vp-0000000b", "Ben", b"small")):
        folder = house.spool / "profiles" / profile
        folder.mkdir(parents=True)
        (folder / "profile.yaml").write_text(f"name: {name}\n")
        (folder / "reference.wav").write_bytes(voice)
    # When two jobs speak with the voice of one of them, one here and one there
    names = ("job-a", "job-b")
    for name in names:
        one.drop(name, held=True, voice="xtts/Anna")
    there = {one.began(name): name for name in names}
    assert len(there.keys() - {one.daemon}) == 1
    here = there.pop(one.daemon)
    for name in names:
        one.release(name)
    assert [house.finished(name)["state"] for name in names] == ["done", "done"]
    # Then the one there has the voice, and knows the name of the other one
    heard = {words[1]: words[2] for words in one.diary("hears") if words[0] in there.values()}
    assert sorted(heard) == ["vp-0000000a/profile.yaml", "vp-0000000a/reference.wav", "vp-0000000b/profile.yaml"]
    assert heard.items() < {words[1]: words[2] for words in one.diary("hears") if words[0] == here}.items()


def test_a_cluster_that_asks_for_no_token_is_not_used(site: Callable[..., Site]) -> None:
    # Given a cluster that anybody may use / When the daemon starts / Then it says so, and works without it
    one = site(token=None)
    one.begin(gpus=1)
    one.house.start()
    one.drop("job-a", held=True)
    one.drop("job-b")
    assert one.began("job-a") == one.daemon
    pause = wait_for("the pause", lambda: next(iter(one.house.events("lane paused")), None))
    assert (pause["lane"], pause["code"]) == ("ray gpu 1", "ray-open")
    wait_for("the status to say so", lambda: "allow_open" in one.house.avatar("status").stdout)
    one.release("job-a")
    assert {one.house.finished(name)["state"] for name in ("job-a", "job-b")} == {"done"}
    assert {words[1] for words in one.diary("begins")} == {str(one.daemon)}
