"""The door that the pages belong to."""

from tests.daemon.doors.http.conftest import door  # noqa: F401 (a fixture)
