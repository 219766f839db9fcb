"""The page in a real browser: on a phone and a desk, with and without scripts, by keys, while the service comes and goes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.app import create_app
from daemon.outbox import looks
from tests.conftest import PORTRAIT, Installation
from tests.daemon.doors.page.studio import NARROW, PHONE, Studio, check_usable
from tests.support.http_door import serving
from tests.support.machine.browser import axe, violations
from tests.support.machine.nginx import PLACE, behind_nginx, nginx

pytestmark = pytest.mark.usefixtures("processes")


def fill(page: Page, text: str) -> None:
    """Fill in the three fields of a first video; the second is the picture, the third stays as it is."""
    page.set_input_files("#image", PORTRAIT)
    page.fill("#text", text)


def test_a_first_video_takes_three_fields_and_is_told_when_it_is_there(studio: Studio) -> None:
    page = studio.open(size=PHONE)  # test_browser_connections.py makes one at a desk
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    fill(page, "Good morning.")
    page.locator("#verdict", has_text="This picture can be used.").wait_for()
    page.click("text=Hear it")
    page.locator("#heard audio").wait_for()
    page.click("#make")
    page.wait_for_url("**/jobs/job-*")
    page.locator("#result video").wait_for()
    page.locator("#said", has_text="is done.").wait_for()
    page.wait_for_function("document.querySelector('video').readyState >= 1")
    assert page.evaluate("document.querySelector('video').videoWidth") > 0
    assert wrong == []


def test_everything_works_without_scripts(studio: Studio) -> None:
    page = studio.open(scripts=False)
    fill(page, "Good evening.")
    page.click("text=More")
    page.fill("#name", "not/a name")
    page.click("text=Check the picture")
    assert page.inner_text("#verdict") == "This picture can be used."
    page.click("#make")
    # What is wrong is said, and nothing has to be typed or chosen again
    assert page.inner_text("#problem")
    assert page.input_value("#text") == "Good evening."
    assert page.inner_text("#kept-image").startswith("portrait.png is uploaded.")
    page.fill("#name", "plain")
    page.press("#name", "Enter")
    assert page.title().startswith("plain")
    # And the job that checked the picture is in its own list alone
    page.goto(f"{studio.address}jobs?tab=checks")
    assert page.locator("th", has_text=looks.PREFIX).count() > 0
    page.goto(f"{studio.address}jobs")
    assert page.locator("th", has_text=looks.PREFIX).count() == 0
    page.click("text=plain")
    assert page.inner_text("h1") == "plain"
    studio.one.avatar("jobs", "cancel", "plain", code=None)  # drawing the video would take seconds


def test_each_screen_is_whole_on_a_narrow_window_and_for_screen_readers(studio: Studio) -> None:
    studio.one.drop("broken.yaml", 'kind: speech\ntext: "[pause 1s]"\n')
    studio.one.drop("spoken.yaml", "kind: speech\ntext: Good night.\n")
    for job in ("broken", "spoken"):
        studio.one.finished(job)
    studio.wait_until_idle()
    for name, path in (("new", ""), ("jobs-empty", "jobs?tab=running"), ("jobs-nothing-found", "jobs?q=zzz")):
        check_usable(studio.open(path, NARROW), name)
    page = studio.open("jobs", NARROW)
    assert (violations(page) if axe() is not None else []) == []
    for job in ("broken", "spoken"):
        page.goto(f"{studio.address}jobs")
        page.click(f"text={job}")
        page.locator("h1", has_text=job).wait_for()
        check_usable(page, f"job-{job}")


@pytest.mark.skipif(axe() is None, reason="axe-core cannot be had here: npm is not installed")
def test_the_dark_page_can_be_read_and_used_too(studio: Studio) -> None:
    studio.one.drop("dark.yaml", "kind: speech\ntext: In the dark.\n")
    studio.one.drop("dark-broken.yaml", 'kind: speech\ntext: "[pause 1s]"\n')
    jobs = [f"jobs/{studio.one.finished(name)['job']}" for name in ("dark", "dark-broken")]
    page = studio.open(size=PHONE)
    page.emulate_media(color_scheme="dark")
    page.click("text=More")
    for path in ("", "jobs", *jobs):
        if path:
            page.goto(studio.address + path)
        assert violations(page) == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_a_stopped_service_is_said_under_an_open_page_and_forgotten_when_it_runs(studio: Studio) -> None:
    page = studio.open("jobs")
    assert page.locator(".warn").count() == 0
    studio.one.stop()
    page.locator(".warn", has_text="The service is stopped.").wait_for()
    studio.one.start()
    page.locator(".warn").wait_for(state="detached")


def test_the_list_is_used_by_keys_and_the_focus_stays_while_it_changes(studio: Studio) -> None:
    studio.one.drop("one.yaml", "kind: speech\ntext: First.\n")
    studio.one.finished("one")
    page = studio.open("jobs")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("j")
    focused = page.evaluate("document.activeElement.id")
    assert focused.startswith("name-job-")
    # When another job comes into the list
    studio.one.drop("two.yaml", "kind: speech\ntext: Second.\n")
    page.locator("th", has_text="two").wait_for()
    assert page.evaluate("document.activeElement.id") == focused
    page.keyboard.press("n")
    page.wait_for_url("**/ui/")


@pytest.mark.skipif(nginx() is None, reason="nginx cannot be had here")
def test_below_any_path_of_a_proxy_pages_and_their_streams_are_whole(studio: Studio, tmp_path: Path) -> None:
    port = int(studio.address.split(":")[2].split("/")[0])
    with behind_nginx(tmp_path / "nginx", port) as proxy:
        page = studio.open("jobs")
        page.goto(f"http://127.0.0.1:{proxy.port}{PLACE}/ui/jobs")
        studio.one.drop("behind.yaml", "kind: speech\ntext: Behind a proxy.\n")
        page.locator("th", has_text="behind").wait_for()
        page.click("text=behind")
        page.locator("#result audio").wait_for()
        page.context.close()


def test_whoever_has_a_key_signs_in_and_an_ended_session_loses_nothing(studio: Studio, tmp_path: Path) -> None:
    keyed = Installation(tmp_path, server={"user": str(os.geteuid())})
    settings = Settings.load(keyed.config)
    key = ApiKeys(settings.server.keys).add("anna", "submit")[1]
    with serving(create_app(settings)) as client:
        page = studio.open()
        page.goto(f"http://127.0.0.1:{client.port}/ui/jobs")
        assert page.title().startswith("Sign in")
        check_usable(page, "sign-in")
        page.fill("#key", key)
        page.click("main button")
        assert page.inner_text("h1") == "Jobs"
        page.goto(f"http://127.0.0.1:{client.port}/ui/")
        page.fill("#text", "A long text.")
        page.context.clear_cookies()
        page.click("#make")
        page.locator("#said", has_text="Your jobs go on.").wait_for()
        assert page.input_value("#text") == "A long text."


def test_the_list_says_once_which_job_is_done_and_marks_all_that_can_be_changed(studio: Studio) -> None:
    studio.one.avatar("pause", "--reason", "marks")
    try:
        for name in ("mark-one", "mark-two"):
            studio.one.drop(f"{name}.yaml", "kind: speech\ntext: Marked.\n")
        page = studio.open("jobs?q=mark")
        for name in ("mark-one", "mark-two"):
            page.locator("tr", has_text=name).get_by_role("button", name="Hold").wait_for()
        page.click("#mark")
        assert page.locator("[name=job]:checked").count() == 2
        # What is marked stays so while the list changes
        studio.one.drop("mark-three.yaml", "kind: speech\ntext: Marked.\n")
        page.locator("tr", has_text="mark-three").wait_for()
        assert page.locator("[name=job]:checked").count() == 2
        page.click("button[value=hold]:not([name=one])")
        page.locator("#said", has_text="2 jobs are held.").wait_for()
        assert "said=" not in page.url  # a reload does not say it again
        without = studio.open("jobs?q=mark", scripts=False)
        without.click("#mark")
        assert without.locator("[name=job]:checked").count() == 3
        without.click("button[value=cancel]:not([name=one])")
        page.locator("#said", has_text="is cancelled.").wait_for()
    finally:
        studio.one.avatar("resume")


def test_a_file_that_a_proxy_refuses_is_told_in_words_and_loses_nothing(studio: Studio) -> None:
    page = studio.open()
    page.route(
        "**/ui/", lambda route: route.fulfill(status=413, content_type="text/html", body="<h1>413 Too Large</h1>")
    )
    page.fill("#text", "Still here.")
    page.click("#make")
    page.locator("#said", has_text="This is more than the server lets through.").wait_for()
    page.set_input_files("#image", PORTRAIT)
    page.locator("#said", has_text="Send a smaller file").wait_for()
    assert page.input_value("#text") == "Still here."
