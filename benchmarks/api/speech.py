"""How long a client of OpenAI's speech door waits for the first sound of a sentence of about 3 s, and where that time goes.

    python -m benchmarks.api.speech [--form mp3] [--sentences 20] [--length 1] [--idle 10]

A daemon and a server of this checkout run in a temporary folder, and are left alone for `--idle` s; OpenAI's own Python client
then asks for one new sentence after another, or for texts of `--length` sentences, which are sent while they are spoken. The
job's own times are those of its status; the rest is spent in the client, the server and the inbox. The first text is told apart.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks import ROOT
from benchmarks.programs import start_program
from benchmarks.speed.checkout_daemon import LOOK_S, CheckoutDaemon


@contextmanager
def server(root: Path) -> Iterator[tuple[str, int]]:
    """Serve the folder's configuration on a free port; yields the address, and the process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = str(root / "config.yaml")
    command = [sys.executable, "-c", "from daemon.entry import main; main()", "--config", config, "server", "start"]
    command += ["--port", str(port)]
    with (root / "server.log").open("wb") as log:
        process = start_program(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                if process.poll() is not None:
                    raise SystemExit(f"The server ended:\n{(root / 'server.log').read_text()}") from None
                time.sleep(LOOK_S)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def processor_s(*pids: int) -> float:
    """Return the processor seconds that processes, their children, and those of these that have ended took so far."""
    parents = [psutil.Process(pid) for pid in pids]
    everyone = [*parents, *(child for parent in parents for child in parent.children(recursive=True))]
    return sum(sum(process.cpu_times()[:4]) for process in everyone)


def measure(form: str, sentences: int, length: int, idle_s: float) -> tuple[list[dict[str, Any]], float]:
    """Return what the client saw of each sentence, with the `status` of its job; and processor seconds for each, of daemon and
    server.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        daemon = CheckoutDaemon(ROOT, root, "512x512")
        try:
            time.sleep(idle_s)
            with server(root) as (address, pid):
                script = ROOT / "benchmarks" / "api" / "openai_client.py"
                command = [sys.executable, str(script), f"{address}/v1", form, str(sentences), str(length)]
                before = processor_s(daemon.process.pid, pid)
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
                spent = (processor_s(daemon.process.pid, pid) - before) / sentences
                found = [json.loads(line) for line in output.splitlines()]
        finally:
            daemon.stop()
    return found, spent


def told(found: list[dict[str, Any]]) -> str:
    """Return the medians as a line, in ms."""

    def middle(values: Iterator[float]) -> str:
        return f"{1000 * statistics.median(values):.0f}"

    firsts = [one["first_s"] for one in found]
    stages = [one["status"]["timings"] for one in found]
    parts = [f"{name} {middle(one[name]['run'] for one in stages)}" for name in stages[0]]
    waits = middle(sum(spent["wait"] for spent in one.values()) for one in stages)
    rest = middle(
        one["first_s"] - sum(spent["run"] + spent["wait"] for spent in one["status"]["timings"].values())
        for one in found
    )
    return (
        f"first sound: median {middle(iter(firsts))} ms, {1000 * min(firsts):.0f} to {1000 * max(firsts):.0f}"
        f"  ({', '.join(parts)}, between stages {waits}, client, server and inbox {rest})"
    )


def main() -> None:
    """Measure, and print the first sentence and the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--form", default="mp3", choices=["mp3", "opus", "aac", "flac", "wav", "pcm"])
    parser.add_argument("--sentences", type=int, default=20)
    parser.add_argument("--length", type=int, default=1, help="sentences of each text")
    parser.add_argument("--idle", type=float, default=10.0)
    args = parser.parse_args()
    found, spent = measure(args.form, args.sentences + 1, args.length, args.idle)
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{load}, {args.form}; processor time {1000 * spent:.0f} ms a sentence")
    print(f"the first of all: {1000 * found[0]['first_s']:.0f} ms")
    print(told(found[1:]))


if __name__ == "__main__":
    main()
