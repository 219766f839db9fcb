"""What an operator gets wrong: one sentence with the setting's name, and the exit code that systemd understands."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

import daemon.cli.doctor
from daemon.cli import cli
from daemon.cli.doctor.finding import Finding
from daemon.config import Settings
from daemon.errors import ConfigError
from tests.conftest import ROOT, Installation
from tests.support.daemon.commands import run_command
from tests.support.machine.disk import Disk

WRONG: list[tuple[str, dict[str, Any], str, str]] = [
    ("a misspelt section", {"intakes": {}}, "there is no setting intakes", "Did you mean `intake`?"),
    ("a misspelt key", {"intake": {"setle_s": 1}}, "no setting intake.setle_s", "Did you mean `settle_s`?"),
    (
        "a deep key",
        {"lanes": {"gpu": {"stick_job": 1}}},
        "no setting lanes.gpu.stick_job",
        "Did you mean `stick_jobs`?",
    ),
    ("a word for a number", {"intake": {"scan_s": "soon"}}, "intake.scan_s is 'soon'", "number"),
    ("too small", {"retry": {"attempts": 0}}, "retry.attempts is 0", "greater than or equal to 1"),
    ("no such choice", {"log": {"level": "loud"}}, "log.level is 'loud'", "'debug', 'info', 'warning' or 'error'"),
    (
        "no preset of x264",
        {"stages": {"encode": {"preset": {"medium": "fats"}}}},
        "stages.encode.preset.medium is 'fats'",
        "'veryfast', 'faster', 'fast'",
    ),
    ("no rate factor", {"stages": {"encode": {"crf": {"high": 52}}}}, "stages.encode.crf.high is 52", "equal to 51"),
    (
        "a unit",
        {"retention": {"outbox_days": "4w"}},
        "outbox_days is '4w'",
        "a number of days: write `outbox_days: 28`.",
    ),
    ("a size", {"intake": {"reserve_mb": "5GB"}}, "reserve_mb is '5GB'", "write `reserve_mb: 5000`."),
    ("outside of its section", {"inbox": "in"}, "no setting inbox", "Did you mean `paths.inbox`, indented"),
    ("with points", {"stages.tts.voice": "emma"}, "no setting stages.tts.voice", "stages: tts: voice."),
    ("one folder in the other", {"paths": {"outbox": "inbox/out"}}, "paths: `outbox` lies in", "docs/config.md"),
    ("a list for a section", {"retry": [1]}, "retry expects a nested mapping", "docs/config.md"),
]


@pytest.mark.parametrize(("raw", "message", "hint"), [x[1:] for x in WRONG], ids=[x[0] for x in WRONG])
def test_a_wrong_setting_is_named_with_what_would_be_right(
    tmp_path: Path, raw: dict[str, Any], message: str, hint: str
) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(raw))
    result = run_command(("--config", str(tmp_path / "config.yaml"), "config", "--check"), tmp_path)
    assert result.returncode == 78
    assert message in result.stderr
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"paths:\n  inbox: in\n  outbx: out\nlog: {level: loud}\n", "no setting paths.outbx (line 3)"),
        (b"paths:\n  inbox: in\n  outbx: out\nlog: {level: loud}\n", "1 more mistake: log.level is 'loud' (line 4)"),
        (b"log:\n  level: info\nretry: {}\nlog: {}\n", "log is there twice, in line 1 and in line 4"),
        (b"paths:\n\tinbox: in\n", "at line 2, column 1: a tab; indent with blanks"),
        (b"paths: {inbox: in\n", "the file ends before a quote or a bracket is closed"),
        (b"paths:\n  inbox: \xfc\n", "is not UTF-8 text at line 2. Save it in UTF-8"),
        (b"retention:\n  outbox_days: 2026-13-45\n", "has a value that cannot be read"),
        (b"stages: {tts: {level_audio: maybe}}\n", "level_audio is 'maybe' (line 1). It should be true or false"),
        (b"server: {user: 1000}\n", 'server.user is 1000 (line 1). It should be text: write `user: "1000"`.'),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line(tmp_path: Path, text: bytes, message: str) -> None:
    (tmp_path / "config.yaml").write_bytes(text)
    with pytest.raises(ConfigError) as told:
        Settings.load(tmp_path / "config.yaml")
    assert message in str(told.value)


def test_the_doctor_names_a_wrong_configuration_and_looks_at_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.yaml").write_text("intakes: {}\n")
    monkeypatch.setattr(daemon.cli.doctor, "collect_findings", lambda settings: [Finding("disk", "good", "enough")])
    result = CliRunner().invoke(cli, ["--config", str(tmp_path / "config.yaml"), "doctor"])
    assert result.exit_code == 1
    assert "there is no setting intakes (line 1)" in result.output
    assert "disk: enough" in result.output


def test_the_daemon_does_not_start_with_a_wrong_setting_and_says_the_same(
    installation: Callable[..., Installation],
) -> None:
    one = installation()
    one.config.write_text(yaml.safe_dump({"intakes": {}}))
    said = one.avatar("run", code=78).stderr
    assert said == one.avatar("config", "--check", code=78).stderr


@pytest.mark.parametrize("name", ["outbox", "spool", "cache"])
def test_a_folder_that_cannot_be_is_named_by_its_setting(installation: Callable[..., Installation], name: str) -> None:
    one = installation()
    (one.root / "file").write_text("I am no folder.")
    paths = yaml.safe_load(one.config.read_text())["paths"]
    one.config.write_text(yaml.safe_dump({"paths": {**paths, name: "file/below"}, "metrics": {"port": 0}}))
    said = one.avatar("run", code=78).stderr
    assert f"paths.{name}: {one.root / 'file'}" in said
    assert "Not a directory" in said


def test_a_port_that_is_taken_is_named(installation: Callable[..., Installation]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        one = installation(metrics={"port": port})
        said = one.avatar("run", code=78).stderr
    assert f"metrics.port: 127.0.0.1:{port} is not usable: Address already in use" in said


def test_a_full_disk_at_the_first_start_is_no_wrong_configuration(
    installation: Callable[..., Installation], disk: Callable[[int], Disk]
) -> None:
    # Given a spool on a disk without any room / Then the daemon says so, and systemd will try again (code 78 would forbid it)
    one, small = installation(), disk(32)
    small.fill(4)
    paths = yaml.safe_load(one.config.read_text())["paths"]
    one.config.write_text(
        yaml.safe_dump({"paths": {**paths, "spool": str(small.root / "spool")}, "metrics": {"port": 0}})
    )
    result = one.avatar("run", code=None)
    assert "paths.spool: No space left on device" in result.stderr
    assert result.returncode not in (0, 2, 78)


def test_profiles_have_a_place_where_the_configuration_does_not_name_one(tmp_path: Path) -> None:
    # Given a configuration from before there were profiles, in a folder where nothing can be written
    old = tmp_path / "config.yaml"
    old.write_text("paths: {spool: /var/lib/avatard/spool}\n")
    # Then they lie with the spool, and the installed configuration names no folder that the unit keeps the daemon from
    assert Settings.load(old).paths.profiles == Path("/var/lib/avatard/spool/profiles")
    installed = Settings.load(ROOT / "systemd" / "config.yaml").paths
    writable = [Path(folder) for folder in ("/srv/avatard", "/var/lib/avatard", "/var/cache/avatard")]
    for name in type(installed).model_fields:
        assert any(getattr(installed, name).is_relative_to(folder) for folder in writable), name
