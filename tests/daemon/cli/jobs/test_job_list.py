"""The list of jobs shows every manifest in the inbox once, also while the daemon notes it in the index."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from daemon.cli import job_list
from daemon.cli.common import Shell, show
from daemon.config import Settings
from daemon.errors import ConfigError
from daemon.history.database import close_cleanly, open_to_write, set_meta
from daemon.history.entry import Entry
from daemon.history.query import Query, Row
from daemon.intake.inbox_names import has_manifests
from daemon.intake.scanner import InboxScanner
from daemon.jobs.record import Job
from daemon.outbox import looks
from tests.conftest import FAST
from tests.support.daemon.intake import SPEECH


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(kind=["video", "film"]), "There is no kind 'film'. Use one of video, lipsync, speech,"),
        (Query(state=["finished"]), "There is no state 'finished'. Use one of waiting,"),
    ],
)
def test_a_word_that_no_job_has_is_told(query: Query, said: str) -> None:
    assert " ".join(query.unknown_word() or ()).startswith(said)
    assert Query(kind=["video"], state=["pending", "done"]).unknown_word() is None


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


@pytest.mark.usefixtures("processes")
def test_a_list_imports_what_looks_at_manifests_and_all_settings_only_where_it_needs_them(tmp_path: Path) -> None:
    # Given an index, and an inbox with pictures and folders, and no manifest
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(FAST))
    connection = open_to_write(tmp_path / "spool" / "history")
    set_meta(connection, "complete", 1)
    connection.close()
    (tmp_path / "inbox" / "anna").mkdir(parents=True)
    (tmp_path / "inbox" / "anna" / "portrait.png").touch()
    close_cleanly(tmp_path / "spool" / "history")
    heavy = ("daemon.config.settings", "daemon.cli.job_lookup", "daemon.jobs.manifest", "structlog", "rich")
    code = (
        "import atexit, sys; from daemon.cli import main; "
        f"atexit.register(lambda: print([name for name in {heavy} if name in sys.modules])); main(['jobs', 'list'])"
    )

    def imported() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    # Then nothing of that is imported, which takes longer than the list itself
    assert imported() == "[]\n"
    # And a manifest in a folder of the inbox is listed
    (tmp_path / "inbox" / "anna" / "hello.yaml").write_text(SPEECH)
    assert "anna/hello\twaiting" in imported()


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("hello.yaml", True),
        ("Hello.YML", True),
        ("anna/b/c/d/hello.yaml", True),
        ("a.yaml/hello.yml", True),
        ("anna/b/c/d/e/hello.yaml", False),  # deeper than anybody looks
        ("portrait.png", False),
        ("_defaults.yaml", False),
        (".keys/hello.yaml", False),
        ("a.yaml/portrait.png", False),
    ],
)
def test_an_inbox_has_manifests_where_a_look_at_it_finds_some(tmp_path: Path, path: str, there: bool) -> None:
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text(SPEECH)
    assert has_manifests(tmp_path) is there
    assert bool(InboxScanner(tmp_path, Settings()).look()) is there


def test_the_folders_alone_are_read_as_with_all_settings_and_their_mistakes_are_told(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    for text in ("", "paths:\n", "paths: {spool: ~/q}\n", "paths: {inbox: in, history: h}\nlog: {level: debug}\n"):
        config.write_text(text)
        assert Shell(str(config)).paths == Shell(str(config)).settings.paths
    for text in ("paths: {inbox: a, outbox: a}\n", "paths: {inbux: a}\n", "paths: [a]\n", "- a\n"):
        config.write_text(text)
        with pytest.raises(ConfigError) as told:
            _ = Shell(str(config)).paths
        with pytest.raises(ConfigError, match=re.escape(told.value.message)):
            _ = Shell(str(config)).settings


def test_looks_of_the_page_that_nobody_has_read_yet_are_not_listed(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(FAST))
    (tmp_path / "inbox").mkdir()
    for name in ("mine", f"{looks.PREFIX}0a1b2c3d"):
        (tmp_path / "inbox" / f"{name}.yaml").write_text(SPEECH)
    assert [row.name for row in job_list.find_rows(Shell(str(config)), Query().without_looks)] == ["mine"]
    assert len(job_list.find_rows(Shell(str(config)), Query())) == 2


@pytest.mark.parametrize("length", [2, 1000])
def test_json_is_indented_for_people_and_has_one_element_a_line_where_the_list_is_long(
    capsys: pytest.CaptureFixture[str], length: int
) -> None:
    value = [{"name": f"Zoë {number}", "tags": ["a"]} for number in range(length)]
    show(value, True, lambda: None)
    told = capsys.readouterr().out
    assert json.loads(told) == value
    assert len(told.splitlines()) == (2 + length if length > 2 else 2 + length * 6)
