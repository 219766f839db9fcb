"""The door that the pages belong to, and a real browser in front of a running daemon."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from daemon.config import Settings
from daemon.doors.http.app import create_app
from tests.conftest import Installation
from tests.daemon.doors.http.conftest import door  # noqa: F401 (a fixture)
from tests.daemon.doors.page.studio import Studio
from tests.support.daemon.known_faces import give_known_faces
from tests.support.endurance import FULL
from tests.support.http_door import serving
from tests.support.machine.browser import browsing, unavailable


@pytest.fixture(scope="session")
def browser() -> None:
    """A browser is there. What CI runs must not go without one."""
    why = unavailable()
    assert why is None or not FULL, why
    if why is not None:
        pytest.skip(why)


@pytest.fixture(scope="module")
def studio_of_file(browser: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A running daemon and a browser for all tests of a file."""
    one = Installation(tmp_path_factory.mktemp("page"), server={"user": str(os.geteuid())})
    one.start()
    give_known_faces(one, "full")
    with serving(create_app(Settings.load(one.config))) as client, browsing() as chromium:
        yield Studio(one, f"http://127.0.0.1:{client.port}/ui/", chromium)
    one.stop()


@pytest.fixture
def studio(studio_of_file: Studio) -> Iterator[Studio]:
    """The daemon and the browser, whose pages are closed after the test: each open one reads and draws every change anew."""
    yield studio_of_file
    for window in studio_of_file.browser.contexts:
        window.close()
