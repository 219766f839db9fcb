"""The installed service in a machine: jobs dropped as a person does, what becomes of them, and what it is installed from."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

from tests.conftest import FINISHED, ROOT, wait_for
from tests.support.machine.debs import unpacked
from tests.support.machine.nspawn import SOURCE, Machine

CONFIG = "/etc/avatard/config.yaml"
#: Interval of looks that start a process in the machine, in s.
LOOK_S = 0.25
LONG = "This is a rather long text, so that there is time to look. " * 2
#: The packages that reading the configuration needs, and building the service itself.
READS_CONFIG = (
    *(
        "annotated-types",
        "attrs",
        "click",
        "markdown-it-py",
        "mdurl",
        "pydantic",
        "pydantic-core",
        "pygments",
        "pyyaml",
    ),
    *("rich", "setuptools", "structlog", "typing-extensions", "typing-inspection"),
)


def drop(machine: Machine, name: str, text: str = "Hello from the shared folder.", *, kind: str = "video") -> None:
    """Drop a job as anna does, with the habits of an ordinary login (umask 022)."""
    script = (
        "umask 022; cd /srv/avatard/inbox; cp -n /opt/avatard/current/share/examples/portrait.png .; "
        f"cat > .part; mv .part {name}.yaml"
    )
    manifest = f"kind: {kind}\ntext: {text}\n" + ("image: portrait.png\nsize: 256x256\n" if kind == "video" else "")
    machine.run("sh", "-c", script, user="anna", stdin=manifest)


def status(machine: Machine, name: str) -> dict[str, Any]:
    """Return the status of a job; {} before there is one."""
    try:
        value: dict[str, Any] = json.loads(machine.path(f"/srv/avatard/outbox/{name}.json").read_bytes())
    except FileNotFoundError:
        return {}
    return value


def finished(machine: Machine, name: str) -> dict[str, Any]:
    """Return the status of a job once it is at its end."""
    return wait_for(f"{name} to finish", lambda: (s := status(machine, name)).get("state") in FINISHED and s)


def in_stage(machine: Machine, name: str, stage: str) -> dict[str, Any]:
    """Return the status of a job once it runs in a stage."""

    def look() -> dict[str, Any] | bool:
        now = status(machine, name)
        return now if (now.get("stage"), now.get("state")) == (stage, "running") else False

    return wait_for(f"{name} to be in {stage}", look)


def writable_mounts(mountinfo: str) -> list[str]:
    """The places of the file systems that are not mounted read-only, but those of the kernel: nothing else can be written to."""
    fields = [line.split() for line in mountinfo.splitlines()]
    places = [field[4] for field in fields if "rw" in field[5].split(",")]
    return [place for place in places if not re.match(r"/(proc|sys|dev)(/|$)", place)]


def smaller_source(machine: Machine, place: str) -> str:
    """Copy what an installation is made of, with a lock that names only what reads the configuration."""
    machine.path(place).mkdir()
    parts = (
        "daemon stages tools systemd docs examples share Makefile pyproject.toml README.md CHANGELOG.md LICENSE NOTICE"
    )
    locks = [path.name for path in ROOT.glob("requirements*.lock")]
    machine.run("cp", "-R", *(f"{SOURCE}/{part}" for part in (*parts.split(), *locks)), place)
    lock = machine.path(f"{place}/requirements.lock")
    entries = re.split(r"\n(?=[a-z])", lock.read_text())
    lock.write_text("\n".join(entry for entry in entries if entry.split("==")[0] in READS_CONFIG) + "\n")
    return place


def bring_rsync(machine: Machine) -> None:
    """Bring what the backup needs: from a cache, as apt takes long to read its lists in a fresh machine, or else by apt."""
    if (folder := unpacked("rsync", "libpopt0", "libxxhash0")) is None:
        install = "apt-get -qq update && apt-get -qq install --no-install-recommends rsync"
        machine.run("sh", "-c", install, network=True)
        return
    for part, place in (("usr/.", "/usr"), ("lib/.", "/usr/lib")):
        if (folder / part).exists():
            subprocess.run(["cp", "-a", f"{folder}/{part}", machine.path(place)], check=True)


def children(machine: Machine) -> list[str]:
    """The workers, by their pid in the machine."""
    main = machine.property("MainPID")
    return machine.run("pgrep", "--parent", main, check=False).stdout.split()


def doctor(machine: Machine, user: str | None = None) -> str:
    """Return what the doctor tells somebody: sentences that fit this installation, and nothing bad."""
    told = machine.run("avatar", "doctor", user=user, check=False)
    for wrong in ("Errno", "Traceback", "pip install", "make setup"):
        assert wrong not in told.stdout + told.stderr, told.stdout
    assert "bad " not in told.stdout, told.stdout
    return told.stdout
