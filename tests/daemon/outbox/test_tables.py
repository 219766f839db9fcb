"""Tables of batches in the outbox: one is replaced by its own batch only."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.outbox import reports

JOB, OTHER = "job-20261130T105646Z-edb8b1f8", "job-20261130T105646Z-00000000"


@pytest.mark.parametrize("before", [0, 10, 50, 64, 200])
def test_a_table_that_names_its_batch_anywhere_is_replaced_and_any_other_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    # Given a table whose batch is named so many bytes behind its beginning, where 64 bytes are read at once
    monkeypatch.setattr(reports, "_CHUNK", 64)
    names = ("talk.report.csv", "talk-2.report.csv")
    first = reports.publish_table(tmp_path, names, JOB, ["x" * before, JOB, "y" * 99])
    # When the same batch writes it again, and another batch one of the same name
    again = reports.publish_table(tmp_path, names, JOB, [JOB, "more"])
    other = reports.publish_table(tmp_path, names, OTHER, [OTHER])
    # Then the first is replaced, and the other one gets the next name
    assert [first["file"], again["file"], other["file"]] == [names[0], names[0], names[1]]
    assert (tmp_path / names[0]).read_text("utf-8-sig") == f"{JOB}more"
