"""No library of the stages keeps or sends what a machine does with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from daemon import NOT_SENT
from tests.conftest import ROOT

#: The modules that bring onnxruntime and MediaPipe, as a worker and the doctor import them.
_IMPORTS = ("stages.tts.engines.hibari.engine", "stages.face.landmarker")


@pytest.mark.usefixtures("processes")
@pytest.mark.parametrize("first", ["stages", "daemon"])
def test_a_process_of_ours_leaves_no_device_id_in_the_users_folder(first: str, tmp_path: Path) -> None:
    # Given a user without files, in whose environment nothing says that libraries are to be silent, as tests and CI say it
    environment = {name: value for name, value in os.environ.items() if name not in (*NOT_SENT, "CI", "XDG_CACHE_HOME")}
    # When a process imports the networks' library, and ends
    code = f"import {first}, onnxruntime, {', '.join(_IMPORTS)}; onnxruntime.get_available_providers()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment | {"HOME": str(tmp_path)}, check=True)
    # Then it has left nothing: onnxruntime writes a device id and a database of what it will send
    assert [str(path) for path in tmp_path.rglob("*") if "avatard" not in path.parts] == []
