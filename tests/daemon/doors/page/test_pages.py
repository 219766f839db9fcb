"""The page works without scripts, lets in only whom it should, loses nothing that was typed or sent, and runs nobody's files."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from urllib.parse import urlencode

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.page import route_list
from daemon.doors.page.job_rows import new_priority
from daemon.doors.page.signed_in import _came_by_https
from daemon.errors import JobError
from daemon.history import store
from daemon.history.database import open_to_write, set_meta
from daemon.history.entry import Entry
from daemon.jobs.record import Job
from tests.conftest import PORTRAIT
from tests.daemon.doors.http.conftest import Door
from tests.support.http_door import Answer, Caller

PICTURE = PORTRAIT.read_bytes()


def post_form(caller: Caller, path: str, fields: dict[str, str], **headers: str) -> Answer:
    told = {"Content-Type": "application/x-www-form-urlencoded", **{k.replace("_", "-"): v for k, v in headers.items()}}
    return caller.send("POST", path, urlencode(fields).encode(), told)


def signed_in(door: Door, key: str) -> dict[str, str]:
    """The header of a browser that has signed in with a key."""
    answer = post_form(door.open, "/ui/login", {"key": key})
    assert answer.status == 303, answer.body
    cookie = SimpleCookie(answer.headers["set-cookie"])
    return {"Cookie": "; ".join(f"{name}={one.value}" for name, one in cookie.items())}


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of a page's form."""
    return dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))


@pytest.fixture
def pages(door: Door) -> list[tuple[str, str]]:
    """All pages that are there without a daemon."""
    paths = ("/ui/", "/ui/jobs", "/ui/jobs?tab=failed&q=x", "/ui/login", "/ui/nothing", "/ui/jobs/job-unknown")
    return [(path, door.open.get(path).body.decode()) for path in paths]


def test_every_address_in_a_page_is_relative_and_nothing_in_it_needs_a_laxer_policy(
    door: Door, pages: list[tuple[str, str]]
) -> None:
    for path, page in pages:
        addresses = re.findall(r'(?:href|src|action|formaction|hx-[\w:]+)="([^"]*)"', page)
        assert addresses, path
        assert [one for one in addresses if one.startswith("/") or "//" in one] == [], path
        assert re.findall(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", page) == [], path
    policy = door.open.get("/ui/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy


def test_the_script_of_streams_cannot_come_later_than_htmx_which_would_pass_over_every_stream(door: Door) -> None:
    scripts = re.findall(r'<script src="([^"]*)"', door.open.get("/ui/jobs").body.decode())
    assert scripts == ["./static/live.js", "./static/app.js"]
    live = door.open.get("/ui/static/live.js").body
    assert 0 <= live.find(b"registerExtension") < live.find(b'registerExtension("sse"')


def test_a_key_begins_a_session_that_ends_with_the_key_and_at_the_sign_out(door: Door) -> None:
    anna = door.key("anna")
    # Nobody who is not signed in sees a page, and is led to the sign-in and back
    answer = door.open.get("/ui/jobs?tab=done")
    assert (answer.status, answer.headers["location"]) == (303, "./login?next=jobs%3Ftab%3Ddone")
    assert post_form(door.open, "/ui/login", {"key": "avk_wrong"}).status == 401
    # The cookie cannot be read by scripts, is sent to no other site, and says nothing of the key
    cookie = post_form(door.open, "/ui/login", {"key": anna.key, "next": "jobs?tab=done"}).headers
    assert cookie["location"] == "./jobs?tab=done"
    assert "HttpOnly" in cookie["set-cookie"]
    assert "SameSite=strict" in cookie["set-cookie"]
    assert anna.key.split("_")[-1] not in cookie["set-cookie"]
    session = signed_in(door, anna.key)
    assert door.open.get("/ui/jobs", **session).status == 200
    assert post_form(door.open, "/ui/logout", {}, **session).status == 200
    assert door.open.get("/ui/jobs", **session).status == 303
    session = signed_in(door, anna.key)
    ApiKeys(door.settings.server.keys).revoke("anna")
    assert door.open.get("/ui/jobs", **session).status == 303


@pytest.mark.parametrize(
    ("peer", "headers", "secure"),
    [
        ("127.0.0.1", {}, False),
        ("127.0.0.1", {"x-forwarded-proto": "https"}, True),
        ("127.0.0.1", {"x-forwarded-proto": "http"}, False),
        ("192.0.2.7", {"x-forwarded-proto": "https"}, False),
        ("192.0.2.7", {"origin": "https://studio.example"}, True),
        (None, {"x-forwarded-proto": "https"}, True),
    ],
)
def test_the_cookie_is_for_https_alone_where_the_browser_or_a_proxy_of_this_machine_says_so(
    door: Door, peer: str | None, headers: dict[str, str], secure: bool
) -> None:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "scheme": "http", "path": "/ui/login", "query_string": b"", "headers": raw,
             "server": ("127.0.0.1", 8000), "client": peer and (peer, 1)}  # fmt: skip
    assert _came_by_https(Request(scope)) is secure
    if peer == "127.0.0.1":
        told = {name.replace("-", "_"): value for name, value in headers.items()}
        cookie = post_form(door.open, "/ui/login", {"key": door.key("anna").key}, **told).headers["set-cookie"]
        assert ("Secure" in cookie) is secure


@pytest.mark.parametrize("place", ["//evil.example", "https://evil.example", "\\\\evil.example", "javascript:alert(1)"])
def test_the_sign_in_leads_to_no_other_site(door: Door, place: str) -> None:
    answer = post_form(door.open, "/ui/login", {"key": door.key("anna").key, "next": place})
    assert answer.headers["location"] == "./"


def test_what_was_typed_and_sent_stays_when_something_is_wrong_and_is_one_job_when_it_is_right(door: Door) -> None:
    key = fields_of(door.open.get("/ui/").body.decode())["key"]
    parts = [("text", None, b"Hello <b>there</b>."), ("key", None, key.encode()), ("do", None, b"make")]
    # When a value is wrong
    wrong = door.open.post_parts(
        "/ui/", *parts, ("aspect", None, b"10:1"), ("image", "anna.png", PICTURE), ("audio", "", b"")
    )
    page = wrong.body.decode()
    # Then the page says so, keeps the text, and has the picture already
    assert wrong.status == 422
    assert "aspect: 4:1" in page
    assert "Hello &lt;b&gt;there&lt;/b&gt;.</textarea>" in page
    kept = fields_of(page)
    assert kept["key"] == key
    assert kept["kept_image_name"] == "anna.png"
    # And the mended form, sent twice as by a double click, is one job with this picture
    again = [*parts, ("kept_image", None, kept["kept_image"].encode())]
    answers = [door.open.post_parts("/ui/", *again) for _ in range(2)]
    assert [answer.status for answer in answers] == [303, 303]
    assert answers[0].headers["location"] == answers[1].headers["location"]
    (manifest,) = door.manifests
    made = yaml.safe_load((door.inbox / manifest).read_text())
    assert made["text"] == "Hello <b>there</b>."
    assert (door.inbox / made["image"]).read_bytes() == PICTURE


def test_other_peoples_jobs_are_not_shown_or_changed(door: Door) -> None:
    anna, ben = signed_in(door, door.key("anna").key), signed_in(door, door.key("ben").key)
    parts = [("text", None, b"Hello."), ("do", None, b"make"), ("key", None, b"k" * 32)]
    body_headers = {"Cookie": anna["Cookie"]}
    answer = door.open.post_parts("/ui/", *parts, **body_headers)
    job = answer.headers["location"].partition("jobs/")[2].partition("?")[0]
    assert door.open.get(f"/ui/jobs/{job}", **anna).status == 200
    assert door.open.get(f"/ui/jobs/{job}", **ben).status == 404
    assert post_form(door.open, f"/ui/jobs/{job}/do", {"op": "cancel"}, **ben).status == 404
    assert job not in door.open.get("/ui/jobs", **ben).body.decode()
    assert job in door.open.get("/ui/jobs", **anna).body.decode()
    read_only = signed_in(door, door.key("carl", "read").key)
    assert door.open.post_parts("/ui/", *parts, Cookie=read_only["Cookie"]).status == 403


def test_a_form_of_another_site_changes_nothing(door: Door) -> None:
    answer = post_form(door.open, "/ui/jobs/do", {"one": "cancel:x"}, Sec_Fetch_Site="cross-site")
    assert (answer.status, answer.code) == (403, "cross-site")


@given(st.integers(-100, 100), st.lists(st.integers(-100, 100), max_size=8))
def test_a_move_puts_a_job_where_its_button_says(present: int, others: list[int]) -> None:
    first, last = new_priority("first", present, others), new_priority("last", present, others)
    assert -100 <= last <= present <= first <= 100
    assert all(first > one or one == 100 for one in others)
    assert all(last < one or one == -100 for one in others)
    up, down = new_priority("up", present, others), new_priority("down", present, others)
    passed = [one for one in others if present <= one < up]
    assert len(set(passed)) <= 1
    assert down <= present <= up


def test_a_form_that_was_sent_and_is_changed_after_going_back_makes_another_job(door: Door) -> None:
    key = fields_of(door.open.get("/ui/").body.decode())["key"]

    def send(text: bytes, do: bytes = b"make") -> str:
        answer = door.open.post_parts("/ui/", ("text", None, text), ("key", None, key.encode()), ("do", None, do))
        assert answer.status == 303, answer.body
        return answer.headers["location"]

    first = send(b"Hello.")
    assert send(b"Hello, all.") == send(b"Hello, all.") != first
    assert send(b"Hello.") == first
    assert len(door.manifests) == 2


def test_a_draft_is_the_same_job_in_the_quality_of_a_draft(door: Door) -> None:
    parts = [
        ("text", None, b"Hello."),
        ("image", "anna.png", PICTURE),
        ("quality", None, b"high"),
        ("do", None, b"draft"),
    ]
    assert door.open.post_parts("/ui/", *parts).status == 303
    (manifest,) = door.manifests
    assert yaml.safe_load((door.inbox / manifest).read_text())["quality"] == "draft"


def test_a_failed_job_of_which_only_the_index_tells_has_its_page(door: Door) -> None:
    # Given a job whose status file is that of a later one of its name, or gone
    job = Job(
        id="job-20260102T030405Z-0a1b2c3d", name="hello", source="hello.yaml", by="anna", state="failed", stages=("tts",),
        accepted=1.0, finished=2.0, manifest={"kind": "speech", "text": "Hello."},
    )  # fmt: skip
    job.set_error(JobError("text-empty", "There is nothing to speak.", "Write words."), "tts")
    folder = door.settings.paths.history
    folder.mkdir(parents=True, exist_ok=True)
    connection = open_to_write(folder)
    store.apply(connection, [(job.id, Entry.of_job(job))])
    set_meta(connection, "complete", 1)
    connection.close()
    # Then its page tells what is known
    answer = door.open.get(f"/ui/jobs/{job.id}")
    assert answer.status == 200
    assert "There is nothing to speak." in answer.body.decode()


def test_what_goes_wrong_within_is_told_as_a_page_and_without_its_innards(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(route_list, "_values", lambda *_: 1 / 0)
    answer = door.open.get("/ui/jobs")
    assert (answer.status, answer.headers["content-type"]) == (500, "text/html; charset=utf-8")
    assert "The server made an error." in answer.body.decode()
    assert "division" not in answer.body.decode()


@pytest.mark.parametrize(
    "place", ["login", "jobs/do", "jobs/job-1/do", "batches/job-1/do", "system/pause", "voices/hear"]
)
def test_a_form_with_too_many_fields_is_refused_and_is_no_fault_of_the_server(door: Door, place: str) -> None:
    answer = post_form(door.open, f"/ui/{place}", {f"job{number}": "x" for number in range(2001)})
    assert answer.status == 413
    assert "more than 2000 fields" in answer.body.decode()


@pytest.mark.parametrize("place", ["", "avatars", "voices"])
def test_a_form_that_could_not_be_read_is_not_said_to_be_still_there(door: Door, place: str) -> None:
    answer = door.open.post_parts(f"/ui/{place}", ("name", None, b"Anna"), ("text", None, b"\xff"))
    page = answer.body.decode()
    assert answer.status == 400
    assert "is still here" not in page
    assert "go back: your browser still has them" in page
    # And scripts leave in the open page what the server has of it
    assert place or re.search(r'id="problem"[^>]* data-unread', page)


def test_an_unknown_button_makes_no_job_and_a_page_speaks_of_what_is_on_pages(door: Door) -> None:
    answer = door.open.post_parts("/ui/", ("text", None, b"Hello."), ("do", None, b"mkae"))
    assert answer.status == 400
    assert "Nothing is called &#39;mkae&#39; here." in answer.body.decode()
    assert door.manifests == []
    # And of many jobs that are marked, none is passed over; a long search does not lead to a page that refuses it
    marked = [("job", f"job-{number}") for number in range(1001)]
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode([("op", "cancel"), ("q", "x" * 5000), *marked]).encode()
    led = door.open.send("POST", "/ui/jobs/do", body, headers).headers["location"]
    assert "1001%20could%20not%20be%20changed" in led
    page = door.open.get(f"/ui/{led.removeprefix('../')}")
    assert page.status == 200
    assert "GET /jobs" not in page.body.decode()
    assert "The list of jobs shows those there are." in page.body.decode()
    # And a name is refused in one short sentence
    long = door.open.post_parts("/ui/", ("text", None, b"Hello."), ("name", None, b"n" * 5000))
    message = re.search(r'id="problem".*?</p>', long.body.decode(), re.DOTALL)
    assert message is not None
    assert len(message[0]) < 300
