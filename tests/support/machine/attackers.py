"""What a member of the drop group can do to the shared folder, at random and for a number of rounds.

    python attackers.py INBOX OUTSIDE METRICS_PORT SEED ROUNDS

It has a user id of its own and the group's; it touches its own files, the inbox and the outbox beside it, not the files of
others. After each round it prints a line, so that who started it can follow.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

#: For so long an attack waits at most for what it needs, in s.
WAIT_S = 5.0
SPEECH = "kind: speech\naudio: s.wav\n"


class Attacker:
    """Args:
    outside: a folder that the daemon may enter and this user may not; links are led there.
    port: of the daemon's figures; 0: leave them alone.
    """

    def __init__(self, inbox: Path, outside: Path, port: int, seed: int) -> None:
        self.inbox, self.outside, self.port = inbox, outside, port
        self.outbox = inbox.parent / "outbox"
        self.random = random.Random(seed)
        self.number = 0
        self.held: list[int] = []
        self.sockets: list[socket.socket] = []
        self.attacks: list[Callable[[], None]] = [
            self.lease,
            self.exchange_folder,
            self.exchange_claims,
            self.plant_claim,
            self.no_files,
            self.too_much,
            self.many_requests,
            self.half_open,
            self.closed_folder,
            self.come_and_go,
            self.grow,
            self.odd_names,
            self.sticky_answers,
            self.exchange_answers,
            self.no_answers,
            self.forge_answers,
        ]

    def round(self) -> str:
        """One attack; an error is the kernel's refusal, and no matter."""
        self.number += 1
        attack = self.random.choice(self.attacks)
        with contextlib.suppress(OSError):
            attack()
        if self.random.random() < 0.3:
            self.let_go()
        return attack.__name__

    def name(self, ending: str = "") -> str:
        """Return a name that no other round uses."""
        return f"evil-{self.number}{ending}"

    def put(self, name: str, text: str = SPEECH) -> Path:
        """Write a file into the inbox, and return its path."""
        path = self.inbox / name
        path.write_text(text)
        return path

    def let_go(self) -> None:
        """Close all files and connections that were kept open."""
        for fd in self.held:
            os.close(fd)
        for one in self.sockets:
            one.close()
        self.held, self.sockets = [], []

    def lease(self) -> None:
        """Hold write leases on manifests and their pictures, so that others wait when they open them."""
        for number in range(5):
            picture = self.put(self.name(f"-{number}.png"), "no picture")
            path = self.put(self.name(f"-{number}.yaml"), f"kind: detect\nimage: {picture.name}\n")
            for one in (path, picture):
                fd = os.open(one, os.O_RDWR)
                self.held.append(fd)
                fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)

    def exchange_folder(self) -> None:
        """Exchange a folder of the inbox and a link that leads outside, again and again."""
        folder, link = self.inbox / self.name(), self.inbox / self.name("-link")
        folder.mkdir()
        (folder / "canary.yaml").write_text(SPEECH)
        (folder / "canary.cancel").touch()
        link.symlink_to(self.outside)
        for _ in range(50):
            folder.rename(self.inbox / self.name("-away"))
            link.rename(folder)
            folder.rename(link)
            (self.inbox / self.name("-away")).rename(folder)
        if self.random.random() < 0.5:
            folder.rename(self.inbox / self.name("-away"))
            link.rename(folder)

    def exchange_claims(self) -> None:
        """Put a link that leads outside, or a folder open to all, in the place of the folder of claims."""
        claimed = self.inbox / ".claimed"
        claimed.rename(self.inbox / self.name("-claimed"))
        if self.random.random() < 0.5:
            claimed.symlink_to(self.outside)
        else:
            claimed.mkdir(mode=0o777)

    def plant_claim(self) -> None:
        """Plant a claim whose manifest is a link that leads outside."""
        claim = self.inbox / ".claimed" / "job-20260102T030405Z-0a1b2c3d"
        claim.mkdir()
        (claim / "manifest.yaml").symlink_to(self.outside / "canary")

    def no_files(self) -> None:
        """Give a pipe, a link, a folder and a socket the names of manifests; the pipe is also named as a picture."""
        os.mkfifo(self.inbox / self.name(".yaml"))
        (self.inbox / self.name("-l.yaml")).symlink_to(self.outside / "canary")
        (self.inbox / self.name("-d.yaml")).mkdir()
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(self.inbox / self.name("-s.yaml")))
        self.put(self.name("-p.yaml"), f"kind: detect\nimage: {self.name()}.yaml\n")

    def too_much(self) -> None:
        """Drop one manifest of ten jobs, each with a picture of 500 MB."""
        documents = []
        for number in range(10):
            with (self.inbox / self.name(f"-{number}.png")).open("wb") as file:
                file.truncate(500 * 10**6)
            documents.append(f"kind: detect\nimage: {self.name(f'-{number}.png')}\n")
        self.put(self.name(".yaml"), "---\n".join(documents))

    def many_requests(self) -> None:
        """Drop 300 request files for jobs that do not exist, and manifests that wait for a picture."""
        for number in range(300):
            (self.inbox / self.name(f"-{number}.{self.random.choice(['cancel', 'hold', 'release'])}")).touch()
            if number % 10 == 0:
                self.put(self.name(f"-{number}.yaml"), "kind: detect\nimage: never.png\n")

    def half_open(self) -> None:
        """Open 40 connections to the figures, and send the beginning of a request on each."""
        if not self.port:
            return
        for _ in range(40):
            one = socket.create_connection(("127.0.0.1", self.port), timeout=5)
            self.sockets.append(one)
            one.send(b"GET /metrics HTTP/1.1\r\n"[: self.random.randrange(24)])

    def closed_folder(self) -> None:
        """Make a folder with a manifest that the daemon may not read or list."""
        folder = self.inbox / self.name()
        (folder / "deep" / "deeper").mkdir(parents=True)
        (folder / "deep" / "a.yaml").write_text(SPEECH)
        folder.chmod(self.random.choice([0o000, 0o111, 0o444, 0o1755]))

    def come_and_go(self) -> None:
        """Write and remove a manifest 100 times, by turns with a link of its name."""
        for _ in range(100):
            path = self.put(self.name(".yaml"))
            path.unlink()
            path.symlink_to(self.outside / "canary")
            path.unlink()

    def grow(self) -> None:
        """Keep writing to the picture of a manifest."""
        fd = os.open(self.inbox / self.name(".png"), os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o660)
        self.held.append(fd)
        self.put(self.name(".yaml"), f"kind: detect\nimage: {self.name()}.png\n")
        for _ in range(20):
            os.write(fd, os.urandom(65536))

    def odd_names(self) -> None:
        """Give manifests names with bytes that no text has, control characters, and characters of the shell."""
        for odd in (b"\xff\xfe", b"\x1b[2J", b"a\nb", b"n" * 240, b"-rf", b"$(x)", b"..", b"\xe2\x80\xae"):
            with contextlib.suppress(OSError):
                path = os.path.join(os.fsencode(self.inbox), odd + b".yaml")
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o660))

    def sender_folder(self) -> Path:
        """A folder of the inbox with jobs that fail, and with requests; returns the one that answers it."""
        folder = self.inbox / self.name()
        folder.mkdir()
        folder.chmod(0o2770)
        for name in ("a", "b"):
            (folder / f"{name}.yaml").write_text("kind: speech\n")
            (folder / f"{name}.cancel").touch()
        (folder / "c.yaml").write_text("kind: detect\nimage: never.png\n")
        return self.outbox / self.name()

    def sticky_answers(self) -> None:
        """Files in a sticky folder, which only their owner may replace, in the place of those of jobs that wait."""
        answers, end = self.sender_folder(), time.monotonic() + WAIT_S
        while not (answers / "c.json").exists() and time.monotonic() < end:
            time.sleep(0.01)
        answers.rename(self.outbox / self.name("-away"))
        answers.mkdir()
        for path in (self.outbox / self.name("-away")).iterdir():
            (answers / path.name).write_bytes(path.read_bytes())
        answers.chmod(self.random.choice([0o1777, 0o500]))
        if self.random.random() < 0.5:
            (self.inbox / self.name() / "c.yaml").unlink()
        else:
            (self.inbox / self.name() / "c.cancel").touch()

    def exchange_answers(self) -> None:
        """Exchange a folder of the outbox for a link to the outside, again and again."""
        answers, link = self.sender_folder(), self.outbox / self.name("-link")
        link.symlink_to(self.outside)
        for _ in range(50):
            for here, there in ((answers, "-away"), (link, ""), (answers, "-link")):
                with contextlib.suppress(OSError):
                    here.rename(self.outbox / self.name(there))

    def no_answers(self) -> None:
        """Put something else in the place of a folder of the outbox, and of each of its versions."""
        for ending in ("", *(f"-v{number}" for number in range(2, 10))):
            place = self.outbox / self.name(ending)
            self.random.choice([os.mkfifo, os.mkdir, Path.touch, lambda path: path.symlink_to(self.outside)])(place)
        self.sender_folder()

    def forge_answers(self) -> None:
        """Put large statuses of others' jobs where the names of results are looked for."""
        answers = self.outbox / self.name()
        answers.mkdir()
        answers.chmod(0o777)
        for name in ("a", "b", *(f"a-v{2**power}" for power in range(1, 20))):
            job = self.random.choice(["x" * 10**6, "job-20260102T030405Z-0a1b2c3d"])
            (answers / f"{name}.json").write_text(f'{{"job": "{job}", "x": [{"{}," * 10**4}0]}}')
        self.sender_folder()


def main() -> None:
    """Attack for as many rounds as told, a line for each, and keep everything open until the standard input ends."""
    inbox, outside, port, seed, rounds = sys.argv[1:]
    # Whoever breaks a lease of ours is told to us by a signal; we hold on.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    attacker = Attacker(Path(inbox), Path(outside), int(port), int(seed))
    for _ in range(int(rounds)):
        print(attacker.round(), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
