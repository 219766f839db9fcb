"""What tests of the page in a real browser share: a running daemon with its page, and a look at what people can use of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.conftest import PATIENCE_S, Installation, wait_for
from tests.support.machine.browser import axe, violations

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE, DESK, NARROW = (390, 844), (1280, 800), (320, 640)
GOLDEN = Path(__file__).parent / "golden"


@dataclass
class Studio:
    """A running daemon and the address of its page, which asks for no key; `keyed` asks for one, `key`."""

    one: Installation
    address: str
    browser: Browser

    def open(self, path: str = "", size: tuple[int, int] = DESK, *, scripts: bool = True) -> Page:
        """A page, in a window of its own."""
        view = {"width": size[0], "height": size[1]}
        page = self.browser.new_context(viewport=view, java_script_enabled=scripts).new_page()  # type: ignore[arg-type]
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(self.address + path)
        return page

    def wait_until_idle(self) -> None:
        """Until no job runs or waits."""

        def ended() -> bool:
            states = [(self.one.status(path.stem) or {}).get("state") for path in self.one.outbox.glob("*.json")]
            return not {"waiting", "queued", "running", "held"} & set(states)

        wait_for("all jobs to end", ended)


def check_usable(page: Page, name: str) -> None:
    """Nothing keeps people out, nothing is wider than the window, and the tree that screen readers see is as it was."""
    if axe() is not None:
        assert violations(page) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
    seen = re.sub(r"job-\d{8}T\d{6}Z-[0-9a-f]{8}", "JOB", page.locator("body").aria_snapshot())
    seen = re.sub(r"(just now|\d+ (s|min) ago)", "AGO", seen)
    seen = seen.replace("less than 1 s", "0 s")
    seen = re.sub(r"\(\d+(\.\d)? (bytes|kB|MB)\)", "(SIZE)", re.sub(r"\b\d+ s\b", "N s", seen))
    seen = re.sub(
        r"handed in by \S+", "handed in by SOMEBODY", re.sub(r"- '?option \"hibari.*", "- option VOICE", seen)
    )
    seen = re.sub(r'(Running|Waiting|Done|Failed|All) \d+"', r'\1 N"', re.sub(r"ap-[0-9a-f]{8}", "PROFILE", seen))
    seen = re.sub(r"(Handed in by) \w+", r"\1 WHO", re.sub(r"\d+ of the latest \d+ jobs", "N of N jobs", seen))
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("AVATAR_WRITE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(seen + "\n")
    assert seen == golden.read_text().rstrip("\n"), name
