"""The page in a real browser when connections are slow, cut or many: uploads end cleanly, and what is shown is what is."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import PATIENCE_S, PORTRAIT, wait_for
from tests.daemon.doors.page.studio import DESK, PHONE, Studio
from tests.support.machine.nginx import PLACE, Nginx, nginx

pytestmark = pytest.mark.usefixtures("processes")
#: So slowly a browser sends in these tests, bytes a second: a recording of 4 MB is on its way for as long as a test looks at it.
SLOW = 50_000


class Line:
    """The line between a browser and a server, which can be cut and mended.

    Args:
        target: the server's port.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._whole = threading.Event()
        self._whole.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """End every connection, and let none through."""
        self._whole.clear()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Let connections through again."""
        self._whole.set()

    def close(self) -> None:
        """End it."""
        self.cut()
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._whole.is_set():
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [near, far]
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def line(studio: Studio) -> Iterator[Line]:
    one = Line(port_of(studio))
    yield one
    one.close()


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(os.urandom(4_000_000))
    return path


def port_of(studio: Studio) -> int:
    return int(studio.address.split(":")[2].split("/")[0])


def send_slowly(page: Page, text: str, recording: Path) -> None:
    """Fill in the form with a recording, press the button, and wait until it is on its way."""
    page.fill("#text", text)
    page.click("text=A recording in place of a voice")
    page.set_input_files("#audio", recording)
    network = page.context.new_cdp_session(page)
    network.send("Network.enable")
    limits = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": SLOW}
    network.send("Network.emulateNetworkConditions", limits)
    page.click("#make")
    expect(page.locator("#stop")).to_be_visible()


def wait_until_nothing_comes_in(studio: Studio) -> None:
    """Until no unfinished upload lies in the inbox."""
    wait_for("the unfinished upload to go", lambda: not list((studio.one.inbox / ".http").glob("new-*")))


def test_an_upload_that_is_stopped_or_left_by_a_reload_makes_no_job_and_loses_no_word(
    studio: Studio,
    recording: Path,
) -> None:
    before = sorted(studio.one.outbox.glob("*.json"))
    page = studio.open()
    send_slowly(page, "Kept while it is stopped.", recording)
    page.click("#stop")
    expect(page.locator("#said")).to_contain_text("Sending was stopped.")
    expect(page.locator("#make")).to_be_enabled()
    assert page.input_value("#text") == "Kept while it is stopped."
    assert page.evaluate("document.querySelector('#audio').files.length") == 1
    wait_until_nothing_comes_in(studio)
    page.click("#make")
    expect(page.locator("#stop")).to_be_visible()
    page.reload()
    assert page.input_value("#text") == "Kept while it is stopped."
    wait_until_nothing_comes_in(studio)
    assert sorted(studio.one.outbox.glob("*.json")) == before


def test_a_picture_that_was_checked_need_not_be_chosen_again_after_a_reload(studio: Studio) -> None:
    page = studio.open()
    page.set_input_files("#image", PORTRAIT)
    page.locator("#verdict", has_text="This picture can be used.").wait_for()
    page.fill("#text", "After a reload.")
    page.reload()
    expect(page.locator("#kept-image")).to_contain_text("portrait.png is uploaded.")
    page.click("button[value=draft]")
    page.wait_for_url("**/jobs/job-*")
    page.locator("#result video").wait_for()


def test_a_page_whose_line_was_cut_shows_what_is_when_it_is_mended(studio: Studio, line: Line) -> None:
    page = studio.open()
    page.goto(f"http://127.0.0.1:{line.port}/ui/jobs?tab=all")
    page.evaluate("window.same = true")
    studio.one.drop("before-the-cut.yaml", "kind: speech\ntext: Before.\n")
    page.locator("th", has_text="before-the-cut").wait_for()
    line.cut()
    studio.one.drop("in-the-cut.yaml", "kind: speech\ntext: Meanwhile.\n")
    studio.one.finished("in-the-cut")
    assert page.locator("th", has_text="in-the-cut").count() == 0
    line.mend()
    row = page.locator("tr", has_text="in-the-cut")
    row.get_by_text("Done").wait_for()
    assert page.evaluate("window.same") is True  # by the stream alone


@pytest.mark.skipif(nginx() is None, reason="nginx cannot be had here")
def test_a_page_behind_a_proxy_that_was_stopped_shows_what_is_when_it_is_back(studio: Studio, tmp_path: Path) -> None:
    proxy = Nginx(tmp_path / "nginx", port_of(studio))
    try:
        page = studio.open()
        page.goto(f"http://127.0.0.1:{proxy.port}{PLACE}/ui/jobs?tab=all")
        page.evaluate("window.same = true")
        studio.one.drop("before-the-stop.yaml", "kind: speech\ntext: Before.\n")
        page.locator("th", has_text="before-the-stop").wait_for()
        proxy.stop()
        studio.one.drop("in-the-stop.yaml", "kind: speech\ntext: Meanwhile.\n")
        studio.one.finished("in-the-stop")
        assert page.locator("th", has_text="in-the-stop").count() == 0
        proxy.start()
        page.locator("tr", has_text="in-the-stop").get_by_text("Done").wait_for()
        assert page.evaluate("window.same") is True  # by the stream alone
        page.context.close()
    finally:
        proxy.stop()


def test_what_is_done_in_one_tab_is_seen_in_the_other_and_leaves_all_other_jobs(studio: Studio) -> None:
    studio.one.avatar("pause", "--reason", "two tabs")
    try:
        for name in ("stays", "goes"):
            studio.one.drop(f"{name}.yaml", f"kind: speech\ntext: This one {name}.\n")
        one, other = studio.open("jobs?tab=waiting", DESK), studio.open("jobs?tab=waiting", PHONE)
        for page in (one, other):
            page.set_default_timeout(PATIENCE_S * 1000)
            for name in ("stays", "goes"):
                page.locator("th a", has_text=name).wait_for()
        one.locator("tr", has_text="goes").get_by_role("button", name="Cancel goes").click()
        other.locator("th a", has_text="goes").wait_for(state="detached")
        assert other.locator("th a", has_text="stays").count() == 1
    finally:
        studio.one.avatar("resume")
    assert studio.one.finished("stays")["state"] == "done"
    assert studio.one.finished("goes")["state"] == "cancelled"
