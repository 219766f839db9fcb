"""A real browser: Debian's chromium, driven by playwright, and axe-core, which looks for what keeps people out."""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.endurance import FULL
from tests.support.machine.debs import CACHE

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

#: The version of axe-core, and npm's own digest of its package.
AXE = ("4.14.1", "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==")
_FETCH_S = 180


def unavailable() -> str | None:
    """Return why there is no browser; None where there is one."""
    if shutil.which("chromium") is None:
        return "chromium is not installed (Debian: apt-get install chromium)"
    return None


@contextlib.contextmanager
def browsing() -> Iterator[Browser]:
    """Run the browser."""
    from playwright.sync_api import sync_playwright  # 0.4 s, which tests without a browser do not spend

    program = shutil.which("chromium")
    assert program is not None
    options = ["--disable-dev-shm-usage", "--autoplay-policy=no-user-gesture-required"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield browser
        finally:
            browser.close()


@functools.cache
def axe() -> Path | None:
    """Return axe-core's script, fetched by npm once; None where it cannot be had here."""
    version, digest = AXE
    place = CACHE / f"axe-core-{version}.js"
    if place.is_file():
        return place
    if shutil.which("npm") is None:
        assert not FULL, "npm is not installed, and what CI runs must not leave axe-core out"
        return None
    folder = CACHE / f".axe-{os.getpid()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        command = ["npm", "pack", "--silent", f"axe-core@{version}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=_FETCH_S)
        packed = next(folder.glob("*.tgz"), None)
        if done.returncode != 0 or packed is None:
            assert not FULL, f"npm does not give axe-core {version}, and what CI runs must not leave it out"
            return None
        content = packed.read_bytes()
        found = base64.b64encode(hashlib.sha512(content).digest()).decode()
        assert found == digest, f"axe-core {version} has another digest than it should: {found}"
        with tarfile.open(packed) as opened:
            script = opened.extractfile("package/axe.min.js")
            assert script is not None
            (folder / "axe.js").write_bytes(script.read())
        (folder / "axe.js").rename(place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return place


def violations(page: Page) -> list[str]:
    """Return what axe-core finds wrong with a page: rule and the elements."""
    script = axe()
    assert script is not None
    page.evaluate(script.read_text())
    found: dict[str, Any] = page.evaluate("axe.run()")
    return [f"{one['id']}: {[node['html'] for node in one['nodes']]}" for one in found["violations"]]
