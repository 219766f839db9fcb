"""Tables of batches in the outbox: one is replaced by its own batch only."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from daemon.outbox import reports
from daemon.outbox.outbox import Outbox
from daemon.system import fs
from daemon.system.file_calls import Ops

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


class RefusesOpenTargets(Ops):
    """A network share on which no open file is replaced."""

    def rename(self, source: Path, target: Path) -> None:
        opened = (os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd_is_open(fd))
        if str(target.resolve()) in opened:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(target))
        super().rename(source, target)


def fd_is_open(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")  # the one that lists them is gone


def test_a_table_is_closed_before_it_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a table in an outbox that is a mounted share
    monkeypatch.setattr(fs, "OPS", RefusesOpenTargets())
    names = ("talk.report.csv",)
    reports.publish_table(tmp_path, names, JOB, [JOB])
    # When its batch writes it again / Then it is replaced
    assert reports.publish_table(tmp_path, names, JOB, [JOB, "more"])["file"] == names[0]
    assert (tmp_path / names[0]).read_text("utf-8-sig") == f"{JOB}more"


@pytest.mark.parametrize("whose", [JOB, OTHER, "nobody"])
def test_a_batch_whose_table_was_mended_gets_its_name_again_and_what_was_wrong_is_gone(
    tmp_path: Path, whose: str
) -> None:
    # Given a batch that failed since rows are wrong, and beside its status a table of them: its own, or somebody else's
    outbox = Outbox(tmp_path)
    status = {"source": "talk.yaml", "state": "failed"}
    outbox.reserve_name("talk", JOB, {**status, "job": JOB})
    table = tmp_path / "talk.errors.csv"
    table.write_text(f"row,message,_batch\n1,wrong,{whose}\n")
    # When it asks for its name itself, nothing is removed / And when it comes again
    assert (outbox.reserve_name("talk", JOB, {**status, "job": JOB}), table.exists()) == ("talk", True)
    again = outbox.reserve_name("talk", OTHER, {**status, "job": OTHER, "state": "queued"})
    # Then it has the name, without the table of what was wrong; nobody else's is removed
    own = whose == JOB
    assert (again, table.exists()) == (("talk", False) if own else ("talk-v2", True))


def test_what_is_wrong_is_kept_where_nothing_says_whose_it_is(tmp_path: Path) -> None:
    (tmp_path / "talk.errors.csv").write_text(f"row,_batch\n1,{JOB}\n")
    assert Outbox(tmp_path).reserve_name("talk", OTHER, {"job": OTHER, "state": "queued"}) == "talk-v2"
    assert (tmp_path / "talk.errors.csv").exists()
