"""A server that is killed in the midst of its work loses no job that it confirmed, and leaves nothing that stays."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
import uuid
from pathlib import Path

import pytest

from daemon.doors.http.incoming import FOLDER
from daemon.doors.http.kept_uploads import LITTER_S, clear_litter, since_boot
from daemon.intake.doors import hand_ins
from daemon.jobs.hand_in_record import HandInRecord, record_name
from tests.conftest import PORTRAIT, wait_for
from tests.support.daemon.intake import Room
from tests.support.endurance import repeats
from tests.support.http_server import Server

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(1800)]

SPEECH = {"kind": "speech", "text": "Good morning."}
PICTURE = PORTRAIT.read_bytes()


@pytest.mark.parametrize("kill", range(repeats("AVATAR_SERVER_KILLS", 2, 20)))
def test_a_kill_loses_no_confirmed_job_and_its_litter_goes_after_a_day(
    kill: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given clients that hand in jobs alone, with keys and with pictures, and upload
    server, ended = Server(tmp_path), threading.Event()
    confirmed: list[str] = []
    ways = (
        lambda: server.client.post("/jobs", SPEECH),
        lambda: server.client.post("/jobs", SPEECH, Idempotency_Key=uuid.uuid4().hex),
        lambda: server.client.post_parts(
            "/jobs", ("text", None, b"Hello."), ("image", "a.png", PICTURE + uuid.uuid4().bytes)
        ),
        lambda: server.client.send("POST", "/uploads?filename=a.png", PICTURE),
    )

    def hand_in(way: int) -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError, http.client.HTTPException):  # it was killed
                answer = ways[way]()
                confirmed.extend([answer.json["job"]] if answer.status == 202 else [])

    threads = [threading.Thread(target=hand_in, args=(way,)) for way in (0, 0, 1, 2, 2, 3)]
    for thread in threads:
        thread.start()
    # When it is killed meanwhile
    wait_for("jobs", lambda: len(confirmed) >= 10 + kill)
    server.process.kill()
    server.process.wait()
    ended.set()
    for thread in threads:
        thread.join()
    # Then each job that it confirmed lies in the inbox
    for job in confirmed:
        record = HandInRecord.from_bytes((server.inbox / record_name(job)).read_bytes())
        assert (server.inbox / record.manifest).is_file()
    # And a day later nothing is left but these, those that were not confirmed, and the uploads that came whole
    late = time.time() + hand_ins.LITTER_S + 60
    monkeypatch.setattr(time, "time", lambda: late)
    made = {job.id for _ in range(2) for job in Room(tmp_path).look()}
    assert set(confirmed) <= made
    assert [path.name for path in server.inbox.glob(".*.tmp")] == []
    assert [path.name for path in server.inbox.glob(".job-*")] == []
    clear_litter(server.inbox, late + LITTER_S, since_boot() + LITTER_S + 60)
    assert [path.name for path in (server.inbox / FOLDER).glob("[!.]*")] == []
