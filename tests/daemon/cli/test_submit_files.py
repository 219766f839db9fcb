"""`avatar submit` of files: tables with the files that their rows name, and files that are no jobs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.doors.client.client import load_settings
from daemon.doors.hand_in import hand_in
from daemon.errors import JobError
from tests.conftest import Installation
from tests.support.daemon.ledger import sound


def test_the_files_that_rows_name_are_brought_from_beside_the_table(shared: Installation) -> None:
    folder = shared.root / "tables"
    folder.mkdir()
    (folder / "talks.csv").write_text("kind,audio,output\nspeech,Anna.wav,of-anna\n")
    (folder / "Anna.wav").write_bytes(sound(1.0))
    told = json.loads(shared.avatar("submit", str(folder / "talks.csv"), "--wait", "--json").stdout)
    assert (told["state"], (shared.outbox / "talks" / "of-anna.wav").is_file()) == ("done", True)
    # The same file again is used as it lies there
    assert json.loads(shared.avatar("submit", str(folder / "talks.csv"), "--wait", "--json").stdout)["state"] == "done"


@pytest.mark.parametrize(
    ("cell", "there", "said"),
    [
        ("anna.png", {}, "A row of a.csv names anna.png (`image`), which is neither beside the table nor in the inbox"),
        ("anna.png", {"Anna.PNG": b"1"}, ""),
        ("anna.png", {"anna.png": b"1", "inbox/anna.png": b"2"}, "anna.png in the inbox holds something else"),
        ("anna.png", {"anna.png": b"1", "inbox/anna.png": b"1"}, ""),
        ("anna.png", {"inbox/anna.png": b"2"}, ""),
        ("faces/anna.png", {"faces/anna.png": b"1"}, "only files without a folder are brought into the inbox"),
        ("faces/anna.png", {"inbox/faces/anna.png": b"1"}, ""),
        ("anna.yaml", {"anna.yaml": b"text: a"}, "whose ending is that of no picture, sound or video"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else None,
)
def test_rows_whose_files_cannot_be_brought_are_refused_before_anything_is(
    installation: Callable[..., Installation], cell: str, there: dict[str, bytes], said: str
) -> None:
    one = installation()
    (one.root / "a.csv").write_text(f"text,image\nHello,{cell}\n")
    for name, content in there.items():
        (one.root / name).parent.mkdir(parents=True, exist_ok=True)
        (one.root / name).write_bytes(content)
    before = sorted(one.inbox.rglob("*"))
    told = one.avatar("submit", str(one.root / "a.csv"), code=1 if said else 0)
    assert said in told.stderr
    assert (sorted(one.inbox.rglob("*")) == before) == bool(said)


@pytest.mark.parametrize(
    ("table", "said"),
    [("", "a.csv is empty"), ("text,image\n", "has a header, but no rows"), ("text,who\na,b\n", "The column “who”")],
)
def test_a_table_that_makes_no_batch_is_refused_by_its_own_name(
    installation: Callable[..., Installation], table: str, said: str
) -> None:
    one = installation()
    (one.root / "a.csv").write_text(table)
    for command in ("submit", "validate"):
        told = one.avatar(command, str(one.root / "a.csv"), code=1)
        assert said in told.stdout + told.stderr


def test_the_defaults_of_a_folder_are_no_job(installation: Callable[..., Installation]) -> None:
    one = installation()
    (one.root / "_defaults.yaml").write_text("kind: speech\ntext: Hello.\n")
    told = one.avatar("submit", str(one.root / "_defaults.yaml"), code=1)
    assert "has the defaults of a folder, and is no job" in told.stderr
    with pytest.raises(JobError, match="cannot name a file everywhere"):
        hand_in({"kind": "speech", "text": "Hello."}, paths=load_settings(one.config).paths, name="_defaults")
    assert not (one.inbox / "_defaults.yaml").exists()


@pytest.mark.parametrize("name", ["~$job.yaml", ".job.yaml", "#job.yaml"])
def test_a_manifest_whose_name_the_inbox_passes_over_gets_another(
    installation: Callable[..., Installation], name: str
) -> None:
    one = installation()
    (one.root / name).write_text("kind: speech\ntext: Hello.\n")
    status = json.loads(one.avatar("submit", str(one.root / name), "--json").stdout)["status"]
    assert re.fullmatch(r"(job-#?)?job\.json", Path(status).name)


def test_another_file_is_no_text(installation: Callable[..., Installation]) -> None:
    one = installation()
    (one.root / "hello.json").write_text("{}")
    assert "is a file. Manifests are called .yaml" in one.avatar("submit", str(one.root / "hello.json"), code=2).stderr
    assert (
        "is a folder. `avatar submit` takes one manifest in it" in one.avatar("submit", f"{one.root}/", code=2).stderr
    )
    told = one.avatar("pipeline", "run", str(one.root / "hello.json"), "--avatar", "anna", code=2).stderr
    assert "is a file. Manifests" in told
    # Longer than any name
    assert one.avatar("submit", "word " * 100 + "job.yaml", "--set", "kind=speech").returncode == 0


def test_what_options_give_is_not_told_as_defaults_of_a_folder(installation: Callable[..., Installation]) -> None:
    one = installation()
    (one.root / "a.yaml").write_text("kind: speech\ntxt: a\n")
    told = one.avatar("submit", str(one.root / "a.yaml"), "--set", "text=Hello", code=1).stderr
    assert "`txt` is not a known key" in told
    assert "Defaults of" not in told


def test_validate_warns_of_what_the_voice_would_warn_of(installation: Callable[..., Installation]) -> None:
    one = installation()
    (one.root / "a.yaml").write_text("kind: speech\ntext: Das Wetter ist schön und wir gehen in den Park.\n")
    assert "If so, set `language: de`." in one.avatar("validate", str(one.root / "a.yaml")).stdout
    (one.root / "a.yaml").write_text("kind: speech\ntext: The weather is fine.\n")
    assert "warning" not in one.avatar("validate", str(one.root / "a.yaml")).stdout


def test_validate_says_which_keys_of_a_wrong_job_come_from_the_defaults_of_its_folder(
    installation: Callable[..., Installation],
) -> None:
    one = installation()
    (one.root / "_defaults.yaml").write_text("voice: nobody\n")
    (one.root / "a.yaml").write_text("kind: speech\ntext: Hello.\n")
    told = one.avatar("validate", str(one.root / "a.yaml"), code=1).stdout
    assert "named 'nobody'" in told
    assert "`voice` is not in it, but comes from _defaults.yaml" in told
    (one.root / "a.yaml").write_text("kind: speech\ntext: Hello.\nvoice: noone\n")
    assert "comes from" not in one.avatar("validate", str(one.root / "a.yaml"), code=1).stdout
