"""`make demo`: start the daemon on config.yaml, drop the example job as a person would, show progress, leave the video."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from daemon.cli.commands.submit import follow
from daemon.cli.common import Shell
from daemon.errors import AvatarError
from daemon.outbox.names import ENDINGS

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / "spool" / "demo.log"
START_S = 30.0


def free_name(outbox: Path, stem: str) -> str:
    """`hello`, or `hello-2`, `hello-3` … when earlier results are there: nothing is overwritten."""
    number = 1
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        if not any((outbox / f"{name}{ending}").exists() for ending in ENDINGS):
            return name
        number += 1


def start(shell: Shell) -> subprocess.Popen[bytes] | None:
    """Start the daemon unless one runs already."""
    if shell.daemon() is not None:
        print("demo: a daemon runs already on this spool; using it")
        return None
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("wb") as out:
        daemon = subprocess.Popen([sys.executable, "-m", "daemon"], cwd=ROOT, stdout=out, stderr=out)
    print(f"demo: daemon started (process {daemon.pid}, log in {LOG.relative_to(ROOT)})")
    return daemon


def drop(shell: Shell) -> Path:
    """Copy the example into the inbox, picture first; returns the status file to watch."""
    paths = shell.settings.paths
    example, there = ROOT / "examples" / "portrait.png", paths.inbox / "portrait.png"
    # Where somebody's own portrait.png lies, the example goes into a folder of its own, and is answered in one.
    own = there.exists() and there.read_bytes() != example.read_bytes()
    folder, results = (paths.inbox / "example", paths.outbox / "example") if own else (paths.inbox, paths.outbox)
    for needed in (folder, paths.outbox):
        needed.mkdir(parents=True, exist_ok=True)
    name = free_name(results, "hello")
    shutil.copyfile(example, folder / "portrait.png")
    shutil.copyfile(ROOT / "examples" / "hello.yaml", folder / f"{name}.yaml")
    print(f"demo: dropped {name}.yaml and portrait.png into {folder}")
    return results / f"{name}.json"


def main() -> int:
    """Run the example job with a daemon that runs already or with one of its own; returns the exit code."""
    shell = Shell(str(ROOT / "config.yaml"))
    daemon = start(shell)
    try:
        return watch(shell, drop(shell), daemon)
    finally:
        if daemon is not None:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(60)


def watch(shell: Shell, status: Path, daemon: subprocess.Popen[bytes] | None) -> int:
    """Print the states of a job until it ends, at most 600 s; returns the exit code.

    `daemon`: the daemon that was started for it, or None.

    Raises:
        SystemExit: the daemon ended by itself; the message is its log.
    """
    final: dict[str, object] = {}
    if daemon is not None:
        wait_for_lock(shell, daemon)
    try:
        for final in follow(shell, status, status.stem, 600):
            print(f"demo: {final['state']:8} {final['stage'] or '':8} {float(str(final['progress'])):4.0%}", flush=True)
    except AvatarError:
        if daemon is not None and daemon.poll() is not None:  # its own last words say more than that it is gone
            raise SystemExit(LOG.read_text(errors="replace")) from None
        raise
    if final.get("state") != "done":
        print(f"demo: failed: {final.get('error')}", file=sys.stderr)
        return 1
    print(
        f"demo: done. The video is {status.with_suffix('.mp4').relative_to(ROOT)}, its status {status.relative_to(ROOT)}"
    )
    print(page_hint())
    return 0


def page_hint() -> str:
    """Return how one comes to the page."""
    if importlib.util.find_spec("django_htmx") is None or importlib.util.find_spec("fastapi") is None:
        return "demo: `make demo-ui` brings a page on which videos are made in a browser."
    return "demo: `.venv/bin/avatar server start` serves a page at http://127.0.0.1:8000/ui/ (`make demo-ui` starts all of it)."


def wait_for_lock(shell: Shell, daemon: subprocess.Popen[bytes]) -> None:
    """Until the daemon holds its spool, or has ended with an error."""
    wait_until(lambda: shell.daemon() is not None, daemon, LOG)


def wait_until(is_ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Until what a process brings is there.

    Raises:
        SystemExit: it ended before, or did not start in time; the message is its log.
    """
    deadline = time.monotonic() + START_S
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(log.read_text(errors="replace") or f"demo: the process of {log.name} did not start")
        time.sleep(0.05)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AvatarError as exc:
        sys.exit(f"demo: {exc}")
