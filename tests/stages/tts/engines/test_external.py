"""Voice engines in programs of their own: the documented example works, and a broken one costs a job, not the service."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import stages.tts
from daemon.config import Settings
from daemon.config.stage_settings import ExternalEngine
from daemon.errors import JobError, MachineError, UnknownError
from stages.context import Context
from stages.tts.engines import time_limits
from stages.tts.engines.base import LoadedVoice, Piece
from stages.tts.engines.external import host
from tests.conftest import ROOT, Installation, wait_for
from tests.support.stages.sound_jobs import job, sound, timing

pytestmark = pytest.mark.usefixtures("models")


def example(folder: Path) -> Path:
    """The engine printed in docs/engines.md."""
    page = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    path = folder / "engine.py"
    path.write_text(code, encoding="utf-8")
    return path


def engines(script: Path, **more: Any) -> dict[str, Any]:
    beeps = {"command": [sys.executable, str(script)], "voices": {"low": "en", "high": "en"}, "licence": "CC0-1.0"}
    return {"beeps": {**beeps, **more}}


def test_the_documented_engine_speaks_in_a_real_job_and_ends_with_its_daemon(
    tmp_path: Path, installation: Callable[..., Installation]
) -> None:
    # Given a daemon whose config names the engine of the documentation
    house = installation(engines=engines(example(tmp_path)))
    house.start()
    # When a text is dropped that asks for its voice, and another one
    for name in ("one", "two"):
        house.drop(f"{name}.yaml", {"kind": "speech", "text": "Hello there, my friend.", "voice": "beeps/low"})
    status = house.finished("one")
    # Then it is spoken by that engine, which says so
    assert status["state"] == "done", status
    facts = status["stages"]["tts"]
    assert (facts["engine"], facts["voice"], facts["method"]) == ("beeps", "beeps/low", "exact")
    assert (facts["licence"], facts["words"]) == ("CC0-1.0", 4)
    # And one program said both
    assert house.finished("two")["state"] == "done"
    assert house.process is not None
    daemon = psutil.Process(house.process.pid)
    programs = [child for child in daemon.children(recursive=True) if str(tmp_path / "engine.py") in child.cmdline()]
    assert len(programs) == 1
    # And when the daemon is killed, without any chance to tidy up, the program is gone with it
    house.kill()
    wait_for("the program to end", lambda: not programs[0].is_running() or programs[0].status() == "zombie")


def test_a_voice_that_is_tried_by_hand_speaks_its_own_language(
    tmp_path: Path, installation: Callable[..., Installation]
) -> None:
    # Given a voice that speaks Spanish alone
    house = installation(engines=engines(example(tmp_path), voices={"low": "es-ES"}))
    out = str(tmp_path / "hola.wav")
    # When it is tried without a word about the language / Then that is the text's
    answer = json.loads(house.avatar("voice", "speak", "low", "Hola a todos.", "-o", out, "--json").stdout)
    assert answer["timing"]["language"] == "es-ES"
    # And where another one is asked for, that is an error which says how to ask for its own
    told = house.avatar("voice", "speak", "low", "Hello.", "-l", "en", "-o", out, code=1).stderr
    assert "language: es-ES" in told


def test_times_and_sound_of_another_program_arrive_whole(tmp_path: Path) -> None:
    ctx = job(tmp_path / "job", {"engines": engines(example(tmp_path))}, text="Hello there. My friend!", voice="low")
    stages.tts.run(ctx)
    found = timing(ctx)
    samples, rate = sound(ctx.path("speech.wav"))
    assert [word["text"] for word in found["words"]] == ["Hello", "there.", "My", "friend!"]
    assert rate == 16_000
    for word in found["words"]:
        first, last = round(word["start"] * rate), round(word["end"] * rate)
        assert abs(samples[first + 200 : last - 200]).max() > 0.1
    for before, after in zip(found["words"], found["words"][1:], strict=False):
        middle = round((before["end"] + after["start"]) / 2 * rate)
        assert samples[middle] == 0.0


def test_programs_end_where_their_memory_is_needed_and_start_again(tmp_path: Path) -> None:
    # Given an engine whose program stays after a job
    def speak(name: str) -> psutil.Process:
        ctx = job(tmp_path / name, {"engines": engines(example(tmp_path))}, text="Hello there.", voice="low")
        stages.tts.run(ctx)
        mine = psutil.Process().children(recursive=True)
        (program,) = [child for child in mine if str(tmp_path / "engine.py") in child.cmdline()]
        return program

    program = speak("one")
    assert speak("two").pid == program.pid
    # When another stage finds no room on the GPU, which that program may hold / Then it ends, once
    assert stages.tts.release() == {"stopped": "beeps"}
    assert not program.is_running() or program.status() == "zombie"
    assert stages.tts.release() == {}
    # And the next job has a new one
    assert speak("three").pid != program.pid
    stages.tts.release()


def test_an_engine_of_ours_says_the_same_through_another_python(tmp_path: Path) -> None:
    # Given a text said by hibari in this process, and by hibari under an interpreter of its own,
    # where config.yaml prefers another engine, which that interpreter knows nothing of
    text = "Nobody knows the 7:30 train."
    here = job(tmp_path / "here", text=text)
    others = {"hibari": {"python": sys.executable}, **engines(tmp_path / "unused.py")}
    there = job(
        tmp_path / "there", {"engines": others, "stages": {"tts": {"engine": "beeps"}}}, text=text, voice="hibari/heart"
    )
    stages.tts.run(here)
    stages.tts.run(there)
    # Then the times are the same, and the sound but for one rounding to 16 bits more, raised with the sound afterwards
    assert timing(here) == timing(there)
    difference = sound(here.path("speech.wav"))[0] - sound(there.path("speech.wav"))[0]
    assert abs(difference).max() < 8 / 32768


def test_the_time_to_speak_grows_with_the_text_and_the_tries() -> None:
    # Given a clause as long as they come, and a word; then the clause has more time, and more where it is slow
    settings = Settings.model_validate({"stages": {"tts": {"xtts": {"attempts": 4}}}})
    word, clause, slow = (
        Piece(("speaking",) * count, "en", speed, (0,)) for count, speed in ((1, 1.0), (30, 1.0), (30, 0.5))
    )
    times = [time_limits.say_limit_s("beeps", piece, settings) for piece in (word, clause, slow)]
    assert times[0] < times[1] < times[2]
    # And XTTS has what comes with the text for each of its tries
    more = time_limits.say_limit_s("xtts", clause, settings) - times[1]
    assert more == pytest.approx(3 * 240 * ExternalEngine().say_char_s)


READY = 'print(json.dumps({"event": "ready", "sample_rate": 16000, "method": "exact"}), flush=True); input()\n'
SAID = """
def wav(name="p.wav", rate=16000, n=16000, swells=True):
    level = lambda t: 9000 * (math.sin(math.pi * (t % 4000) / 4000) if swells else 1)
    with wave.open(name, "wb") as f:
        f.setparams((1, 2, rate, 0, "NONE", ""))
        f.writeframes(array.array("h", [int(level(t) * math.sin(t / 9)) for t in range(n)]).tobytes())
def spoken(wav="p.wav", **more):
    print(json.dumps({"event": "spoken", "wav": wav, "phones": [], **more}), flush=True)
def phone(start, end, word=0):
    return {"phone": "a", "start": start, "end": end, "word": word, "stress": 0}
"""


def hostile(folder: Path, code: str, *, ready: bool = True, **settings: Any) -> Context:
    script = folder / "engine.py"
    start = "input()\n" + READY if ready else ""
    script.write_text(f"import array, json, math, os, sys, time, wave\n{SAID}\n{start}{code}\n")
    return job(folder / "job", {"engines": engines(script, **settings)}, text="Hello there.", voice="low")


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print('out of ideas', file=sys.stderr); sys.exit(3)", r"ended \(exit code 3\).*out of ideas"),
        ("os.kill(os.getpid(), 9)", "SIGKILL"),
        ("print('hello', flush=True); time.sleep(99)", "'hello'; a JSON object expected"),
        ("print('[' * 100000, flush=True); time.sleep(99)", "a JSON object expected"),
        ("sys.stdout.write('x' * 3000000); sys.stdout.flush(); time.sleep(99)", "a line of more than"),
        ("spoken('../../etc/passwd'); time.sleep(99)", "wav"),
        ("os.symlink('/etc/passwd', 'p.wav'); spoken(); time.sleep(99)", "cannot be used"),
        ("os.mkfifo('p.wav'); spoken(); time.sleep(99)", "not a regular file"),
        ("spoken('none.wav'); time.sleep(99)", "No such file"),
        ("open('p.wav', 'w').write('RIFF'); spoken(); time.sleep(99)", "cannot be used"),
        ("wav(rate=8000); spoken(); time.sleep(99)", "not 16-bit mono at 16000 Hz"),
        ("open('p.wav', 'w').truncate(10**9); spoken(); time.sleep(99)", "more than 600 s"),
        ("wav(); spoken(phones=[phone(0.5, 9.0)]); time.sleep(99)", "but the sound from 0 to 1 s"),
        ("wav(); spoken(phones=[phone(0.1, 0.2, 7)]); time.sleep(99)", "word 7, but the piece has 2 words"),
        ("wav(); spoken(phones=[phone(0.5, 0.6), phone(0.1, 0.2)]); time.sleep(99)", "out of order"),
        ("wav(); spoken(phones=[phone(float('nan'), 1)]); time.sleep(99)", "finite"),
        ("wav(); spoken(warnings=['x' * 9999]); time.sleep(99)", "warnings"),
        ("for i in range(9999): wav(f'{i}.wav', n=10); spoken(f'{i}.wav')", "more than 1000 answers"),
    ],
)
def test_what_a_broken_engine_does_is_said_and_bounded(tmp_path: Path, code: str, says: str) -> None:
    # Given an engine that starts well, and then ends, lies, or floods
    ctx = hostile(tmp_path, code)
    # When it is to say something, then the job is told what happened, may be tried again, and leaves nothing behind
    with pytest.raises(UnknownError) as caught:
        stages.tts.run(ctx)
    assert caught.value.code == "engine-failed"
    assert re.search(says, caught.value.message), caught.value.message
    assert len(caught.value.message) < 8000
    assert not ctx.path("speech.wav").exists()
    assert not [p for p in psutil.Process().children() if str(tmp_path / "engine.py") in p.cmdline()]


def test_an_engine_that_hangs_is_ended_and_the_next_job_has_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an engine that hangs at its first sentence, unless it did so before
    code = (
        "hangs = not os.path.exists(sys.argv[0] + '.hung'); open(sys.argv[0] + '.hung', 'w'); input()\n"
        f"{READY}if hangs: time.sleep(999)\n"
        'wav(); spoken(phones=[phone(0, 0.5), phone(0.5, 1, 1)]); print(\'{"event": "done"}\', flush=True); input()'
    )
    ctx = hostile(tmp_path, code, ready=False)
    with monkeypatch.context() as soon:
        soon.setattr(time_limits, "say_limit_s", lambda *_: 0.5)
        with pytest.raises(UnknownError, match="exceeded its time limit"):
            stages.tts.run(ctx)
    # When the job is tried again, then a new program says it
    assert stages.tts.run(ctx)["words"] == 2


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("sys.exit('no such card')", "no such card"),
        ("input(); print('{}', flush=True); time.sleep(99)", "ready"),
        ('print(json.dumps({"event": "error", "message": "no licence file"}), flush=True); input()', "no licence file"),
        ("time.sleep(99)", "exceeded its time limit"),
    ],
)
def test_an_engine_that_does_not_start_is_the_machines_fault(tmp_path: Path, code: str, says: str) -> None:
    late = says == "exceeded its time limit"  # the others end by themselves, however busy the machine is
    ctx = hostile(tmp_path, code, ready=False, start_s=1.0 if late else 300.0)
    with pytest.raises(MachineError, match=says) as caught:
        stages.tts.run(ctx)
    assert caught.value.code == "engine-broken"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    ctx = job(tmp_path, {"engines": {"gone": {"command": ["/no/such"], "voices": {"a": "en"}}}}, text="Hi.", voice="a")
    with pytest.raises(MachineError, match=r"/no/such: No such file"):
        stages.tts.run(ctx)


@pytest.mark.parametrize("ready", [True, False])
def test_an_engines_own_error_is_passed_on_with_its_fault(tmp_path: Path, ready: bool) -> None:
    error = {
        "event": "error",
        "fault": "job",
        "code": "too-rude",
        "message": "I will not say that.",
        "hint": "Be kind.",
        "traceback": "rude.py, line 3",
    }
    # Given an engine that refuses the words, or the voice already
    ctx = hostile(tmp_path, f"print({str(error).replace(chr(39), chr(34))!r}, flush=True); input()", ready=ready)
    with pytest.raises(JobError) as caught:
        stages.tts.run(ctx)
    assert (caught.value.code, caught.value.hint) == ("too-rude", "Be kind.")
    assert caught.value.traceback == "rude.py, line 3"


def test_an_engine_of_ours_in_another_python_says_where_it_failed_unexpectedly(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, voice: str, settings: Settings) -> LoadedVoice:
        raise {"damaged": ValueError("a damaged model"), "gone": JobError("voice-unknown", "It is gone.")}[voice]

    monkeypatch.setattr(host, "_load_named_voice", fail)
    requests = [{"op": "say", "voice": voice} for voice in ("damaged", "gone")]
    answers = io.BytesIO()
    host.serve_requests(io.BytesIO(b"".join(json.dumps(request).encode() + b"\n" for request in requests)), answers)
    unexpected, expected = (json.loads(line) for line in answers.getvalue().splitlines())
    assert "in fail\n" in unexpected["traceback"]
    assert unexpected["traceback"].endswith("ValueError: a damaged model")
    assert expected["traceback"] == ""
