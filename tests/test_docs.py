"""The documents say what the code does."""

from __future__ import annotations

import ast
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from daemon.cli import cli
from daemon.config import Settings
from daemon.errors import JobError
from daemon.jobs.facts import Output
from daemon.jobs.record import Job
from daemon.jobs.waits import AWAITED
from daemon.outbox import status_file
from daemon.outbox.status_fields import STATUS_FIELDS
from daemon.queue.awaited_files import COPIED_AGAIN
from tests.support.daemon.intake import COMPANION_WAIT_S, Room

ROOT = Path(__file__).resolve().parent.parent
#: Ends of the names of what makes an error or a worker's death.
MAKERS = ("Error", "_end_worker", "WorkerDied", "Postponed")
KEBAB = re.compile(r"[a-z]+(-[a-z]+)+")
#: A module without one of these makes no code and notes no event; to parse all modules takes seconds.
MAKES = re.compile(rb"""(?:%s)\(|\.note\(|["']code["']""" % "|".join(MAKERS).encode())


@cache  # reading all the source takes a second
def codes_and_events() -> tuple[frozenset[str], frozenset[str]]:
    """Every code an error or the death of a worker is made with anywhere in the source, in a call or in a record, and every event
    that is noted in the history of a job.
    """
    codes: set[str] = set()
    events: set[str] = set()
    for path in [*(ROOT / "daemon").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]:
        source = path.read_bytes()
        for node in ast.walk(ast.parse(source)) if MAKES.search(source) else ():
            if isinstance(node, ast.Call):
                name = _name(node.func)
                if name.endswith(MAKERS):
                    codes.update(word for argument in node.args for word in _words(argument))
                elif name == "note" and isinstance(node.func, ast.Attribute):
                    events.update(str(one.value) for one in node.args[:1] if isinstance(one, ast.Constant))
            elif isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "code":
                        codes.update(_words(value))
    return frozenset(codes), frozenset(events)


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _words(node: ast.expr) -> Iterator[str]:
    """What a value can be: itself, or either side of a choice."""
    if isinstance(node, ast.IfExp):
        yield from (*_words(node.body), *_words(node.orelse))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and KEBAB.fullmatch(node.value):
        yield node.value


def test_every_code_is_explained() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    found = {*codes_and_events()[0], "cancelled", "quarantined"}
    # Given codes of every way to make one: an error, a death, a record, a choice
    assert {"manifest-empty", "worker-hung", "job-unreadable", "outbox-missing"} <= found
    assert len(found) > 70
    assert {code for code in found if f"`{code}`" not in page} == set()


@pytest.mark.usefixtures("processes")
def test_generated_pages_are_what_the_models_say() -> None:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_the_example_of_a_refused_job_is_what_the_service_writes(tmp_path: Path) -> None:
    # Given a job whose picture never comes
    room = Room(tmp_path)
    room.put("hello.yaml", "image: portrait.png\ntext: Hello.\nmetadata: {order: 17}\n")
    room.settle()
    room.look(COMPANION_WAIT_S + 1)
    while room.service.returner.give_back_next():
        pass
    written = room.status("hello")
    # Then its status differs from the example in nothing but its id, its times and its user
    page = (ROOT / "docs" / "status.md").read_text()
    example = json.loads(page.partition("Refused:\n\n```json")[2].partition("```")[0])
    own = ("job", "by", "accepted", "updated", "finished")
    assert written | {key: example[key] for key in own} == example


@pytest.mark.usefixtures("processes")
def test_config_yaml_belongs_to_its_user(tmp_path: Path) -> None:
    # Given a checkout whose owner has changed a setting, and whose pages are out of date
    for name in ("tools", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name)
    own = "metrics: {port: 9999}  # mine\n"
    (tmp_path / "config.yaml").write_text(own)
    (tmp_path / "docs" / "config.md").unlink()

    def docs(*args: str) -> int:
        return subprocess.run([sys.executable, str(tmp_path / "tools" / "docs.py"), *args], check=False).returncode

    # When the pages are written / Then the file is as it was, and the check that runs in `make check` asks nothing of it
    assert docs("--check") == 1
    assert (docs(), docs("--check")) == (0, 0)
    assert (tmp_path / "config.yaml").read_text() == own
    # And the one that comes with the repository is valid
    Settings.load(ROOT / "config.yaml")


def test_every_setting_is_listed_with_its_default() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| .+? \| `(.*?)` \| (.+) \|$", (ROOT / "docs" / "config.md").read_text(), re.M)
    listed = {name: (yaml.safe_load(default), meaning) for name, default, meaning in rows}
    wanted = dict(leaves(Settings, ""))
    assert {name: listed.get(name, (None, ""))[0] for name in wanted} == wanted
    assert all(meaning != "None" for _, meaning in listed.values())


def leaves(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, object]]:
    for name, field in section.model_fields.items():
        value = field.get_default(call_default_factory=True)
        if isinstance(value, BaseModel):
            yield from leaves(type(value), f"{prefix}{name}.")
        elif name != "engines":  # its keys are names that people choose
            yield f"{prefix}{name}", str(value) if isinstance(value, Path) else value


def test_every_command_takes_json_but_those_the_page_names() -> None:
    sentence = next(line for line in (ROOT / "docs" / "cli.md").read_text().splitlines() if "takes `--json`" in line)
    named = set(re.findall(r"`([a-z ]+)`", sentence.split(" but ")[1]))
    assert {name for name, command in commands(cli) if not any(p.name == "as_json" for p in command.params)} == named


def commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def test_every_key_of_the_status_is_described() -> None:
    """The keys that `status_of` writes, by its source, and no others; with those below them, by what a job can have."""
    function = ast.parse(inspect.getsource(status_file.status_of)).body[0]
    written = {
        key.value
        for node in ast.walk(function)
        if isinstance(node, ast.AnnAssign) and isinstance(node.value, ast.Dict)
        for key in node.value.keys
        if isinstance(key, ast.Constant)
    }
    described = {field.name for field in STATUS_FIELDS}
    assert {"schema", "metadata"} <= written
    assert written == {name for name in described if "." not in name}
    # And the keys that are described as always there are
    bare = status_file.status_of(Job(id="job-20260101T000000Z-00000001", name="a", source="a.yaml"))
    assert set(bare) == {field.name for field in STATUS_FIELDS if not field.when}
    # And so are those of an error, which come from elsewhere
    failed = Job(id="job-20260101T000000Z-00000001", name="a", source="a.yaml")
    failed.set_error(JobError("no-face", "No face.", "Another."), "face")
    error = status_file.status_of(failed)["error"]
    assert {f"error.{key}" for key in error} == {name for name in described if name.startswith("error.")}
    assert {f"outputs[].{key}" for key in Output.__annotations__} == {
        n for n in described if n.startswith("outputs[].")
    }


def test_every_event_of_the_history_is_described() -> None:
    page = (ROOT / "docs" / "status.md").read_text()
    found = codes_and_events()[1]
    assert {"retry", "held", "crash", "cancelled"} <= found
    assert {event for event in {*found, AWAITED, COPIED_AGAIN} if f"`{event}`" not in page} == set()


def test_every_promise_of_the_spool_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "spool.md").read_text()
    promises = re.split(r"^\d+\. ", page.partition("## Promises")[2].partition("\n## ")[0], flags=re.M)[1:]
    assert len(promises) > 7
    for promise in promises:
        _, held, holders = promise.partition("Held by ")
        named = re.findall(r"`(tests/[\w/]+/)?(test_[\w*]+\.py)`", holders)
        assert held, promise
        assert named or "the same tests" in holders, promise
        folder = ""
        for path, name in named:
            folder = path or folder  # which the first of several names says
            assert list(ROOT.glob(folder + name)), f"{folder}{name}: {promise}"


#: A path of this repository, or the bare name of a Python file, in backticks; placeholders have capitals.
PATH = re.compile(r"`((?:daemon|stages|tests|benchmarks|tools|docs)/[a-z0-9_./-]+|[a-z0-9_]+\.py)`")


def test_every_file_that_the_pages_name_exists() -> None:
    # Given the pages for people who change the code / When a file is moved, or a module split
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
    named = {(page.name, path) for page in pages for path in PATH.findall(page.read_text())}
    known = {
        path.name for top in ("daemon", "stages", "tests", "benchmarks", "tools") for path in (ROOT / top).rglob("*.py")
    }
    # Then no page names its old place
    assert len(named) > 50
    assert {(page, path) for page, path in named if path not in known and not (ROOT / path).exists()} == set()
