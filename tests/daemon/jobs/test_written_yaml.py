"""What a door writes into a manifest is read as it was given to the door."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from daemon.doors.http.body import _yaml
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest
from daemon.jobs.yaml_positions import to_yaml

TEXTS = st.text(max_size=12) | st.text("0123456789eE+-._:xo~ \r\n\t'\"\\#", max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | st.floats(-1e299, 1e299) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def read(manifest: dict[str, Any]) -> Manifest:
    found = parse_manifest(to_yaml({"kind": "speech", "text": "a"} | manifest), 1)[0]
    assert isinstance(found, Manifest), found
    return found


@given(st.dictionaries(TEXTS, VALUES, max_size=3))
@example({"order": "7e10", "hash": "1E5", "part": "-.5e3", "lines": "a\r\n\t\x85b\\n"})
def test_free_values_are_read_as_they_were_given(given: dict[str, Any]) -> None:
    assert read({"metadata": given}).metadata == given


@pytest.mark.parametrize(
    "text", ["Group A:\r\nAnna, Bert.", "Plan B:\tgo.", "D:\n\tone", "a:\r\n\r\nb", "C:\\new\\table", "B:\x85c\t"]
)
def test_line_ends_and_tabs_of_a_text_are_taken_for_no_path(text: str) -> None:
    assert read({"text": text}).text == text


#: Values without quotes, of which each key decides whether they are numbers, and in quotes.
WRITTEN = st.sampled_from(
    ["4.5", "0:07", "no", "1_000", "1e3", "007", "~", "true", "2026-11-30", "-.5", "<<", "a, b", "C:\\new"]
)
FLOW = st.recursive(
    WRITTEN.filter(lambda one: "," not in one) | WRITTEN.map(lambda one: f"'{one}'"),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.lists(inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"k{n}: {one}" for n, one in enumerate(items)) + "}"
        )
    ),
    max_leaves=5,
)


@given(FLOW, WRITTEN)
@example("{at: 4.5, count: 7, id: '7'}", "no")
def test_a_manifest_that_a_request_brings_as_yaml_is_read_as_in_the_folder(free: str, title: str) -> None:
    given = f"text: at 0:07 a smile 4s\nimage: a.png\ntitle: {title}\nmetadata: {{a: {free}}}\nexpressions:\n"
    given += "".join(f"- {{at: {at}, name: smile}}\n" for at in ("4.5", "0:07", "'0:07'", "smile", "4s", "'4s'"))
    (in_folder,) = parse_manifest(given.encode())
    (handed_in,) = parse_manifest(to_yaml(_yaml(given.encode())))
    assert isinstance(in_folder, Manifest)
    assert isinstance(handed_in, Manifest), handed_in
    assert handed_in.model_dump() == in_folder.model_dump()
