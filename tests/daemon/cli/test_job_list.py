"""The list of jobs shows every manifest in the inbox once, also while the daemon notes it in the index."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from daemon.cli import job_list
from daemon.cli.common import Shell
from daemon.history.entry import Entry
from daemon.history.query import Query, Row
from daemon.jobs.record import Job
from daemon.outbox import looks
from tests.conftest import FAST
from tests.support.daemon.intake import SPEECH


@pytest.mark.parametrize("looks_before", range(4))
@pytest.mark.parametrize("state", [["waiting"], []])
def test_a_manifest_that_is_noted_between_two_looks_is_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks_before: int, state: list[str]
) -> None:
    # Given a manifest in the inbox, that the daemon writes into the index after so many looks at it
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(FAST))
    (tmp_path / "inbox").mkdir()
    manifest = tmp_path / "inbox" / "hello.yaml"
    manifest.write_text(SPEECH)
    noted = Job(
        id="job-20260102T030405Z-00000001",
        name="hello",
        source="hello.yaml",
        state="waiting",
        accepted=manifest.stat().st_ctime,
    )
    looks = 0

    class Index:
        def __init__(self, folder: Path) -> None:
            pass

        def find(self, query: Query, *, limit: int) -> list[Row]:
            nonlocal looks
            looks += 1
            return [Row.of_entry(Entry.of_job(noted))] if looks > looks_before else []

    monkeypatch.setattr(job_list, "History", Index)
    monkeypatch.setattr(job_list, "was_left_open", lambda folder: False)
    # When jobs are listed, then it is there, and once
    assert [row.name for row in job_list.find_rows(Shell(str(config)), Query(state=state))] == ["hello"]


def test_looks_of_the_page_that_nobody_has_read_yet_are_not_listed(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(FAST))
    (tmp_path / "inbox").mkdir()
    for name in ("mine", f"{looks.PREFIX}0a1b2c3d"):
        (tmp_path / "inbox" / f"{name}.yaml").write_text(SPEECH)
    assert [row.name for row in job_list.find_rows(Shell(str(config)), Query().without_looks)] == ["mine"]
    assert len(job_list.find_rows(Shell(str(config)), Query())) == 2
