"""The share of `share/samba.conf`, served by a real smbd and written to by a real client."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Installation, wait_for
from tests.support.daemon.ledger import sound
from tests.support.machine.server_process import server_process

CONF = ROOT / "share" / "samba.conf"
PROGRAMS = ("smbd", "smbclient", "smbpasswd", "testparm")
#: smbclient writes no earlier than it has so much, so what is fed to it arrives in bursts.
BURST = 8 * 2**20
#: Of the one account that the test makes in a database of its own.
PASSWORD = "correct horse"


def unavailable() -> str | None:
    missing = [program for program in PROGRAMS if not shutil.which(program, path=SBIN)]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: apt-get install samba smbclient)"
    return "smbd wants root" if os.geteuid() != 0 else None


SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin"


class Share:
    """An smbd of its own, on a free port, with everything it writes in one folder."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self._clients: list[subprocess.Popen[bytes]] = []
        for name in ("private", "state", "cache", "lock", "pid", "ncalrpc"):
            (folder / name).mkdir(parents=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        own = re.sub(r"path = .*", f"path = {root}", CONF.read_text())
        own = own.replace("@avatar", "root").replace("force group = avatar", "force group = root")
        self.conf = folder / "smb.conf"
        self.conf.write_text(f"{GLOBAL.format(folder=folder, port=self.port)}\n{own}")
        self._run("smbpasswd", "-c", str(self.conf), "-s", "-a", "root", text=f"{PASSWORD}\n{PASSWORD}\n")
        with (folder / "smbd.out").open("wb") as log:
            command = ["smbd", "--foreground", "--no-process-group", "--debug-stdout", "-s", str(self.conf)]
            environment = {**os.environ, "PATH": SBIN}
            # In a session of its own: at its end it signals its whole process group.
            options = {"env": environment, "start_new_session": True}
            self.process = server_process(command, stdout=log, stderr=log, **options)
        wait_for("smbd to answer", self._answers)

    def _run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": SBIN}
        return subprocess.run(command, input=text, capture_output=True, text=True, check=True, env=environment)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.folder / "smbd.out").read_text(errors="replace")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
        return False

    def client(self, command: str) -> subprocess.Popen[bytes]:
        """A client that runs one command; what is written to its stdin can be put as the file `-`."""
        address = ["//127.0.0.1/avatard", "-p", str(self.port), "-U", f"root%{PASSWORD}", "-s", str(self.conf)]
        client = subprocess.Popen(
            ["smbclient", *address, "-c", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PATH": SBIN},
        )
        self._clients.append(client)
        return client

    def put(self, path: Path, name: str) -> None:
        client = self.client(f'put "{path}" "{name}"')
        assert client.stdin is not None
        client.stdin.close()
        assert client.wait() == 0

    def close(self) -> None:
        for process in (*self._clients, self.process):
            process.terminate()
            process.wait()


GLOBAL = """
[global]
   server role = standalone server
   interfaces = lo
   bind interfaces only = yes
   smb ports = {port}
   passdb backend = tdbsam
   private dir = {folder}/private
   state directory = {folder}/state
   cache directory = {folder}/cache
   lock directory = {folder}/lock
   pid directory = {folder}/pid
   ncalrpc dir = {folder}/ncalrpc
   log file = {folder}/log
   disable spoolss = yes
   load printers = no
"""


@pytest.fixture
def shared(installation: Callable[..., Installation], tmp_path: Path) -> Iterator[tuple[Installation, Share]]:
    """A running daemon with the settings people have, but short waits, and the share that leads to its folders."""
    if why := unavailable():
        pytest.skip(why)
    one = installation(intake={"scan_s": 0.2})
    share = Share(tmp_path / "samba", one.root)
    try:
        one.start()
        yield one, share
    finally:
        share.close()


@pytest.mark.usefixtures("processes")
def test_the_share_is_what_samba_expects() -> None:
    if shutil.which("testparm", path=SBIN) is None:
        pytest.skip("testparm not installed (Debian: apt-get install samba-common-bin)")
    result = subprocess.run(
        ["testparm", "--suppress-prompt", str(CONF)], capture_output=True, text=True, check=False, env={"PATH": SBIN}
    )
    complaints = [
        line
        for line in result.stderr.splitlines()
        if line
        and not line.startswith(("Load smb config", "Loaded services", "Weak crypto", "Server role", "rlimit_max"))
    ]
    assert (result.returncode, complaints) == (0, [])


def test_a_client_that_stands_still_in_the_middle_is_waited_for(shared: tuple[Installation, Share]) -> None:
    # Given a manifest, and its sound of which a client has written two bursts
    one, share = shared
    whole = sound(50.0, 192_000)  # large, and soon heard
    (one.root / "a.yaml.local").write_text("kind: speech\naudio: talk.wav\n")
    share.put(one.root / "a.yaml.local", "inbox\\a.yaml")
    client = share.client('put - "inbox\\talk.wav"')
    assert client.stdin is not None
    client.stdin.write(whole[: 2 * BURST + 1000])
    client.stdin.flush()
    wait_for("the first burst", lambda: (one.inbox / "talk.wav").exists() and (one.inbox / "talk.wav").stat().st_size)
    one.reaches("a", "waiting")
    # When the daemon has looked at it many times more often than it takes to settle a file
    seen = looks(one)
    wait_for("many looks", lambda: looks(one) > seen + 10)
    status = one.status("a")
    assert status is not None
    assert (status["state"], status["waiting_for"]) == ("waiting", ["talk.wav"])
    assert "open for writing" in status["warnings"][0]
    # Then it takes the file when it is closed, with everything in it
    client.stdin.write(whole[2 * BURST + 1000 :])
    client.stdin.close()
    assert client.wait() == 0
    assert one.finished("a")["state"] == "done"
    with wave.open(str(one.outbox / "a.wav")) as result:
        assert result.getnframes() / result.getframerate() == pytest.approx(50.0, abs=0.1)
    # And people can read the result over the share, and take it away
    client = share.client(f'get "outbox\\a.wav" "{one.root / "got.wav"}"; del "outbox\\a.wav"')
    assert client.stdin is not None
    client.stdin.close()
    assert client.wait() == 0
    assert (one.root / "got.wav").stat().st_size > 10**6
    assert not (one.outbox / "a.wav").exists()
    assert one.stop() == 0


def looks(one: Installation) -> float:
    """How often the daemon has looked at its inbox."""
    return one.metric("avatar_inbox_scan_seconds_count")
