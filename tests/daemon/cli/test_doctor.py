"""`avatar doctor`: whatever is broken is a finding with a remedy, and never the end of the doctor."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from daemon.cli.doctor.checks import CHECKS
from daemon.cli.doctor.checks import collect_findings as looked_at
from daemon.cli.doctor.cluster_checks import check_cluster
from daemon.cli.doctor.finding import Finding
from daemon.config import Settings
from daemon.system import installation as how_installed
from tests.conftest import Installation
from tests.support.daemon.commands import run_command
from tests.support.machine.nvenc import NvencFfmpeg
from tests.support.machine.people import ANNA, SERVICE, avatar_as, give


def looked(one: Installation, check: str) -> dict[str, Finding]:
    """The findings of one of the doctor's looks, without the others, which import and try every engine."""
    return {found.what: found for found in CHECKS[check](Settings.load(one.config))}


@pytest.mark.usefixtures("models")
def test_engines_that_crash_or_fail_when_imported_are_found_and_the_rest_is_told(modules: Path) -> None:
    # Given a library that ends its process, and one that is broken
    (modules / "mediapipe.py").write_text("import os; os.abort()")
    (modules / "onnxruntime.py").write_text("raise ImportError('libfoo.so.1: cannot open shared object file')")
    found = {one.what: one for one in CHECKS["engines"](Settings())}
    # Then each is said, with what to do, and what is whole is good
    assert "signal 6" in found["engine faces"].found
    assert "libfoo.so.1" in found["engine voice"].found
    assert all(found[what].verdict == "bad" and found[what].remedy for what in ("engine faces", "engine voice"))
    assert found["engine encoder"].verdict == "good"


def test_a_gpu_that_is_lost_between_two_questions_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)

    monkeypatch.setattr(pynvml, "nvmlInit", lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 1)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lost)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lost)
    found = next(iter(CHECKS["gpu"](Settings())))
    assert (found.what, found.verdict, "GPU is lost" in found.found) == ("gpu 0", "bad", True)
    assert found.remedy


def test_the_slot_of_each_gpu_is_told_and_a_setting_that_names_another_is_bad(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a machine with two GPUs, and no PyTorch
    for name in ("nvmlInit", "nvmlShutdown"):
        monkeypatch.setattr(pynvml, name, lambda: None)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: 2)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lambda _: SimpleNamespace(used=2e9, free=6e9, total=8e9))
    monkeypatch.setattr(pynvml, "nvmlDeviceGetUUID", lambda index: f"GPU-{index}")
    monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda _: "RTX")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    settings = Settings.model_validate({"lanes": {"gpu": {"devices": {0: ["tts"], 1: ["lipsync"]}}}})
    told = {one.what: one for one in CHECKS["gpu"](settings)}
    assert told["gpu 1"].found == "RTX, GPU-1, 6.0 of 8.0 GB free"
    assert told["gpu lane, GPU 0"].found == "one slot, for generate, tts"
    assert told["gpu lane, GPU 1"].found == "one slot, for generate, lipsync"
    wrong = Settings.model_validate({"lanes": {"gpu": {"devices": [5]}}})
    found = next(one for one in CHECKS["gpu"](wrong) if one.what == "gpu lane")
    assert (found.verdict, "there is no GPU 5; there are 0: RTX, GPU-0" in found.found) == ("bad", True)


def test_model_files_count_as_the_configured_engine_needs_them(installation: Callable[..., Installation]) -> None:
    # Given an installation that lives without the files, and one that asks for their engine
    assert looked(installation(), "model files")["musetalk's model files"].verdict == "note"
    one = installation(stages={"lipsync": {"engine": "musetalk", "musetalk": {"version": "1.0"}}})
    assert looked(one, "model files")["musetalk-v1's model files"].verdict == "bad"
    # And a file that was cut off is bad whatever is asked for
    one = installation()
    torn = one.spool / "models" / "sd-vae" / "config.json"
    torn.parent.mkdir(parents=True)
    torn.write_text('{"torn')
    found = looked(one, "model files")["musetalk's model files"]
    assert found.verdict == "bad"
    assert "sd-vae/config.json" in found.found
    assert "fetch" in found.remedy


@pytest.mark.usefixtures("processes")
def test_what_the_encoding_ffmpeg_cannot_do_is_told(tmp_path: Path) -> None:
    # Given an ffmpeg for encoding that lacks ProRes and libass, and NVENC without a driver
    ffmpeg, poor = NvencFfmpeg(tmp_path, "no driver"), tmp_path / "poor"
    poor.write_text(f"#!/bin/sh\n{ffmpeg.path} \"$@\" | grep -v ' prores_ks \\| ass '\nexit 0\n")
    poor.chmod(0o755)
    for encoder, verdict in (("auto", "good"), ("h264_nvenc", "bad")):
        settings = Settings.model_validate({"stages": {"encode": {"ffmpeg": str(poor), "encoder": encoder}}})
        found = {one.what: one for one in CHECKS["ffmpeg"](settings)}
        # Then the encoder is named with the reason, and it is bad only where NVENC is demanded
        assert found["video encoder"].verdict == verdict
        assert "h264_nvenc does not work" in found["video encoder"].found
        assert "prores_ks for `format: mov`" in found["video formats"].found
        assert found["video formats"].verdict == "note"
        assert found["video filters"].found == f"{poor} lacks ass for `captions: burn`"
        assert found["video filters"].verdict == "note"


def test_an_ffmpeg_that_is_not_there_is_bad(
    installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_FFMPEG", "/nonexistent/ffmpeg")
    found = looked(installation(), "ffmpeg")["ffmpeg"]
    assert found.verdict == "bad"
    assert found.remedy


def test_every_engine_is_spoken_with_and_a_hum_is_told_from_speech(
    installation: Callable[..., Installation], tmp_path: Path
) -> None:
    # Given an engine that hums where it should speak, beside the built-in one
    script = tmp_path / "hum.py"
    script.write_text(
        "import json, sys, wave\n"
        "for line in sys.stdin:\n"
        "    if json.loads(line)['op'] == 'init':\n"
        "        print(json.dumps({'event': 'ready', 'sample_rate': 16000, 'method': 'aligned'}), flush=True)\n"
        "        continue\n"
        "    with wave.open('p.wav', 'wb') as f:\n"
        "        f.setparams((1, 2, 16000, 0, 'NONE', '')); f.writeframes((b'\\0\\x20' * 50 + b'\\0\\xe0' * 50) * 400)\n"
        "    print(json.dumps({'event': 'spoken', 'wav': 'p.wav', 'phones': None}), flush=True)\n"
        "    print(json.dumps({'event': 'done'}), flush=True)\n"
    )
    one = installation(engines={"hum": {"command": [sys.executable, str(script)], "voices": {"low": "en"}}})
    found = looked(one, "speech")
    # Then the one is heard to be no speech, with what to do, the other is good, and nothing was written for the service
    assert found["speech of hibari"].verdict == "good"
    assert found["speech of hum"].verdict == "bad"
    assert found["speech of hum"].found.startswith("speech-invalid: ")
    assert found["speech of hum"].remedy
    assert not (one.spool / "cache").exists()


def test_limits_that_stop_the_work_are_bad(installation: Callable[..., Installation]) -> None:
    one = installation(intake={"reserve_mb": 10**9}, lanes={"memory_mb": 10**9})
    one.spool.mkdir()
    assert looked(one, "free disk")["free disk (spool)"].verdict == "bad"
    assert looked(one, "memory")["memory"].verdict == "bad"


@pytest.mark.usefixtures("models", "modules")
def test_the_machine_can_be_checked_where_there_is_no_configuration(tmp_path: Path) -> None:
    if Path("/etc/avatard/config.yaml").exists():
        pytest.skip("this machine has a configuration")
    # Given a folder in which nothing was set up, as after the installation of the package alone
    folder = tmp_path / "empty"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "AVATAR_CONFIG"}
    command = [sys.executable, "-m", "daemon.cli", "doctor", "--json"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    # Then what the machine has is said, with what is missing, and the folder is left as it was
    found = {one["what"]: one for one in json.loads(done.stdout)}
    assert found["configuration"]["verdict"] == "note"
    assert found["configuration"]["remedy"]
    assert found["ffmpeg"]["verdict"] == "good"
    assert list(folder.iterdir()) == []


def test_a_manifest_can_be_checked_where_there_is_no_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if Path("/etc/avatard/config.yaml").exists():
        pytest.skip("this machine has a configuration")
    monkeypatch.delenv("AVATAR_CONFIG", raising=False)
    (tmp_path / "good.yaml").write_text("kind: speech\ntext: Hello.\n")
    assert run_command(["validate", "good.yaml"], tmp_path).stdout.splitlines()[0] == "good.yaml: good"
    # And what cannot be told without the service's own settings is named
    (tmp_path / "good.yaml").write_text("kind: speech\ntext: Hello.\nvoice: nobody-has-this\n")
    told = run_command(["validate", "good.yaml"], tmp_path).stdout
    assert "good.yaml: not checked: the service's own voices" in told
    assert "no voice profile named 'nobody-has-this'" in told
    # But one that was named must be there
    assert run_command(["--config", "gone.yaml", "validate", "good.yaml"], tmp_path).returncode == 78


def test_what_keeps_a_voice_engine_from_speaking_is_told_with_what_to_do(
    installation: Callable[..., Installation], published_xtts: Path
) -> None:
    # Given XTTS's files, where nobody has accepted their licence; then they are only not used
    one = installation(paths={"models": str(published_xtts)})
    found = looked(one, "voices")["voices of xtts"]
    assert (found.verdict, "non-commercial" in found.found) == ("note", True)
    assert "accept_licence: true" in found.remedy
    # When it is accepted, and the file is not the published one, then that is bad, also for the list of voices from now on
    one = installation(
        paths={"models": str(published_xtts)}, stages={"tts": {"xtts": {"accept_licence": True}}},
        engines={"casa": {"command": ["/no/such"], "voices": {"luz": "es"}}},
    )  # fmt: skip
    voices = looked(one, "voices")
    assert voices["voices of xtts"].verdict == voices["voices of casa"].verdict == "bad"
    assert "is not the published file" in voices["voices of xtts"].found
    assert "model_sha256" in voices["voices of xtts"].remedy
    listed = {voice["id"]: voice for voice in json.loads(one.avatar("voice", "list", "--json").stdout)}
    assert listed["xtts/Ada"]["installed"] is False
    assert "is not the published file" in listed["xtts/Ada"]["lacking"]


def test_an_inbox_in_which_people_can_replace_each_others_files_is_told(
    installation: Callable[..., Installation],
) -> None:
    one = installation()
    one.inbox.chmod(0o2750)
    assert "inbox sharing" not in looked(one, "folders")
    # Given an inbox in which the group may write / Then it is told, with what to do
    one.inbox.chmod(0o2770)
    found = looked(one, "folders")["inbox sharing"]
    assert (found.verdict, "can replace each other's pictures" in found.found) == ("note", True)
    assert f"`chmod +t {one.inbox}`" in found.remedy
    # And with the sticky bit it is good
    one.inbox.chmod(0o3770)
    assert looked(one, "folders")["inbox sharing"].verdict == "good"


def test_a_sticky_inbox_from_which_the_service_cannot_take_is_bad(strangers_folder: Path) -> None:
    one = Installation(strangers_folder)
    one.spool.mkdir()
    give(one.spool, 0o2770)
    give(one.inbox, 0o3770, uid=ANNA)
    found = looked(one, "folders")["inbox sharing"]
    assert (found.verdict, f"belongs to uid {ANNA}" in found.found) == ("bad", True)
    assert f"chown {SERVICE} {one.inbox}" in found.remedy


def test_whoever_may_only_drop_is_told_who_may_look_at_the_rest(strangers_folder: Path) -> None:
    # Given a service's folders, of which Anna may use inbox and outbox
    one = Installation(strangers_folder)
    state = strangers_folder / "state"
    for folder in (state, state / "spool", state / "models"):
        folder.mkdir()
        give(folder, 0o2750, gid=SERVICE)
    one.config.write_text(
        "paths: {inbox: inbox, outbox: outbox, spool: state/spool, models: state/models, cache: state/cache}"
    )
    give(one.inbox, 0o3770)
    give(one.outbox, 0o2770)
    # When she asks the doctor
    told = avatar_as(ANNA, one, "doctor", "--json")
    assert told.stderr == ""
    found = {f["what"]: f for f in json.loads(told.stdout)}
    # Then her folders are looked at, and what she may not see says nothing bad, but whose it is and who may
    assert [found[what]["verdict"] for what in ("inbox", "outbox", "inbox sharing", "free disk (outbox)")] == [
        "good"
    ] * 4
    for what in ("spool", "cache", "free disk (spool)", "model files", "voices", "daemon"):
        assert found[what]["verdict"] == "note", found[what]
        assert f"uid {ANNA} may not use {state}" in found[what]["found"] or what == "daemon"
        assert "as root" in found[what]["remedy"]
    for word in ("Errno", "Error", "Traceback"):
        assert word not in told.stdout


def test_remedies_fit_the_installed_service(
    installation: Callable[..., Installation], monkeypatch: pytest.MonkeyPatch, modules: Path
) -> None:
    # Given this environment as the installed service's, which lacks much
    monkeypatch.setattr(how_installed, "HOME", Path(sys.prefix).resolve().parent)
    (modules / "mediapipe.py").write_text("import nowhere")
    monkeypatch.setenv("AVATAR_FFMPEG", "/nonexistent/ffmpeg")
    one = installation(stages={"lipsync": {"engine": "musetalk"}})
    # When the doctor looks
    found = {one.what: one for one in looked_at(Settings.load(one.config))}
    # Then it names the service's own commands and users, and none that mend something else
    for what, remedy in {
        "ffmpeg": "`make install`",
        "engine faces": "`make install`",
        "engine musetalk": "`make install OPTIONS=--musetalk`",
        "musetalk's model files": "-u avatard",
        "voices of kokoro": "-u avatard",
        "spool": "systemd-tmpfiles --create avatard.conf",
    }.items():
        assert remedy in found[what].remedy, found[what]
    for one_found in found.values():
        for wrong in ("pip install", "make setup", "avatar run"):
            assert wrong not in one_found.remedy, one_found
        assert "Error" not in one_found.found, one_found
    assert found["engine faces"].found == "nowhere is not installed"
    assert found["engine musetalk"].found.endswith("no GPU of its kind")


@pytest.mark.parametrize(
    ("tts", "verdict"),
    [
        ({}, "good"),
        ({"voice": "british female", "engine": "kokoro"}, "good"),
        ({"voice": "hart"}, "bad"),
        ({"voice": "hart", "engine": "kokoro"}, "bad"),
    ],
)
def test_a_default_voice_that_is_not_there_is_told_before_a_job_needs_it(
    installation: Callable[..., Installation], tts: dict[str, str], verdict: str
) -> None:
    one = installation(stages={"tts": tts})
    # Then the doctor and the check of the file say whether it is there, and which was probably meant
    assert (found := looked(one, "default voice")["default voice"]).verdict == verdict
    checked = json.loads(one.avatar("config", "--check", "--json").stdout)
    assert checked["ok"]
    assert bool(checked["warnings"]) is (verdict == "bad")
    if verdict == "bad":
        assert "Did you mean 'heart'?" in found.remedy
        assert "Did you mean 'heart'?" in checked["warnings"][0]


def test_a_cluster_is_looked_at_where_one_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(**ray: Any) -> dict[str, str]:
        settings = Settings.parse({"lanes": {"ray": ray}}, tmp_path / "config.yaml")
        return {finding.what: finding.verdict for finding in check_cluster(settings)}

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert found() == {}
    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"127.0.0.1:{head.getsockname()[1]}"
        assert found(address=address, gpus=1) == {"ray": "bad"}
        # Given that Ray is there
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
        assert found(address=address, gpus=1) == {"ray": "good", "ray token": "bad"}
        (tmp_path / "token").write_text("secret")
        assert found(address=address, gpus=1) == {"ray": "good"}
    assert found(address=address, gpus=1) == {"ray": "bad"}
