"""XTTS under a Python of its own: ours without coqui-tts and with a package in its way, the other without what we bring."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from daemon.cli.doctor.checks import CHECKS
from daemon.config import Settings
from daemon.config.stage_settings import ExternalEngine
from stages.tts.engines.coqui_library import PINS
from stages.tts.engines.external import probe
from stages.tts.engines.registry import ENGINES
from stages.tts.engines.voices import list_voices
from tests.conftest import Installation, wait_for
from tests.support.machine.other_pythons import BASE, COQUI, environment, packages
from tests.support.stages.coqui_models import sha256

pytestmark = pytest.mark.timeout(600)

TALE = " ".join(f"This is sentence number {number} of the tale." for number in range(1, 6))


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with what docs/engines.md says that XTTS needs, and nothing else that we bring."""
    return environment(tmp_path_factory.mktemp("theirs") / "venv", BASE)


@pytest.fixture
def house(
    installation: Callable[..., Installation], theirs: Path, published_xtts: Path, tmp_path: Path
) -> Installation:
    """An installed service without coqui-tts, whose transformers is none that XTTS could use, and whose stages may take 5 s."""
    model = published_xtts / "xtts" / "model.pth"
    one = installation(
        paths={"models": str(published_xtts)},
        stages={"tts": {"check_speech": False, "xtts": {"accept_licence": True, "model_sha256": sha256(model)}}},
        engines={"xtts": {"python": str(theirs)}},
        lanes={"timeout": {"base_s": 5.0, "per_audio_s": 0.0}},
    )
    ours = environment(tmp_path / "ours", COQUI, installed=True)
    (packages(tmp_path / "ours") / "transformers.py").write_text("raise ImportError('another version')")
    one.python = str(ours)
    return one


def programs(house: Installation) -> list[psutil.Process]:
    assert house.process is not None
    children = psutil.Process(house.process.pid).children(recursive=True)
    return [child for child in children if any(word.endswith("/bootstrap.py") for word in child.cmdline())]


def said(house: Installation) -> dict[str, int]:
    """The sentences of running jobs that are kept, and when each was written. A job may go elsewhere meanwhile."""
    kept: dict[str, int] = {}
    for path in house.spool.glob("tts/active/*/said/*.npz"):
        with contextlib.suppress(FileNotFoundError):
            kept[path.name] = path.stat().st_mtime_ns
    return kept


def clone(house: Installation, recording: Path, name: str = "Anna") -> str:
    made = json.loads(house.avatar("voice", "clone", name, str(recording), "--json").stdout)
    return str(made["id"])


def latents(house: Installation, profile: str) -> list[Path]:
    return list((house.spool / "profiles" / profile).glob("latents-xtts-*.npz"))


def test_a_profile_speaks_through_another_python_and_nothing_said_is_lost(house: Installation, recording: Path) -> None:
    # Given a profile, which is made without XTTS
    first = clone(house, recording)
    assert latents(house, first) == []
    doctor = {one.what: one for one in CHECKS["voices"](Settings.load(house.config))}
    assert doctor["voices of xtts"].verdict == "good", doctor["voices of xtts"]
    # When a text is said with it, and the program is killed after a sentence, and the daemon when it has seen that
    house.start()
    house.drop("tale.yaml", {"kind": "speech", "text": TALE, "voice": "Anna"})
    before = wait_for("a sentence", lambda: said(house))
    programs(house)[0].kill()
    wait_for("the end of the try", lambda: [end for end in house.events("stage ended") if end["stage"] == "tts"])
    house.kill()
    house.start()
    after = wait_for("the next sentence", lambda: len(now := said(house)) > len(before) and now)
    # Then it goes on after the last whole sentence, and has the time that its engine may take, beside the stage's
    assert {name: after[name] for name in before} == before
    status = house.finished("tale")
    assert status["state"] == "done", status
    assert status["stages"]["tts"]["voice"] == "xtts/Anna"
    # And what the network made of the voice is kept with the profile, and one folder of the killed programs' is left, in use
    assert len(latents(house, first)) == 1
    assert len(list((house.spool / "cache" / "engines").iterdir())) == 1
    # And when somebody else gets the name, that is who speaks
    house.avatar("voice", "remove", first)
    second = clone(house, recording)
    house.drop("other.yaml", {"kind": "speech", "text": "Good day to you.", "voice": "Anna"})
    assert house.finished("other")["state"] == "done"
    assert len(latents(house, second)) == 1


def test_what_the_other_python_lacks_fails_the_job_that_asks_and_no_other(house: Installation, recording: Path) -> None:
    # Given a profile, and an environment that was taken away
    clone(house, recording)
    config = house.config.read_text()
    house.config.write_text(config.replace("/venv/bin/python", "/gone/bin/python"))
    house.start()
    # When one job asks for it, and another one does not
    house.drop("anna.yaml", {"kind": "speech", "text": "Hello.", "voice": "Anna"})
    house.drop("other.yaml", {"kind": "speech", "text": "Hello."})
    # Then the first is told what is not there, and the second is spoken
    error = house.finished("anna")["error"]
    assert error["code"] == "voice-not-installed"
    assert "/gone/bin/python is not an executable program" in error["message"]
    assert house.finished("other")["state"] == "done"
    assert house.events("lane paused") == []


def test_no_engine_of_ours_is_offered_whose_python_is_not_there(tmp_path: Path) -> None:
    # Given the built-in voice in an environment that was never made; then it is known, and not to be used
    settings = Settings.model_validate({"engines": {"hibari": {"python": str(tmp_path / "python")}}})
    (heart,) = (voice for voice in list_voices(settings) if voice.id == "hibari/heart")
    assert heart.missing
    assert "python is not an executable program" in heart.missing.why


def asked(python: str) -> str:
    missing = probe.missing_in_python(ENGINES["xtts"], ExternalEngine(python=python))
    return f"{missing.why} {missing.remedy}" if missing else ""


def test_an_environment_is_looked_at_again_when_something_was_put_into_it(tmp_path: Path) -> None:
    # Given an environment without coqui-tts; a program that is no Python; a file that is no program
    python = environment(tmp_path / "venv", COQUI | BASE)
    text = tmp_path / "notes.txt"
    text.write_text("no program")
    assert "lacks torch, torchaudio, transformers, TTS" in asked(str(python))
    assert "docs/engines.md" in asked(str(python))
    assert "does not answer like a Python interpreter" in asked("/bin/true")
    assert "is not an executable program" in asked(str(text))
    # When its packages are installed, one of them in another version, then that is seen, and said
    full = environment(tmp_path / "full", BASE)
    for path in packages(tmp_path / "full").iterdir():
        target = packages(tmp_path / "venv") / path.name
        if path.name == f"transformers-{PINS['transformers']}.dist-info":
            shutil.copytree(path.resolve(), target)
            record = target / "METADATA"
            record.write_text(record.read_text().replace(f"Version: {PINS['transformers']}", "Version: 4.46.3", 1))
        elif not target.is_symlink():
            target.symlink_to(path.resolve())
    assert "has transformers 4.46.3" in asked(str(python))
    assert f"{python} -m pip install transformers=={PINS['transformers']}" in asked(str(python))
    assert asked(str(full)).strip() == ""
