"""Batches, avatars, voices and the system in a real browser."""

from __future__ import annotations

import json
import zipfile

import pytest

from tests.conftest import PORTRAIT, wait_for
from tests.daemon.doors.page.test_browser import DESK, NARROW, PHONE, Studio, check_usable, studio  # noqa: F401 (a fixture)
from tests.support.machine.browser import axe, unavailable, violations

pytestmark = [
    pytest.mark.usefixtures("processes"),
    pytest.mark.skipif(unavailable() is not None, reason=str(unavailable())),
]
WIDTHS = "document.documentElement.scrollWidth <= innerWidth"


def drop_batch(studio: Studio, name: str, cells: str) -> str:  # noqa: F811
    """Drop a table of speeches; returns the id of the batch when it is taken in."""
    (studio.one.inbox / f"{name}.csv").write_text(cells)
    template = {"kind": "speech", "text": "{{text}}", "output": f"{name}-{{{{name}}}}"}
    told = {"kind": "batch", "rows": f"{name}.csv", "accept_partial": True, "template": template}
    studio.one.drop(f"{name}.yaml", json.dumps(told))

    def look() -> str:
        status = studio.one.status(name) or {}
        return str(status.get("job") or "") if status.get("kind") == "batch" else ""

    return wait_for(f"{name} to be taken in", look)


def test_a_batch_is_followed_row_by_row_and_its_results_are_saved_in_one_file(studio: Studio) -> None:  # noqa: F811
    # Given a batch whose rows wait, and whose third row is wrong
    studio.one.avatar("pause", "--reason", "a look")
    job = drop_batch(studio, "greetings", "name,text\nanna,Good morning.\nben,Good evening.\ncarl,\n")
    page = studio.open(f"batches/{job}", PHONE)
    page.locator("#live", has_text="Its rows are not checked yet.").wait_for()
    # When they run, the open page shows it
    studio.one.avatar("resume")
    page.locator("#live", has_text="2 of 2 rows are done.").wait_for()
    page.locator("#zip").wait_for()
    with page.expect_download() as saved:
        page.click("#zip")
    with zipfile.ZipFile(saved.value.path()) as archive:
        assert sorted(archive.namelist()) == ["greetings-anna.wav", "greetings-ben.wav", "greetings.report.csv"]
        assert archive.testzip() is None
    page.click("text=Failed")
    assert page.locator("#live tbody tr").count() == 1
    page.goto(f"{studio.address}batches/{job}?show=failed")
    check_usable(page, "batch-failed-rows")
    # And it works without scripts
    page = studio.open("jobs?q=greetings.csv", NARROW, scripts=False)
    page.click("text=Batches")
    page.click("text=greetings")
    assert "2 of 2 rows are done." in page.inner_text("#live")


def test_an_avatar_is_made_and_removed_and_a_voice_heard_without_scripts(studio: Studio) -> None:  # noqa: F811
    page = studio.open("avatars", NARROW, scripts=False)
    page.click("text=Add an avatar")
    page.set_input_files("#image", PORTRAIT)
    page.fill("#name", "Zoë")
    page.fill("#consent", "Zoë, by letter")
    page.click("#make")
    assert studio.one.finished(page.inner_text("h1"))["state"] == "done"
    page.goto(f"{studio.address}avatars")
    assert "Consent: Zoë, by letter." in page.inner_text(".card")
    assert page.evaluate("document.querySelector('.face').naturalWidth") > 0
    page = studio.open("avatars", NARROW)
    check_usable(page, "avatars")
    page.click("text=Remove")
    page.click("#remove")
    assert page.locator(".card").count() == 0
    page = studio.open("voices", NARROW, scripts=False)
    page.fill("#text", "Do you hear me?")
    page.click("text=Hear it")
    page.locator(".card audio").wait_for()
    assert page.input_value("#text") == "Do you hear me?"


def test_a_pause_is_ordered_on_the_page_and_told_on_every_other(studio: Studio) -> None:  # noqa: F811
    other = studio.open("jobs")
    page = studio.open("system", NARROW)
    page.fill("#reason", "a new disk")
    page.click("#pause")
    for one in (page, other):
        one.locator(".warn", has_text="a new disk").wait_for()
    if axe() is not None:
        assert violations(page) == []
    assert page.evaluate(WIDTHS)
    page.click("text=Let it go on")
    for one in (page, other):
        one.locator(".warn").wait_for(state="detached")


@pytest.mark.usefixtures("modules")
def test_the_doctor_is_asked_on_the_page(studio: Studio) -> None:  # noqa: F811
    page = studio.open("system", DESK, scripts=False)
    page.click("#check")
    assert page.locator("tr", has_text="ffmpeg").count() >= 1
    assert "Good" in page.inner_text("main")
