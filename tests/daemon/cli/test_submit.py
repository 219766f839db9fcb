"""`avatar submit`: whatever is typed, a job is handed in whole, or one sentence says why not and nothing is left in the inbox."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.cli.commands import submit
from daemon.doors.hand_in import check
from daemon.doors.option_words import OptionWords
from daemon.doors.words import settings_of
from daemon.errors import JobError
from daemon.jobs.mistakes.proposals import is_allowed, proposed_lines
from daemon.jobs.yaml_positions import to_yaml
from tests.conftest import PORTRAIT, Installation
from tests.support.daemon.ledger import sound
from tests.support.daemon.worker_seam import Gates
from tests.support.machine.people import ANNA, BERT, DROPPERS, avatar_as, give
from tests.test_mistakes import ROWS, SIGNS

IMAGE = ("--image", str(PORTRAIT))


@pytest.mark.parametrize(
    ("args", "said", "code"),
    [
        (["Hello.", *IMAGE, "--name", "a/b"], "Use 'a_b'", 2),
        (["Hello.", *IMAGE, "--name", ".x"], "Use 'x'", 2),
        (["Hello.", *IMAGE, "--name", "n" * 255], f"Use '{'n' * 180}'", 2),
        (["Hello.", *IMAGE, "--name", "~$x"], "Use 'x'", 2),
        (["Hello.", *IMAGE, "--name", ""], "Use 'job'", 2),
        (["Hello.", *IMAGE, "--set", "output="], "'output=' has no value", 2),
        (["Hello.", *IMAGE, "--set", "=x"], "is not KEY=VALUE", 2),
        (["Hello.", *IMAGE, "--set", "motion=0", "--set", "motion.head=1"], "motion has a value already", 2),
        (["Hello.", *IMAGE, "--set", "motion.head=1", "--set", "motion=0"], "keys below motion are set already", 2),
        (["Hello.", *IMAGE, "--set", "motion=0"], "motion", 1),
        (["Hello.", *IMAGE, "--set", "kind.of=job"], "`kind` must be one value", 1),
        (["Hello.", *IMAGE, "--set", "output=a/b"], "without folders", 1),
        (["", *IMAGE], "text", 1),
        (["Hello."], "--image FILE", 2),
        ([*IMAGE], "--audio FILE", 2),
        (["Hello.", *IMAGE, "--set", "fps=31"], "not “31” (--set fps).", 1),
        (["Hello.", *IMAGE, "--set", "motion.head=7"], "not “7” (--set motion.head).", 1),
        (["Hello.", *IMAGE, "--set", "fit=crop", "--voice", "v" * 101], "(--voice)", 1),
        (
            ["Hello.", "--set", "image=absent.png"],
            "`image` names absent.png, which is neither here nor in the inbox",
            1,
        ),
    ],
    ids=lambda value: " ".join(value[-2:])[:40] if isinstance(value, list) else None,
)
def test_what_cannot_be_is_refused_in_a_sentence_and_leaves_nothing(
    installation: Callable[..., Installation], args: list[str], said: str, code: int
) -> None:
    one = installation()
    told = one.avatar("submit", *args, code=code).stderr
    assert said in told
    assert "Traceback" not in told
    assert list(one.inbox.iterdir()) == []


def test_a_sound_can_be_handed_in_in_place_of_a_text(shared: Installation) -> None:
    (shared.root / "My Voice.WAV").write_bytes(sound(0.4))
    told = shared.avatar("submit", "--audio", "My Voice.WAV", "--set", "kind=speech", "--wait", "--json").stdout
    assert json.loads(told)["state"] == "done"


def test_a_file_that_set_names_is_brought_and_one_of_the_inbox_is_used(shared: Installation) -> None:
    (shared.root / "here.wav").write_bytes(sound(0.4))
    (shared.inbox / "there.wav").write_bytes(sound(0.4))
    for named in ("here.wav", "there.wav", "there"):
        told = shared.avatar("submit", "--set", "kind=speech", "--set", f"audio={named}", "--wait", "--json").stdout
        assert json.loads(told)["state"] == "done"


def test_ctrl_c_while_waiting_says_that_the_job_goes_on_and_how_to_end_it(
    installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> Iterator[dict[str, Any]]:
        raise KeyboardInterrupt
        yield {}

    monkeypatch.setattr(submit, "follow", interrupted)
    one = installation()
    told = one.avatar("submit", "Hello.", "--set", "kind=speech", "--wait", code=130).stderr
    assert "The job goes on" in told
    (job,) = re.findall(r"`avatar jobs cancel (job-\S+)` ends it", told)
    assert json.loads(one.avatar("jobs", "list", "--json").stdout)
    # And what the message tells to do ends it
    Gates(one, one.root / "seam").shut("tts")
    one.start()
    one.avatar("jobs", "cancel", job)
    assert one.finished(json.loads(one.avatar("jobs", "show", job, "--json").stdout)["name"])["state"] == "cancelled"


def test_what_is_submitted_needs_no_settling(installation: Callable[..., Installation]) -> None:
    # Given a daemon that lets files settle for longer than any test may take
    one = installation(intake={"settle_s": 10**5, "settle_unknown_s": 10**5, "companion_wait_s": 10**6})
    one.start()
    (one.root / "a.wav").write_bytes(sound(0.4))
    told = one.avatar("submit", "--audio", "a.wav", "--set", "kind=speech", "--wait", "--json").stdout
    assert json.loads(told)["state"] == "done"


def test_a_job_with_an_output_of_its_own_is_waited_for_under_that_name(shared: Installation) -> None:
    told = shared.avatar("submit", "Hello.", "--set", "kind=speech", "--set", "output=greeting", "--wait").stdout
    assert told.split() == [str(shared.outbox / f"greeting{ending}") for ending in (".timing.json", ".wav")]
    # And a name that is taken is not handed in a second time
    again = shared.avatar("submit", "Hello.", "--set", "kind=speech", "--set", "output=greeting", code=1)
    assert "greeting is in use already" in again.stderr


def test_the_name_of_a_submitted_job_that_failed_can_be_used_again(shared: Installation) -> None:
    # Given a job that failed / When another is handed in under its name, and waited for
    shared.drop("hello.yaml", "kind: speech\ntxt: Good morning.\n")
    assert shared.finished("hello")["state"] == "failed"
    told = shared.avatar("submit", "Hello.", "--set", "kind=speech", "--name", "hello", "--wait").stdout
    # Then the old failure is not taken for its end
    assert told.split() == [str(shared.outbox / f"hello{ending}") for ending in (".timing.json", ".wav")]


def test_submits_at_the_same_time_hand_in_one_job_each_and_none_replaces_another(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given many who hand in the same large picture at once, half of them under one and the same name
    one = installation()
    picture = tmp_path / "large.png"
    picture.write_bytes(PORTRAIT.read_bytes() + bytes(30_000_000))
    command = [sys.executable, "-m", "daemon.cli", "--config", str(one.config), "submit"]
    names = ["same"] * 3 + [f"own{number}" for number in range(3)]
    running = [
        subprocess.Popen(
            [*command, f"Text {number}.", "--image", str(picture), "--name", name],
            cwd=one.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, name in enumerate(names)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in running]
    # Then one has the name, the others were told so, and the picture is whole and there once
    assert sorted(code for _, code in ends[:3]) == [0, 1, 1], ends
    assert all("in use already" in told for told, code in ends[:3] if code)
    assert [code for _, code in ends[3:]] == [0, 0, 0], ends
    manifests = [yaml.safe_load(path.read_text()) for path in one.inbox.glob("*.yaml")]
    assert len(manifests) == 4
    (shared,) = {manifest["image"] for manifest in manifests}
    assert (one.inbox / shared).read_bytes() == picture.read_bytes()
    assert len([path for path in one.inbox.iterdir() if not path.name.startswith(".")]) == 5


def test_nobody_can_replace_the_picture_that_somebody_else_hands_in(strangers_folder: Path) -> None:
    # Given an inbox as the service has it, and a picture of Anna's that Bert has handed in before her, knowing its name there
    one = Installation(strangers_folder)
    give(one.inbox, 0o3770)
    give(one.outbox, 0o2770)
    picture = strangers_folder / "portrait.png"
    picture.write_bytes(PORTRAIT.read_bytes())
    assert avatar_as(BERT, one, "submit", "Hi.", "-i", str(picture), "--name", "berts").returncode == 0
    # When Anna hands it in / Then she is told why it has another name, and it is hers
    told = avatar_as(ANNA, one, "submit", "Hello.", "-i", str(picture), "--name", "annas")
    assert told.returncode == 0, told.stderr
    assert f"belongs to uid {BERT}, who alone can replace it; the copy of portrait.png is called" in told.stderr
    berts, annas = (
        one.inbox / yaml.safe_load((one.inbox / f"{name}.yaml").read_bytes())["image"] for name in ("berts", "annas")
    )
    assert (berts.stat().st_uid, annas.stat().st_uid) == (BERT, ANNA)
    assert annas.read_bytes() == picture.read_bytes()
    # And whatever her umask is, the group (as which the service reads it) can read it, and Bert can neither write nor replace it
    assert {path.stat().st_mode & 0o777 for path in (annas, one.inbox / "annas.yaml")} == {0o640}
    for attempt in (
        f"open({str(annas)!r}, 'r+')",
        f"os.unlink({str(annas)!r})",
        f"os.replace({str(berts)!r}, {str(annas)!r})",
    ):
        script = f"import os; os.setgroups([]); os.setgid({DROPPERS}); os.setuid({BERT}); {attempt}"
        refused = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert "PermissionError" in refused.stderr, attempt
    # And handed in again, it is there once for each of them
    assert avatar_as(ANNA, one, "submit", "Hello.", "-i", str(picture), "--name", "again").returncode == 0
    assert yaml.safe_load((one.inbox / "again.yaml").read_bytes())["image"] == annas.name
    assert len(list(one.inbox.glob("*.png"))) == 2


def test_a_name_that_holds_something_else_is_not_taken_for_the_picture(
    installation: Callable[..., Installation],
) -> None:
    # Given a link and another file under the names that the picture would have
    one = installation()
    one.avatar("submit", "Hi.", *IMAGE, "--name", "first")
    (usual,) = one.inbox.glob("*.png")
    usual.write_bytes(b"something else")
    one.avatar("submit", "Hi.", *IMAGE, "--name", "second")
    (other,) = set(one.inbox.glob("*.png")) - {usual}
    other.unlink()
    other.symlink_to(PORTRAIT)
    told = one.avatar("submit", "Hi.", *IMAGE, "--name", "third").stderr
    # Then they are left alone, and the picture gets another name
    assert f"{usual.name} in the inbox holds something else" in told
    named = one.inbox / yaml.safe_load((one.inbox / "third.yaml").read_bytes())["image"]
    assert named.read_bytes() == PORTRAIT.read_bytes()
    assert not named.is_symlink()
    assert usual.read_bytes() == b"something else"


#: What only somebody who writes a file can do.
OF_FILES = ("line of its own", "indented", "next to the manifest", "line ---", "text: |", "below `")


@pytest.mark.parametrize("row", ROWS["A key or a value that is not allowed"], ids=lambda row: row[0])
def test_an_error_of_the_command_line_says_which_option_to_write_and_none_of_a_line_in_a_file(row: list[str]) -> None:
    with contextlib.suppress(yaml.YAMLError):  # what no option can say
        written = yaml.load(row[0].translate(SIGNS), Loader=yaml.BaseLoader)  # noqa: S506  # texts, lists and mappings alone
        told = _refusal({"text": "a", "image": "a.png", **written})
        assert not [words for words in OF_FILES if words in told], told
        # An entry of a list is written in its braces, and a kind of job may only be told.
        assert not [
            line for line in proposed_lines(told) if not line.startswith(("kind:", "at:", "name:", "intensity:"))
        ], told
        for option in re.findall(r"`(--set [^`]+)`", told):
            settings = settings_of(tuple(shlex.split(option)[1::2]))
            assert is_allowed(to_yaml(settings).decode()), option


def _refusal(manifest: dict[str, Any]) -> str:
    """Return what the command line says of a manifest; nothing where it accepts it."""
    try:
        check(manifest, (), OptionWords(options=("--set",)))
    except JobError as exc:
        return str(exc)
    return ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["submit", "Hi.", *IMAGE, "--set", "expressions=happy"],
            "Write `--set 'expressions=[{at: 0, name: smile}]'`.",
        ),
        (["submit", "Hi.", *IMAGE, "--set", "fps=31"], "Write `--set fps=30`."),
        (["submit", "script.txt", *IMAGE], "give the words themselves as TEXT; - reads them from standard input."),
        (["submit", "anna.wav", *IMAGE], "write `--audio anna.wav`"),
        (["pipeline", "run", "Hi.", "--avatar", str(PORTRAIT), "--set", "quality=4k"], "Write `--set size=3840x2160`"),
        (
            ["pipeline", "run", "Hi.", "--avatar", str(PORTRAIT), "--set", "captions=yes"],
            "Write `--set captions=srt` or",
        ),
        (["video", "encode", str(PORTRAIT), "-o", "x.mp4", "--crop", "1:2:3:4"], "Write `--crop 1x2+3+4`."),
        (["avatar", "add", str(PORTRAIT), "--name", "a", "--background", "white"], "Write `--background '#ffffff'`."),
        (["voice", "speak", "heart", "Hi.", "--language", "spannish"], "Write `--language es`."),
    ],
    ids=lambda value: " ".join(value[-2:])[:40] if isinstance(value, list) else None,
)
def test_an_error_names_the_options_of_its_command(shared: Installation, args: list[str], said: str) -> None:
    told = shared.avatar(*args, code=None)
    assert told.returncode
    assert said in told.stderr


def test_a_value_with_entries_is_taken_from_the_command_line(installation: Callable[..., Installation]) -> None:
    one = installation()
    smile = "expressions=[{at: 0, name: smile}, {at: lovely, name: neutral}]"
    one.avatar("submit", "A lovely day.", *IMAGE, "--set", smile, "--set", "lexicon={day: die}", "--name", "a")
    written = yaml.safe_load((one.inbox / "a.yaml").read_text(encoding="utf-8"))
    assert written["expressions"] == [{"at": 0, "name": "smile"}, {"at": "lovely", "name": "neutral"}]
    assert written["lexicon"] == {"day": "die"}
    told = one.avatar("submit", "A day.", *IMAGE, "--set", "expressions=[{at: 0, name: smile]", code=2).stderr
    assert "each bracket has its other half" in told


def test_a_manifest_file_is_handed_in_with_its_files_and_not_spoken(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given a manifest of two jobs, one of which names a picture beside it, and a house without a daemon
    one = installation()
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "face.png").write_bytes(PORTRAIT.read_bytes())
    file = folder / "hello.yaml"
    file.write_text("text: We are #1 here.\nimage: face.png\n---\nkind: speech\ntext: '007'\n")
    told = one.avatar("submit", str(file), "--set", "speed=1.2")
    # Then both are in the inbox under its name, with the picture and what the option says; and what would be lost is told
    first, second = (yaml.safe_load((one.inbox / f"hello{end}.yaml").read_bytes()) for end in ("", "-2"))
    assert (one.inbox / first.pop("image")).read_bytes() == PORTRAIT.read_bytes()
    assert (first, second) == ({"text": "We are", "speed": "1.2"}, {"kind": "speech", "text": "007", "speed": "1.2"})
    assert "hello.yaml: `text` ends before “#1 here.” (line 1" in told.stderr
    # And that nothing happens yet
    assert "The daemon does not run" in told.stderr
    # And once more under the next name, of which JSON says both
    again = json.loads(one.avatar("submit", str(file), "--json").stdout)
    assert [Path(job["status"]).name for job in again] == ["hello-v2.json", "hello-2-v2.json"]
    # A mistake is told by its line, before anything is handed in; a name without a file is no text, either
    before = sorted(one.inbox.iterdir())
    file.write_text("kind: speech\ntext: a\n---\ntxt: b\n")
    assert "hello.yaml, job 2: `txt` is not a known key (line 4" in one.avatar("submit", str(file), code=1).stderr
    assert "nowhere.yaml is not a file" in one.avatar("submit", "nowhere.yaml", *IMAGE, code=1).stderr
    assert sorted(one.inbox.iterdir()) == before


def test_a_table_is_handed_in_as_a_batch_of_its_rows(shared: Installation) -> None:
    (shared.root / "people.csv").write_text("name\nAnna\nBen\n")
    options = ("--set", "kind=speech", "--set", "text=Hello {{name}}.", "--set", "output=said-{{name}}")
    told = json.loads(shared.avatar("submit", "people.csv", *options, "--wait", "--json").stdout)
    assert (told["state"], told["name"], told["batch"]["done"]) == ("done", "people", 2)
    assert (shared.outbox / "people" / "said-Anna.wav").is_file()
    again = json.loads(shared.avatar("submit", "people.csv", *options, "--wait", "--json").stdout)
    assert (again["state"], again["name"]) == ("done", "people-v2")
