"""The same job gives the same video, however it is handed in."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable

from daemon.client import Client
from daemon.config import Settings
from daemon.doors.http.app import create_app
from tests.conftest import PORTRAIT, Installation
from tests.support.http_door import serving

VIDEO = {"text": "Bob, move over!", "size": "128x128", "seed": 7, "motion": {"seed": 7}}


def test_a_job_gives_the_same_video_by_folder_command_python_and_http(
    installation: Callable[..., Installation],
) -> None:
    one = installation(server={"user": str(os.geteuid())})
    one.start()
    # When the same manifest is dropped, and handed in by the command, from Python and by HTTP
    one.drop("folder.yaml", {**VIDEO, "image": "portrait.png"}, **{"portrait.png": PORTRAIT})
    (one.root / "command.yaml").write_text(json.dumps({**VIDEO, "image": "portrait.png"}))
    shutil.copy(PORTRAIT, one.root / "portrait.png")
    one.avatar("submit", str(one.root / "command.yaml"))
    Client(one.config).submit(VIDEO, name="python", image=str(PORTRAIT))
    with serving(create_app(Settings.load(one.config))) as client:
        manifest = ("manifest", None, json.dumps({**VIDEO, "name": "http"}).encode())
        answer = client.post_parts("/jobs", manifest, ("image", "p.png", PORTRAIT.read_bytes()))
    assert answer.status == 202, answer.body
    # Then all give the same bytes
    videos = {name: one.finished(name)["outputs"] for name in ("folder", "command", "python", "http")}
    sums = {
        name: [output["sha256"] for output in outputs if output["file"].endswith(".mp4")]
        for name, outputs in videos.items()
    }
    assert len(sums["folder"]) == 1
    assert all(found == sums["folder"] for found in sums.values()), sums
