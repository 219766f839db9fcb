"""The command line."""

from __future__ import annotations

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from daemon.cli import COMMANDS
from tests.conftest import PORTRAIT, ROOT, Installation, wait_for
from tests.support.daemon.commands import run_command
from tests.support.daemon.worker_seam import Gates


def test_submit_and_wait_gives_the_video(shared: Installation) -> None:
    # When a text and a picture are submitted / Then the command ends with the path of the video
    out = shared.avatar(
        "submit", "Hello.", "--image", str(PORTRAIT), "--set", "size=256x256", "--set", "motion.head=0", "--wait"
    ).stdout
    video = Path(out.split()[-1])
    assert video.suffix == ".mp4"
    assert video.stat().st_size > 1000
    # And it is in the list, and can be shown by its name
    listed = json.loads(shared.avatar("jobs", "list", "--json").stdout)
    assert [job["state"] for job in listed if job["name"] == video.stem] == ["done"]
    shown = json.loads(shared.avatar("jobs", "show", video.stem, "--json").stdout)
    assert shown["manifest"]["motion"]["head"] == 0


def test_submit_refuses_what_the_daemon_would(installation: Callable[..., Installation]) -> None:
    house = installation()
    result = house.avatar("submit", "Hello.", "--image", str(PORTRAIT), "--set", "fsp=30", code=1)
    assert "Did you mean `fps`?" in result.stderr
    assert not list(house.inbox.glob("*.yaml"))


def test_submit_takes_what_each_kind_of_job_needs(installation: Callable[..., Installation]) -> None:
    # Given no daemon, which would take them away
    one = installation()
    clip = one.root / "clip.wav"
    clip.write_bytes(b"looked at by the daemon")
    # When a recording is handed in to be kept as a voice, one with its words, and a text for a voice
    for name, arguments in {
        "voice": ("--audio", str(clip), "--set", "kind=voice"),
        "words": ("What is said.", "--audio", str(clip), "--set", "kind=speech"),
        "emma": ("Hello.", "--voice", "emma", "--set", "kind=speech"),
    }.items():
        one.avatar("submit", *arguments, "--name", name)
    # Then each manifest has what was given
    found = {path.stem: yaml.safe_load(path.read_bytes()) for path in one.inbox.glob("*.yaml")}
    assert set(found["voice"]) == {"kind", "audio"}
    assert found["words"]["text"] == "What is said."
    assert found["words"]["audio"] == found["voice"]["audio"]
    assert found["emma"]["voice"] == "emma"


def test_wait_ends_with_one_when_the_job_fails(shared: Installation) -> None:
    result = shared.avatar("submit", "???", "--image", str(PORTRAIT), "--wait", code=1)
    assert "text-unspeakable" in result.stderr


def test_cancel_and_retry_are_obeyed_while_the_daemon_is_down(installation: Callable[..., Installation]) -> None:
    # Given a job that waits for its turn while nobody works
    one = installation()
    one.start()
    one.drop("hello.yaml", {"kind": "speech", "text": "Good morning."})
    one.finished("hello")
    one.drop("bad.yaml", {"kind": "speech", "text": "???"})
    job = one.finished("bad")["job"]
    one.stop()
    # When it is told to be retried / Then the daemon obeys at its start
    assert "when it starts" in one.avatar("jobs", "retry", "bad").stdout
    status = json.loads(one.avatar("status", "--json", code=69).stdout)
    assert (status["done"], status["failed"]) == (1, 1)
    one.start()
    again = one.finished("bad")
    assert again["job"] == job
    shown = json.loads(one.avatar("jobs", "show", "bad", "--json").stdout)
    assert "retry" in [entry["event"] for entry in shown["history"]]


def test_a_verbose_status_tells_lanes_models_and_the_last_errors(installation: Callable[..., Installation]) -> None:
    one = installation()
    one.copied = False
    one.start()
    one.drop("bad.yaml", {"kind": "speech", "text": "???"})
    one.drop("hello.yaml", {"kind": "speech", "text": "Good morning."})
    one.finished("bad")
    one.finished("hello")

    def loaded() -> list[dict[str, Any]]:
        return [
            model for model in json.loads(one.avatar("status", "--json").stdout)["models"] if model["stage"] == "tts"
        ]

    # Given a voice in the memory of a worker
    model = wait_for("the model in the status", loaded)[0]
    assert model["lane"] in ("voice", "gpu")
    assert Path(f"/proc/{model['pid']}").exists()
    told = one.avatar("status", "-v").stdout
    assert f"model     {model['model']} (tts): " in told
    assert "lane      gpu is ready: " in told
    wait_for("the index", lambda: "text-unspeakable" in one.avatar("status", "-v").stdout)
    # When its worker is gone / Then so is the model, and with the daemon every one
    os.kill(model["pid"], signal.SIGKILL)
    wait_for("the end of the worker", lambda: model["pid"] not in [other["pid"] for other in loaded()])
    one.stop()
    told = one.avatar("status", "-v", code=69).stdout
    assert "none is loaded" in told
    assert "error     bad, " in told


def test_cancel_ends_a_running_job(installation: Callable[..., Installation], tmp_path: Path) -> None:
    house = installation()
    gates = Gates(house, tmp_path / "seam")
    gates.shut("encode")
    house.start()
    house.drop("long.yaml", {"text": "Hello there.", "image": "p.png", "size": "256x256"}, p__png=PORTRAIT)
    gates.reached("encode")
    house.avatar("jobs", "cancel", "long")
    status = house.finished("long")
    assert status["state"] == "cancelled"
    assert not (house.outbox / "long.mp4").exists()
    assert "cancelled already" in house.avatar("jobs", "cancel", "long", code=1).stderr


def test_unknown_jobs_and_wrong_configs_have_their_own_exit_codes(
    installation: Callable[..., Installation],
) -> None:
    house = installation()
    assert "no job nobody" in house.avatar("jobs", "cancel", "nobody", code=3).stderr
    house.config.write_text("paths: {inbxo: x}")
    assert "paths.inbxo" in house.avatar("status", code=78).stderr


@pytest.mark.parametrize(
    ("args", "read"),
    [
        (["-c", "flag.yaml", "run"], "flag.yaml"),
        (["--config", "flag.yaml", "status"], "flag.yaml"),
        (["run", "--config", "flag.yaml"], "flag.yaml"),
        (["-c", "other.yaml", "run", "-c", "flag.yaml"], "flag.yaml"),
        (["run"], "variable.yaml"),
        (["status"], "variable.yaml"),
    ],
)
def test_a_configuration_named_by_the_option_goes_before_the_variable_and_that_before_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], read: str
) -> None:
    unusable_configurations(tmp_path)
    for variable, expected in (("variable.yaml", read), (None, read.replace("variable", "config"))):
        if variable:
            monkeypatch.setenv("AVATAR_CONFIG", variable)
        else:
            monkeypatch.delenv("AVATAR_CONFIG")
        result = run_command(args, tmp_path)
        assert result.returncode == 78, result.stderr
        assert result.stderr.startswith(f"avatar: {expected}: there is no setting nonsense"), result.stderr


def unusable_configurations(folder: Path) -> None:
    """Write several files that cannot be used, so that each command ends by naming the one it has read."""
    for name in ("flag", "other", "variable", "config"):
        (folder / f"{name}.yaml").write_text("nonsense: true\n")


@pytest.mark.parametrize(
    ("module", "args", "read"),
    [("daemon", ["-c", "flag.yaml"], "flag"), ("daemon", [], "variable"), ("daemon.cli", ["run"], "variable")],
)
@pytest.mark.usefixtures("processes")
def test_the_modules_take_the_options_and_the_variable_of_the_command(
    tmp_path: Path, module: str, args: list[str], read: str
) -> None:
    unusable_configurations(tmp_path)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AVATAR_CONFIG": "variable.yaml"}
    command = [sys.executable, "-m", module, *args]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert result.returncode == 78, result.stderr
    assert result.stderr.startswith(f"avatar: {read}.yaml: there is no setting nonsense"), result.stderr


def test_validate_tells_what_is_wrong_before_anything_is_dropped(
    installation: Callable[..., Installation],
) -> None:
    house = installation()
    (house.root / "m.yaml").write_text("text: a\nimage: gone.png\n---\ntext: b\nimgae: x\n")
    result = house.avatar("validate", "m.yaml", code=1)
    assert "gone.png is not there" in result.stdout
    assert "Did you mean `image`?" in result.stdout
    # And what cannot be said, or by nobody
    for text, code in (
        ("text: '?!'", "text-unspeakable"),
        ("text: '[pause soon] Hi.'", "pause-invalid"),
        ("text: Hi.\nvoice: hart", "voice-unknown"),
        ("text: Hi.\nduration: 60", "duration-unreachable"),
    ):
        (house.root / "said.yaml").write_text(f"kind: speech\n{text}\n")
        assert json.loads(house.avatar("validate", "said.yaml", "--json", code=1).stdout)[0]["code"] == code
    # And a file that is no picture, or one too small, before anybody looks for a face in it
    (house.root / "p.png").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    (house.root / "shown.yaml").write_text("text: Hi.\nimage: p.png\n")
    assert "share or export the picture as JPEG" in house.avatar("validate", "shown.yaml", code=1).stdout
    Image.new("RGB", (8, 8)).save(house.root / "p.png")
    assert json.loads(house.avatar("validate", "shown.yaml", "--json", code=1).stdout)[0]["code"] == "image-too-small"
    # And other files that are not what their key says
    (house.root / "t.txt").write_text("a")
    for text, code in (
        ("kind: encode\nvideo: t.txt", "video-unreadable"),
        ("kind: encode\nvideo: p.png", "video-unreadable"),
        ("kind: info\naudio: t.txt", "audio-unreadable"),
        ("kind: info\nimage: t.txt", "image-unreadable"),
        ("kind: voice\naudio: p.png\nprofile: {consent: hers}", "audio-unreadable"),
    ):
        (house.root / "given.yaml").write_text(f"{text}\n")
        assert json.loads(house.avatar("validate", "given.yaml", "--json", code=1).stdout)[0]["code"] == code
    (house.root / "good.yaml").write_text("kind: speech\ntext: a\n")
    assert "less than a second of speech" in house.avatar("validate", "good.yaml").stdout
    assert json.loads(house.avatar("validate", "good.yaml", "--json").stdout)[0]["ok"]
    # And a profile that its job would not make
    for asked, code in (
        ("consent: hers, expires: 2020-01-01", "profile-expired"),
        ("consent: hers, name: a/b", "profile-name"),
    ):
        (house.root / "asked.yaml").write_text(f"{{kind: avatar, prompt: A woman, profile: {{{asked}}}}}")
        assert json.loads(house.avatar("validate", "asked.yaml", "--json", code=1).stdout)[0]["code"] == code


def test_the_help_tells_of_each_command_what_the_command_tells() -> None:
    for name, (module, sentence) in COMMANDS.items():
        assert getattr(importlib.import_module(module), name).get_short_help_str(200) == sentence


def test_a_second_key_of_a_name_is_made_and_told_and_keys_are_listed_in_straight_columns(
    installation: Callable[..., Installation],
) -> None:
    # Given a key
    one = installation()
    first = json.loads(one.avatar("key", "add", "website", "--json").stdout)
    assert "already" not in one.avatar("key", "add", "anna-of-the-long-name", "--role", "admin", "--days", "3").stderr
    # When another one of its name is made, then it is told of the first, and what removes it
    second = one.avatar("key", "add", "website", "--role", "read")
    assert f"website has another key already: {first['id']}. All of them are valid" in second.stderr
    assert f"`avatar key revoke {first['id']}` removes one" in second.stderr
    assert second.stdout.strip().count("\n") == 0
    # And each is listed, in columns
    listed = one.avatar("key", "list").stdout.splitlines()
    assert len(listed) == 3
    assert len({line.index("; last used: never") - len(end) for line in listed for end in _ends(line)}) == 1, listed
    assert [row["name"] for row in json.loads(one.avatar("key", "list", "--json").stdout)].count("website") == 2


def test_the_limits_of_a_key_are_listed_as_the_options_that_set_them(
    installation: Callable[..., Installation],
) -> None:
    one = installation()
    limits = ("--priority", "normal", "--jobs-per-minute", "5", "--speech-per-day", "90.5", "--kind", "video")
    one.avatar("key", "add", "website", *limits)
    (line,) = one.avatar("key", "list").stdout.splitlines()
    assert line.endswith("; --jobs-per-minute 5; --speech-per-day 90.5; --priority 0; --kind video")
    (row,) = json.loads(one.avatar("key", "list", "--json").stdout)
    assert row["limits"] == {"jobs_per_minute": 5, "speech_s_per_day": 90.5, "priority": 0, "kinds": ["video"]}


def _ends(line: str) -> list[str]:
    return re.findall(r"never expires|until [^;]+", line)


def test_every_line_of_the_status_begins_with_its_label_and_goes_on_in_one_column(
    installation: Callable[..., Installation],
) -> None:
    one = installation()
    one.avatar("pause", "--reason", "night", code=None)
    one.start()
    for options in ((), ("-v",)):
        lines = one.avatar("status", *options).stdout.splitlines()
        labelled = [line for line in lines if not line[0].isdigit()]
        columns = {len(found[0]) for line in labelled if (found := re.match(r"\S+ +", line))}
        assert len(columns) == 1, lines
        assert columns.pop() == len("transcode "), lines
