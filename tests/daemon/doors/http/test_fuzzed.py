"""Whatever the description of the API allows, and what it forbids, is answered as it says: Schemathesis asks it all."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from daemon.doors.http import answers
from tests.daemon.doors.http.conftest import Door
from tests.support.endurance import repeats
from tests.support.http_door import PATIENCE_S

pytestmark = [pytest.mark.usefixtures("processes"), pytest.mark.timeout(1800)]

#: Streams that end with a job, and none of these jobs ends.
UNENDING = "/events"
#: What a manifest needs (text for speech, an image for a video, …) cannot be said in a schema, so that bodies which the schema
#: allows are refused with 422 rightly.
LEFT_OUT = "positive_data_acceptance"
#: Answers that are right, and that Schemathesis cannot know: what is wrong with a manifest is the result of `/validate`,
#: `tag=true` in a query is a list of one tag, a new job has no result yet, nothing is spoken without a daemon, and a cancelled
#: job is still there to be seen.
CONFIG = """
[[operations]]
include-name = "GET /jobs"
[operations.checks]
negative_data_rejection.enabled = false

[[operations]]
include-path = "/validate"
[operations.checks]
negative_data_rejection.enabled = false

[[operations]]
include-path-regex = "/result"
[operations.checks]
ensure_resource_availability.enabled = false

[[operations]]
include-path = "/v1/audio/speech"
[operations.checks]
not_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "503"]

[[operations]]
include-path = "/jobs/{job}"
[operations.checks]
use_after_free.enabled = false
"""


@pytest.mark.usefixtures("processes")
def test_every_answer_is_as_the_description_says(door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_WAIT_S", 0.1)  # no job ends here, so that to wait for one says nothing
    client = door.key("fuzz", "admin")
    seed = int(os.environ.get("AVATAR_FUZZ_SEED") or secrets.randbelow(2**31))
    print(f"again: AVATAR_FUZZ_SEED={seed}")
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    client.get("/openapi.json")  # the first one takes a busy machine longer than Schemathesis waits for it
    command = [
        *(str(Path(sys.executable).with_name("st")), "run", f"http://127.0.0.1:{client.port}/openapi.json"),
        *("--header", f"Authorization: Bearer {client.key}"),
        *("--phases", "examples,coverage,fuzzing,stateful", "--workers", "1", "--seed", str(seed)),
        *("--request-timeout", str(PATIENCE_S)),
        *("--exclude-path-regex", UNENDING, "--exclude-checks", LEFT_OUT, "--continue-on-failure"),
        *("--max-examples", str(repeats("AVATAR_FUZZ", 1, 30)), "--suppress-health-check", "all", "--no-color"),
    ]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout[-8000:] + told.stderr[-2000:]
    # And nothing is left of what was refused
    assert door.left_over == []
