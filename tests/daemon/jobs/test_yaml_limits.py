"""A manifest that is nested too deeply, has too many values, or uses anchors is refused before anything is built from it."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from daemon.errors import JobError
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest
from daemon.jobs.yaml_positions import MAX_NODES, Budget, load_documents


def one(text: str) -> Manifest | JobError:
    try:
        return parse_manifest(text.encode())[0]
    except JobError as exc:
        return exc


@pytest.mark.parametrize(
    "nested",
    [
        "text: " + "[" * 17 + "]" * 17,
        "text: " + "{a: " * 17 + "}" * 17,
        "text:\n  " + "- " * 17 + "a",
        "text:\n  " + "? " * 17 + "a",
        "".join(f"{' ' * level}a:\n" for level in range(18)),
        "text: &a [b]",
        "text: *a",
    ],
)
def test_a_short_manifest_is_refused_for_its_nesting_and_marks_too(nested: str) -> None:
    error = one(nested)
    assert isinstance(error, JobError)
    assert error.code in ("yaml-too-large", "yaml-alias")


@given(st.text("-?:[{]}, \n\ta'\"!|>%.#", max_size=60))
def test_a_text_has_no_more_values_than_it_is_given_room_for(text: str) -> None:
    budget = Budget()
    if budget.has_room(text):
        with contextlib.suppress(yaml.YAMLError):
            budget.check(text)
    assert budget.nodes <= 2 * len(text) + 2


@pytest.mark.parametrize("wrong", ["", "text: b\n", "x: {[y]: z}\n", "x: '\n"])
def test_the_values_of_many_short_jobs_are_counted_together_also_where_they_are_wrong(wrong: str) -> None:
    job = f"text: a\nmetadata: {{b: c, d: e, f: g, h: i, j: k}}\n{wrong}---\n"  # of 15 values and keys, or more
    manifest = (job * (MAX_NODES // 15 + 1)).encode()
    with pytest.raises(JobError, match="too long") as caught:
        parse_manifest(manifest, 10_000)
    assert caught.value.code == "yaml-too-large"


_PIECES = st.sampled_from(
    [
        "a: ",
        "b: 1\n",
        "text: x\n",
        "\n",
        "  ",
        "- ",
        "? ",
        *"[]{},'\"|>#!&*\t\x00\ufeff",
        "!x ",
        "...\n",
        "---\n",
        "<<: ",
    ]
)


@given(st.lists(_PIECES, max_size=24).map("".join))
def test_a_short_text_is_read_as_where_each_of_its_values_is_looked_at(text: str) -> None:
    def read() -> list[object]:
        found: list[object] = []
        try:
            found.extend((one.code, str(one)) if isinstance(one, JobError) else one for one in load_documents(text))
        except JobError as exc:
            found.append((exc.code, str(exc)))
        return found

    quickly = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Budget, "has_room", lambda self, text: False)
        assert read() == quickly


def test_a_billion_laughs_is_refused_before_anything_is_built() -> None:
    # Given nested aliases that would unfold to 10^9 values
    bomb = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join([f'*{chr(97 + i)}'] * 10)}]\n" for i in range(9)
    )
    # When it is read / Then it is refused for its aliases
    error = one(bomb)
    assert isinstance(error, JobError)
    assert error.code == "yaml-alias"
