"""What a stream sends first is what its page shows: a page that was cut off shows the same again, with the same addresses."""

from __future__ import annotations

import http.client
import json
import re
from urllib.parse import urljoin

import pytest

from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.page import live
from tests.conftest import PATIENCE_S
from tests.daemon.doors.http.conftest import Door
from tests.daemon.doors.page.test_batches import BATCH, Welcome
from tests.daemon.doors.page.test_list import job, keep
from tests.daemon.doors.page.test_pages import signed_in

_PLACES = [
    "jobs", "jobs?tab=failed&q=x&sort=-name", "batches", f"batches/{BATCH}?show=failed", f"jobs/{BATCH}", "avatars",
    "voices", "system",
]  # fmt: skip


def first_fragment(port: int, path: str) -> str:
    """The first fragment of a stream."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()
        lines: list[str] = []
        while not lines or lines[-1].strip() or not any(line.startswith("data: ") for line in lines):
            lines.append(answer.readline().decode())
        return "".join(line.removeprefix("data: ") for line in lines if line.startswith("data: "))
    finally:
        connection.close()


def settled(html: str) -> list[str]:
    """The tags and words of a part of a page, without what time changes."""
    return re.sub(r"\d+(\.\d+)? (s|min|GB|MB)\b", "N", html).split()


@pytest.mark.parametrize("place", _PLACES)
def test_a_stream_begins_with_what_its_page_shows(door: Door, place: str) -> None:
    Welcome(door)
    made = [job(1, "anna", "running"), job(2, "x", "failed", ended=1500), job(3, "rows", "queued")]
    made += [job(4, "face", "queued"), job(5, "tongue", "queued")]
    for one, kind in zip(made[2:], ("batch", "avatar", "voice"), strict=True):
        one.manifest["kind"] = kind
    keep(door, made)
    (door.settings.paths.outbox / ".avatard-voices").write_text(json.dumps({"voices": []}))
    page = door.open.get(f"/ui/{place}").body.decode()
    told = re.search(
        r'<div id="live" hx-sse:connect="([^"]*)"[^>]*>\n(.*?)</div>\n(?:</main>|<h2>|<details|$)', page, re.S
    )
    assert told is not None, page
    stream, shown = told[1].replace("&amp;", "&"), told[2]
    # Both say the same, so that links lead to the same places; the stream has no boxes that are marked
    fragment = first_fragment(door.open.port, urljoin(f"/ui/{place}", stream))
    addresses = re.findall(r'(?:href|src|action)="([^"]*)"', shown)
    assert addresses
    assert re.findall(r'(?:href|src|action)="([^"]*)"', fragment) == addresses
    assert settled(fragment) == settled(shown)


def test_a_stream_ends_when_the_key_is_revoked(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_AGAIN_S", 0.0)
    monkeypatch.setattr(live, "LOOK_S", 0.05)
    anna = door.key("anna")
    cookie = signed_in(door, anna.key)
    connection = http.client.HTTPConnection("127.0.0.1", door.open.port, timeout=PATIENCE_S)
    connection.request("GET", "/ui/jobs/live", headers=cookie)
    answer = connection.getresponse()
    while not answer.readline().startswith(b"data: "):
        pass
    ApiKeys(door.settings.server.keys).revoke("anna")
    answer.read()  # it ends
    connection.close()
    assert door.open.send("GET", "/ui/jobs/live", headers=cookie).status != 200
