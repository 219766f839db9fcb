"""Manifests made to do harm: each is read or refused with a code, and the daemon lives on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest
from tests.support.daemon.intake import Room
from tests.support.endurance import repeats


@pytest.fixture
def room(tmp_path: Path) -> Room:
    one = Room(tmp_path, empty_wait_s=0.0)
    one.look()
    return one


VALID: dict[str, Any] = {
    "kind": "video", "text": "Hello.", "image": "p.png", "voice": "heart", "language": "en", "speed": 1.0, "face": "largest",
    "quality": "low", "fps": 25, "size": "256x256", "motion": {"head": 1.0, "blink": 0.5, "seed": 7}, "captions": "srt",
    "output": "name", "priority": 3, "metadata": {"order": 7, "tags": ["a", None, True]},
}  # fmt: skip
#: What nobody expects: enormous, special, invisible, commands, look-alikes.
STRANGE = st.one_of(
    st.sampled_from(
        [
            "", " ", "\0", "\x1b[2J", "\u202e", "\ufeff", "\ud800", "$(touch x)", "`id`", "; rm -rf .", "%n%s", "{0}", "../..",
            "nan", "-inf", ".inf", "1e400", "9" * 5000, "٣", "0x10", "1_000", "~", "null", "yes", "*a", "&a",
            "!!python/object:os", "x" * 100_000, "\\u0000", "a\nb", "- - - -", "{[", "?" * 500, "\U0001f600" * 300,
        ]
    ),
    st.integers(min_value=-(10**30), max_value=10**30),
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=60),
    st.binary(max_size=30),
    st.dates(),
)  # fmt: skip
VALUES = st.recursive(
    STRANGE, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
KEYS = st.sampled_from([*VALID, "txt", "Text", "motion.head", "__class__", "model_config", "\x85", ""]) | st.text(
    max_size=12
)
MUTATIONS = st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4)


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    """The bytes of a manifest that was valid before something happened to it."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=300))
    document = {**VALID, **dict(draw(MUTATIONS))}
    for key in draw(st.lists(st.sampled_from(list(VALID)), max_size=6)):
        document.pop(key, None)
    try:
        text = yaml.dump(document, allow_unicode=draw(st.booleans()), default_flow_style=draw(st.booleans()))
    except (yaml.YAMLError, ValueError):
        text = repr(document)
    data = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 3)) == 0:  # and then the transfer broke it
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 20)) :]
    return data


FUZZ = settings(
    max_examples=repeats("AVATAR_FUZZ", 20, 150),
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
)


@FUZZ
@given(manifests())
def test_any_manifest_is_read_or_refused_with_a_code(data: bytes) -> None:
    try:
        items: list[Manifest | JobError] = parse_manifest(data)
    except JobError as exc:
        items = [exc]
    for item in items:
        if isinstance(item, Manifest):
            json.dumps(item.model_dump(mode="json"), allow_nan=False).encode()
        else:
            assert item.code in CODES
            assert item.message


CODES = {
    "manifest-unknown-key", "manifest-invalid", "manifest-empty", "manifest-not-text", "manifest-too-many", "yaml-invalid",
    "yaml-alias", "yaml-duplicate-key", "yaml-too-large", "text-empty",
}  # fmt: skip


@FUZZ
@given(data=manifests())
def test_any_manifest_becomes_jobs_with_records_and_statuses_that_can_be_read(room: Room, data: bytes) -> None:
    # Given any manifest, and the picture that most of them name
    room.put("p.png", b"picture")
    room.put("m.yaml", data)
    # When it is taken (one that names a file that is not there waits)
    jobs = room.settle()
    assert jobs or len(list(room.spool.waiting.iterdir())) == 1
    # Then each job has a record, and a status in words; a refused one has a code and no fault of ours
    for job in jobs:
        record = room.spool.load_job(room.spool.folder_of(job))
        status = json.loads((room.outbox / f"{job.name}.json").read_bytes())
        assert (status["job"], record.state) == (job.id, status["state"])
        assert job.error is None or (
            job.error["fault"] == "job" and job.error["code"] not in ("manifest-unreadable", "internal-error")
        )
    clear(room)


def clear(room: Room) -> None:
    for path in [path for path in room.inbox.rglob("*.yaml") if ".claimed" not in path.parts]:
        path.unlink()
    room.settle()
    for path in room.outbox.iterdir():
        path.unlink()
