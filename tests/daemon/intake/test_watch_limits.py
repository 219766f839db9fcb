"""Where a limit of inotify is reached, the inbox is polled, and people are told which limit. The kernel's own limits are used."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from daemon.cli.doctor.folder_checks import check_folders
from daemon.config import Settings
from tests.conftest import Installation, wait_for

#: Runs a command in a user namespace with a limit of its own.
LIMITED = 'echo "$1" > "/proc/sys/user/$0" && shift && exec "$@"'
FOLDERS = [f"folder{number}" for number in range(20)]
SPEECH = "kind: speech\ntext: Hello.\n"


@pytest.mark.parametrize(
    ("limit", "value", "told"),
    [
        ("max_inotify_watches", 8, "folders in the inbox, such as folder"),
        ("max_inotify_watches", 0, "changes in the inbox since fs.inotify.max_user_watches is reached"),
        ("max_inotify_instances", 0, "changes in the inbox since fs.inotify.max_user_instances is reached"),
    ],
)
def test_what_the_kernel_refuses_to_watch_is_polled_and_said(
    installation: Callable[..., Installation], limit: str, value: int, told: str
) -> None:
    # Given an inbox with more folders than the kernel watches for this user
    one = installation(intake={"poll_s": 0.2, "scan_s": 3600.0})
    for name in FOLDERS:
        (one.inbox / name).mkdir()
    limited = ["unshare", "--user", "--map-root-user", "sh", "-c", LIMITED, limit, str(value)]
    if (probe := subprocess.run([*limited, "true"], capture_output=True, check=False)).returncode:
        pytest.skip(f"limits of a user namespace cannot be set here: {probe.stderr.decode().strip()}")
    wrapper = one.root / "limited-python"
    wrapper.write_text(f"#!/bin/sh\nexec {' '.join(limited[:5])} '{LIMITED}' {limit} {value} {one.python} \"$@\"\n")
    wrapper.chmod(0o755)
    plain, one.python = one.python, str(wrapper)
    # When the daemon starts / Then it works, and what is dropped anywhere is found by polling
    one.start()
    one.python = plain
    for name in (FOLDERS[0], FOLDERS[-1]):
        (one.inbox / name / f"{name}.yaml").write_text(SPEECH)
    assert [one.finished(f"{name}/{name}")["state"] for name in (FOLDERS[0], FOLDERS[-1])] == ["done", "done"]
    # And commands are answered
    one.avatar("pause", "--reason", "lunch")
    # And people are told, wherever they look
    state: dict[str, Any] = wait_for(
        "it to be told", lambda: json.loads((one.spool / "state.json").read_bytes())["unwatched"]
    )
    assert state["code"] == "inbox-unwatched"
    assert told in state["message"]
    assert one.metric("avatar_inbox_unwatched_folders") >= 1
    assert told in one.avatar("status").stdout
    settings = Settings.parse(yaml.safe_load(one.config.read_text()), one.config)
    assert any(told in finding.found and "sysctl" in finding.remedy for finding in check_folders(settings))
    (logged,) = one.events("inbox not watched")[-1:]
    assert "sysctl fs.inotify." in logged["next"]
    assert one.stop() == 0
