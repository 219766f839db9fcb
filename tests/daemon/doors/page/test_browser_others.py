"""Batches, avatars, voices and the system in a real browser."""

from __future__ import annotations

import base64
import json
import shutil
import zipfile
from pathlib import Path

import pytest

from tests.conftest import PORTRAIT, wait_for
from tests.daemon.doors.page.studio import DESK, NARROW, PHONE, Studio, check_usable
from tests.support.machine.browser import axe, violations

pytestmark = pytest.mark.usefixtures("processes")
WIDTHS = "document.documentElement.scrollWidth <= innerWidth"


def drop_batch(studio: Studio, name: str, cells: str) -> str:
    """Drop a table of speeches; returns the id of the batch when it is taken in."""
    (studio.one.inbox / f"{name}.csv").write_text(cells)
    template = {"kind": "speech", "text": "{{text}}", "output": f"{name}-{{{{name}}}}"}
    told = {"kind": "batch", "rows": f"{name}.csv", "accept_partial": True, "template": template}
    studio.one.drop(f"{name}.yaml", json.dumps(told))

    def look() -> str:
        status = studio.one.status(name) or {}
        return str(status.get("job") or "") if status.get("kind") == "batch" else ""

    return wait_for(f"{name} to be taken in", look)


def test_a_batch_is_followed_row_by_row_and_its_results_are_saved_in_one_file(studio: Studio) -> None:
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


def test_an_avatar_is_made_and_removed_and_a_voice_heard_without_scripts(studio: Studio) -> None:
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


def test_a_pause_is_ordered_on_the_page_and_told_on_every_other(studio: Studio) -> None:
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


def test_the_doctor_is_asked_on_the_page(studio: Studio, modules: Path) -> None:
    # Given engines whose packages cannot be imported, as each takes the doctor seconds
    for name in ("mediapipe", "numpy", "onnxruntime"):
        (modules / f"{name}.py").write_text("import nowhere")
    page = studio.open("system", DESK, scripts=False)
    page.click("#check")
    assert page.locator("tr", has_text="ffmpeg").count() >= 1
    assert "Good" in page.inner_text("main")


def test_a_dropped_table_is_shown_at_once_and_its_batch_is_made_when_it_is_mended(
    studio: Studio, tmp_path: Path
) -> None:
    wrong, right = tmp_path / "wrong.csv", tmp_path / "right.csv"
    wrong.write_text("name,place\nAnna,Bern\nBen,\n")
    right.write_text("name,place\nAnna,Bern\nBen,Ulm\n")
    page = studio.open("", PHONE)
    page.fill("#text", "Hello {{name}} of {{place}}.")
    page.click("text=Many at once, from a table")
    page.set_input_files("#rows", wrong)
    page.locator("#table-look", has_text="1 of 2 rows is wrong.").wait_for()
    page.click("#make")
    # The error has the focus, and leads to the field, which says the same
    page.locator("#problem", has_text="A row is wrong, so nothing was made of any.").wait_for()
    assert page.evaluate("document.activeElement.id") == "problem"
    page.click("#problem a")
    assert page.evaluate("document.activeElement.id") == "rows"
    assert page.get_attribute("#rows", "aria-invalid") == "true"
    if axe() is not None:
        assert violations(page) == []
    page.set_input_files("#rows", right)
    page.locator("#table-look", has_text="2 rows: each becomes a sound.").wait_for()
    check_usable(page, "new-table")
    # A reload keeps it in sight, and it can be left out and brought again
    page.reload()
    page.locator("#table-look", has_text="2 rows: each becomes a sound.").wait_for()
    page.click("text=Leave it out")
    assert page.inner_text("#make") == "Make video"
    page.set_input_files("#rows", right)
    page.locator("#table-look", has_text="2 rows").wait_for()
    page.click("text=Make one for each row")
    page.wait_for_url("**/batches/job-*")
    page.locator("#live", has_text="2 of 2 rows are done.").wait_for()


#: Hands a file to the page as a drop anywhere on it, or as a paste: event, type and field of its files, content in base64.
GIVE = """([event, held, name, content]) => {
    const files = new DataTransfer();
    files.items.add(new File([Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0))], name, {type: "image/png"}));
    const made = new Event(event, {bubbles: true, cancelable: true});
    made[held] = files;
    document.querySelector("h1").dispatchEvent(made);
}"""


def test_a_picture_is_dropped_anywhere_or_pasted_and_an_open_list_of_avatars_shows_what_is_made(studio: Studio) -> None:
    content = base64.b64encode(PORTRAIT.read_bytes()).decode()
    for event, held, name in (("drop", "dataTransfer", "dropped.png"), ("paste", "clipboardData", "pasted.png")):
        page = studio.open()
        page.evaluate(GIVE, [event, held, name, content])
        page.locator("#verdict", has_text="This picture can be used.").wait_for()
        assert page.inner_text("#kept-image").startswith(f"{name} is uploaded.")
    # And a list of avatars that is open shows a new one without a reload
    other = studio.open("avatars", PHONE)
    shutil.copy(PORTRAIT, studio.one.inbox / "live.png")
    studio.one.drop("live.yaml", "kind: avatar\nimage: live.png\nprofile: {name: Live}\n")
    other.locator(".card h2", has_text="Live").wait_for()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "plain"])
def test_what_is_marked_is_saved_and_the_list_stays(studio: Studio, scripts: bool) -> None:
    name = f"to-save-{scripts}".lower()
    studio.one.drop(f"{name}.yaml", "kind: speech\ntext: Saved.\n")
    studio.one.finished(name)
    page = studio.open(f"jobs?q={name}&sort=-time", scripts=scripts)
    page.check("[name=job]")
    for button, file in (("zip", "jobs.zip"), ("csv", "jobs.csv")):
        with page.expect_download() as saved:
            page.click(f"button[value={button}]")
        assert saved.value.suggested_filename == file
    assert name in saved.value.path().read_text("utf-8-sig")
    assert page.inner_text("h1") == "Jobs"
    page.click("#sort-time")
    assert page.get_attribute("th:has(#sort-time)", "aria-sort") == "ascending"
    if axe() is not None and scripts:
        assert violations(page) == []
