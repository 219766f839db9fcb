"""One machine, booted and installed once for all files of tests here, which run in the order of a service's life."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.machine.nspawn import SOURCE, Machine, unavailable
from tests.support.machine.service import CONFIG

#: Short waits, beside the paths of the installed file; and the service starts often, mostly without a job for all its models.
FAST = """
intake: {settle_s: 0.2, reserve_mb: 1}
retry: {first_delay_s: 0.1}
lanes: {drain_s: 0, preload: false}
"""


@pytest.fixture(scope="package")
def machine() -> Iterator[Machine]:
    """A machine in which the service is installed. The tests of this folder run in one process, by the order of their files."""
    if why := unavailable():
        pytest.skip(why)
    one = Machine()
    try:
        one.run("useradd", "--create-home", "anna")
        one.run("useradd", "--create-home", "bob")
        one.run("make", "-C", SOURCE, "install", "OPTIONS=--languages --api --hooks --no-voices", network=True)
        one.run("usermod", "--append", "--groups", "avatar", "anna")
        config = one.path(CONFIG)
        config.write_text(config.read_text() + FAST)
        one.run("systemctl", "restart", "avatard")
        yield one
    finally:
        one.close()
