"""Each picture is measured once for all tests of the frames, in all processes that run tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="package", autouse=True)
def known_faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of measured faces and rigs, which several processes share as workers do."""
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tests.support.stages.picture_jobs.known_faces",
            (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "known-faces",
        )
        yield
