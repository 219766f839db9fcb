"""Whoever waits for a job by webhook is told of its end, once at least, and can believe it; nobody else can be reached so."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from daemon.cli.commands.hooks import SHOWN, _told
from daemon.config.hooks import Hook, Hooks, check_notify
from daemon.doors.hooks.addresses import is_public
from daemon.doors.hooks.deliver import DELAYS_S, Outcome, deliver, next_attempt
from daemon.doors.hooks.message import trial
from daemon.doors.hooks.store import Delivery
from daemon.doors.hooks.web import _seconds
from daemon.errors import JobError
from tests.daemon.doors.hooks.conftest import Place
from tests.support.daemon.receiver import Receiver

Make = Callable[..., Receiver]
SECRETS = [f"whsec_{base64.b64encode(bytes([n]) * 32).decode()}" for n in range(2)]


def hook(url: str, **more: Any) -> dict[str, Any]:
    return {"name": "studio", "url": url, "allow": ["127.0.0.1"], **more}


def one_attempt(proxy: str = "", **keys: Any) -> Outcome:
    """Send the trial message to a hook once."""
    message, made = trial(), Hook(**{"name": "studio", **keys})
    delivery = Delivery(0, message.id, "studio", "", message.type, None, "test", "done", "", message.body(made), "waiting",
                        0.0, 0.0, 0, None, "")  # fmt: skip
    return deliver(delivery, Hooks(targets=[made], proxy=proxy))


def test_the_signature_is_what_the_published_library_expects_by_the_new_secret_and_by_the_old(
    place: Place, receiver: Make
) -> None:
    # Given a hook with two secrets, as while they are exchanged
    (place.root / "secret").write_text("\n".join(SECRETS))
    studio = receiver()
    place.configure(hook(studio.url, secret_file="secret"))
    # When a job ends
    with place.run():
        job = place.end("hello", manifest={"metadata": {"tags": ["a"], "order": 7}})
        place.deliveries(1)
    # Then both secrets prove the message
    (got,) = studio.received
    for secret in SECRETS:
        told = Webhook(secret).verify(got.body, got.headers)
    # And it says which job, and all that its status says
    assert told["type"] == "job.done"
    assert (told["data"]["job"], told["data"]["name"], told["data"]["state"]) == (job, "hello", "done")
    assert told["data"]["outputs"][-1]["file"] == "hello.wav"
    assert told["data"]["tags"] == ["a", "order=7"]
    assert got.headers["webhook-id"].startswith(f"{job}-done-")
    assert "." not in got.headers["webhook-id"]  # the signature's separator


def test_what_is_not_taken_is_sent_again_with_the_same_id_and_once_taken_no_more(place: Place, receiver: Make) -> None:
    # Given a receiver that fails twice
    studio = receiver(lambda number: (500 if number < 2 else 204, {}, b"out of order"))
    place.configure(hook(studio.url))
    with place.run():
        # When a job ends / Then it is told until the receiver takes it
        place.end("hello")
        (done,) = place.deliveries(1)
        assert done.attempts == 3
        # And what comes after finds nothing more to send of the first
        place.end("second")
        place.deliveries(2)
    first, second, third, fourth = (one.headers["webhook-id"] for one in studio.received)
    assert first == second == third != fourth
    assert studio.received[0].body == studio.received[2].body


def test_attempts_go_on_for_days_at_growing_distances_and_as_the_receiver_asks() -> None:
    moments, now = [], 0.0
    for attempt in range(1, len(DELAYS_S) + 1):
        due = next_attempt(Outcome(False, ""), attempt, now)
        assert due is not None
        moments.append(due - now)
        now = due
    assert 3 * 86_400 < now < 5 * 86_400
    assert moments == sorted(moments)
    assert next_attempt(Outcome(False, ""), len(DELAYS_S) + 1, now) is None
    # And a receiver that is busy is left alone as long as it asks, within a day
    assert (next_attempt(Outcome(False, "", wait_s=900), 1, 0.0) or 0) >= 900
    assert (next_attempt(Outcome(False, "", wait_s=10**7), 1, 0.0) or 0) <= 86_400 * 1.2
    # By a date as well
    assert 900 < _seconds(formatdate(time.time() + 1000, usegmt=True)) <= 1000
    assert (_seconds(formatdate(0, usegmt=True)), _seconds("soon"), _seconds(None)) == (0, 0, 0)
    # And one that is gone is not asked again
    assert next_attempt(Outcome(False, "", final=True), 1, 0.0) is None


def test_an_answer_that_asks_to_wait_until_an_impossible_date_is_an_answer_as_others(receiver: Make) -> None:
    for date in ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", "Mon, 01 Jan 2024 00:00:00 +99999999999999999"):
        taken = receiver(lambda number, date=date: (200, {"Retry-After": date}, b""))
        assert one_attempt(url=taken.url, allow=["127.0.0.1"]).delivered
    assert _seconds("Fri, 31 Dec 9999 23:59:59 -2359") > 0


def test_a_fault_of_ours_is_an_attempt_too_so_that_it_has_an_end(
    receiver: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("daemon.doors.hooks.deliver.post", fail)
    outcome = one_attempt(url="https://studio.example.com")
    assert (outcome.delivered, outcome.final) == (False, False)
    assert "RuntimeError: no such thing" in outcome.note


def test_what_a_clock_that_was_ahead_put_off_is_due_when_it_is_right(place: Place) -> None:
    # Given a hook that began, and a delivery that failed, while the clock was a year ahead
    now = time.time()
    ahead = now + 365 * 86_400.0
    place.store.path.parent.mkdir()
    place.store.create(ahead)
    place.store.note_end("job-1", 0, 0, [{"id": "1", "hook": "studio", "url": "", "type": "job.done", "job": "job-1",
                                          "name": "hello", "job_state": "done", "output": "", "body": b"{}"}])  # fmt: skip
    (one,) = place.store.find()
    place.store.note_attempt(one.number, "waiting", ahead, "no answer", ahead)
    # When the clock is set right, then it is due, and the ends of jobs from now on are told
    assert [due.number for due in place.store.due(now, 5, (), ())] == [one.number]
    place.store.create(now)
    assert place.store.since() == now
    # And what waits for its last attempt waits on
    place.store.note_attempt(one.number, "waiting", now + DELAYS_S[-1] * 1.2, "no answer", now)
    assert place.store.due(now, 5, (), ()) == []


def test_what_is_given_up_is_listed_and_goes_out_when_somebody_wants_it_again(place: Place, receiver: Make) -> None:
    # Given a receiver that wants nothing any more
    answers = [410, 204]
    studio = receiver(lambda number: (answers[number], {}, b""))
    place.configure(hook(studio.url), keep_days=0.0)
    with place.run():
        job = place.end("hello")
        (dead,) = place.deliveries(1, "dead")
        assert "410" in dead.note
        # When it wants it after all
        place.store.retry([one.number for one in place.store.find(wanted=job)], time.time())
        # Then it gets it
        assert place.deliveries(1)[0].id == dead.id
    assert len(place.store.find(limit=SHOWN)) == 1


def test_a_redirect_is_not_followed(receiver: Make) -> None:
    inside = receiver()
    outside = receiver(lambda number: (307, {"Location": inside.url}, b""))
    outcome = one_attempt(url=outside.url, allow=["127.0.0.1"])
    assert not outcome.delivered
    assert "redirect" in outcome.note
    assert (len(outside.received), inside.connections) == (1, 0)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "2130706433", "0x7f.1", "localhost", "0.0.0.0", "169.254.169.254", "10.0.0.1", "172.16.3.4", "192.168.1.1",
        "100.100.100.200", "224.0.0.1", "255.255.255.255", "[::1]", "[::]", "[fd00:ec2::254]", "[fe80::1]", "[ff02::1]",
        "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:7f00:1::]", "[::127.0.0.1]", "[2001:0:1::1]",
    ],
)  # fmt: skip
def test_an_address_within_is_refused_however_it_is_written(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: pytest.fail("it was connected to"))
    outcome = one_attempt(url=f"http://{host}/latest/meta-data")
    # It is tried again like all else: a resolver may be wrong for a while, and `allow` may be set after the first message
    assert (outcome.delivered, outcome.final) == (False, False), outcome
    assert "not a public address" in outcome.note


def test_public_addresses_are_none_of_those() -> None:
    for text in (
        "93.184.215.14",
        "2606:2800:21f:cb07:6820:80da:af6b:8b2c",
        "64:ff9b::5db8:d70e",
        "2002:5db8:d70e::",
        "::ffff:93.184.215.14",
    ):
        assert is_public(ip_address(text)), text


def test_a_name_is_judged_by_its_addresses_and_the_connection_goes_to_the_one_that_was_judged(
    receiver: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio, asked = receiver(), list[str]()
    resolves_to = ["10.0.0.7"]

    def resolver(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in resolves_to]

    reached = list[str]()

    def connect(address: tuple[str, int], **_: Any) -> socket.socket:
        reached.append(address[0])
        resolves_to[:] = ["169.254.169.254"]  # the name leads elsewhere from now on
        one = socket.socket()
        one.connect(("127.0.0.1", studio.port))
        return one

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    # A name of a private address is refused
    assert "10.0.0.7" in one_attempt(url=f"http://inner.example:{studio.port}/").note
    assert asked == ["inner.example"]
    # Of several addresses, only the public one is connected to, and the name is not asked for again
    resolves_to[:] = ["10.0.0.7", "93.184.215.14"]
    monkeypatch.setattr(socket, "create_connection", connect)
    assert one_attempt(url=f"http://outer.example:{studio.port}/").delivered
    assert reached == ["93.184.215.14"]
    assert asked == ["inner.example", "outer.example"]
    assert studio.received[0].headers["host"] == f"outer.example:{studio.port}"


@pytest.mark.usefixtures("processes")
def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path: Path, receiver: Make) -> None:
    import ssl

    pair = [str(tmp_path / name) for name in ("key.pem", "cert.pem")]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", pair[0], "-out", pair[1]],
                   check=True, capture_output=True)  # fmt: skip
    studio = receiver()
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair[1], pair[0])
    studio.server.socket = tls.wrap_socket(studio.server.socket, server_side=True)
    outcome = one_attempt(url=f"https://127.0.0.1:{studio.port}/", allow=["127.0.0.1"])
    assert not outcome.delivered
    assert "certificate" in outcome.note
    assert studio.received == []


@pytest.mark.parametrize(
    ("url", "first"),
    [
        ("http://studio.invalid/told?by=a", b"POST http://studio.invalid/told?by=a HTTP/"),
        ("https://studio.invalid/told", b"CONNECT studio.invalid:443 HTTP/"),
        ("https://[2606:4700::1111]:8443/told", b"CONNECT [2606:4700::1111]:8443 HTTP/"),
        ("http://[2606:4700::1111]/told", b"POST http://[2606:4700::1111]/told HTTP/"),
    ],
)
def test_a_message_goes_through_the_proxy_that_is_named(url: str, first: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor(1) as other:
        asked = other.submit(answer_once, proxy)
        outcome = one_attempt(proxy=f"http://127.0.0.1:{proxy.getsockname()[1]}", url=url)
        assert asked.result().startswith(first)
        assert not outcome.delivered
        assert "403" in outcome.note


def test_tls_begins_behind_the_proxy_that_has_connected() -> None:
    def connect(listener: socket.socket) -> bytes:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(60)
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n")
            return connection.recv(2)

    with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor(1) as other:
        begun = other.submit(connect, proxy)
        outcome = one_attempt(proxy=f"http://127.0.0.1:{proxy.getsockname()[1]}", url="https://studio.invalid/told")
        assert begun.result() == b"\x16\x03"
        assert not outcome.delivered


def test_what_is_allowed_within_goes_past_the_proxy_and_what_is_not_never_to_it(receiver: Make) -> None:
    studio = receiver()
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        at = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        assert one_attempt(proxy=at, url=studio.url, allow=["127.0.0.1"]).delivered
        assert "not a public address" in one_attempt(proxy=at, url=studio.url).note
        proxy.settimeout(0)
        with pytest.raises(BlockingIOError):
            proxy.accept()


def answer_once(listener: socket.socket) -> bytes:
    """Refuse one request, as a proxy does; returns its head."""
    listener.settimeout(60)
    connection, _ = listener.accept()
    with connection:
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass
        return head


def attempt_at_one_that_drips(first: bytes) -> Outcome:
    """Send the trial message to a receiver that answers a beginning, and then a byte now and then without end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            peer, _ = listener.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(first)
                while True:
                    peer.sendall(b"H")
                    time.sleep(0.02)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        outcome = one_attempt(url=f"http://127.0.0.1:{listener.getsockname()[1]}/", allow=["127.0.0.1"], timeout_s=0.2)
        thread.join()
    return outcome


def test_a_message_that_was_taken_is_not_sent_again_as_the_text_of_the_answer_has_no_end_or_breaks_off(
    receiver: Make,
) -> None:
    assert attempt_at_one_that_drips(b"HTTP/1.1 200 OK\r\n\r\n").delivered
    broken = receiver(lambda number: (200, {"Transfer-Encoding": "chunked"}, b"no chunk"))
    assert one_attempt(url=broken.url, allow=["127.0.0.1"]).delivered


def test_a_receiver_that_answers_without_end_is_left(receiver: Make) -> None:
    # Given one that sends a byte now and then, each before any time limit of a socket, and one whose answer is endless
    outcome = attempt_at_one_that_drips(b"H")
    assert (outcome.delivered, outcome.note) == (False, "No answer came in time.")
    large = receiver(lambda number: (200, {}, b"x" * 10**7))
    outcome = one_attempt(url=large.url, allow=["127.0.0.1"])
    assert outcome.delivered
    assert len(outcome.output) == 4096


def test_a_job_tells_only_the_hosts_that_the_configuration_allows(place: Place, receiver: Make) -> None:
    # Given an allowed host, and jobs that name it and none, and one that is refused for the host that it names
    studio, other = receiver(), receiver()
    place.configure(callbacks={"127.0.0.1": {"allow": ["127.0.0.1"], "plain_http": True}})
    with place.run():
        place.end("elsewhere", manifest={"notify": other.url.replace("127.0.0.1", "localhost")})
        place.end("none")
        place.end("allowed", manifest={"notify": studio.url})
        (done,) = place.deliveries(1)
    # Then only the first is told
    assert (done.name, done.hook) == ("allowed", "notify:127.0.0.1")
    assert (len(studio.received), other.connections) == (1, 0)
    assert place.store.counts().keys() == {"notify:127.0.0.1"}
    assert json.loads(studio.received[0].body)["data"]["name"] == "allowed"


def test_a_host_that_jobs_may_name_is_not_told_as_one_that_is_not_configured() -> None:
    hooks = Hooks.model_validate({"callbacks": {"studio.example.com": {}}})
    assert "by `notify`" in _told("notify:studio.example.com", None, hooks)["does"]
    assert _told("notify:gone.example.com", None, hooks)["does"] == "not in the configuration"


def test_a_job_that_names_an_allowed_host_by_http_is_told_which_setting_allows_that() -> None:
    hooks = Hooks.model_validate({"callbacks": {"studio.example.com": {}}})
    with pytest.raises(JobError) as plain:
        check_notify("http://studio.example.com/17", hooks)
    assert "`plain_http: true`" in str(plain.value.hint)
    with pytest.raises(JobError) as other:
        check_notify("http://other.example.com/17", hooks)
    assert "name the host in `hooks.callbacks`" in str(other.value.hint)


def test_a_host_that_is_not_found_is_told_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **more: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    outcome = one_attempt(url="https://nowhere.example/")
    assert outcome.note == "The address of the host cannot be looked up: Name or service not known."
