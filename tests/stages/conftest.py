"""What several tests of the stages need. Heavy things are imported only where a test asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from stages.context import Context
    from stages.tts.engines.xtts.network import XttsNetwork


@pytest.fixture(scope="session")
def network(published_xtts: Path) -> XttsNetwork:
    from stages.tts.engines.xtts.engine import load_network
    from tests.support.stages.coqui_models import xtts_settings

    return load_network(xtts_settings(published_xtts))[0]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For networks so tiny that threads only wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def known_faces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of faces and rigs for a file that takes the face stage for granted.

    Several processes share it as workers do, so that each picture is measured once for all of them.
    """
    base = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "tests.support.stages.picture_jobs.known_faces",
            (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "known-faces",
        )
        yield


@pytest.fixture(scope="module", params=["drawn", "photo"])
def ready(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, known_faces: None) -> Context:
    """A job after its stage face: a drawn portrait with closed lips, and a photo with a smile that shows teeth."""
    import stages.face
    from tests.support.stages.picture_jobs import drawn, job, smiling

    ctx = job(tmp_path_factory.mktemp(request.param) / "job", drawn() if request.param == "drawn" else smiling())
    stages.face.run(ctx)
    return ctx
