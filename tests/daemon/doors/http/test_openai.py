"""OpenAI's speech door without a daemon: what it refuses, in which shape, and which voices and models it takes for which."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from starlette.requests import ClientDisconnect

from daemon.config import Settings
from daemon.doors.http.api_keys import ApiKeys
from daemon.doors.http.callers import Caller
from daemon.doors.http.jobs import Jobs
from daemon.doors.http.openai import live as live_speech
from daemon.doors.http.openai import routes
from daemon.doors.http.openai.live import BrokenSpeechError, LiveFile, samples
from daemon.doors.http.openai.voices import VoiceNames
from daemon.doors.http.problems import RequestError
from daemon.doors.voice_list import BY_HTTP, name_voice_list
from daemon.errors import MachineError
from stages.media.loudness import measure_loudness
from stages.tts.engines.voice_hints import all_voices, language_unsupported, where_all_are
from stages.tts.engines.voices import list_voices
from stages.tts.live_speech import LiveSpeech, bent, loudness
from tests.daemon.doors.http.conftest import Door

SPEECH: dict[str, Any] = {"model": "tts-1", "voice": "alloy", "input": "Good morning."}


@pytest.mark.parametrize(
    ("wrong", "status", "code", "param"),
    [
        ({"input": "a" * 4097}, 400, "request-invalid", "input"),
        ({"input": ""}, 400, "request-invalid", "input"),
        ({"input": "half \ud800 a sign"}, 400, "request-invalid", None),
        ({"voice": 5}, 400, "request-invalid", "voice"),
        ({"speed": 0.1}, 400, "request-invalid", "speed"),
        ({"response_format": "ogg"}, 400, "request-invalid", "response_format"),
        ({"model": "sora"}, 404, "model-unknown", "model"),
        ({}, 503, "daemon-absent", None),
    ],
)
def test_what_is_wrong_is_said_in_openais_shape_and_nothing_is_handed_in(
    door: Door, wrong: dict[str, Any], status: int, code: str, param: str | None
) -> None:
    answer = door.open.post("/v1/audio/speech", SPEECH | wrong)
    assert answer.status == status, answer.body
    error = answer.json["error"]
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == ("server_error" if status >= 500 else "invalid_request_error")
    assert error["message"].endswith(".")
    assert door.manifests == []


def test_a_speech_whose_key_is_revoked_while_it_is_awaited_is_refused_and_cancelled(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna = door.key("anna")
    door.key("ben")
    asked: list[str] = []

    def look(self: Jobs, job: str, caller: object) -> dict[str, str]:
        ApiKeys(door.settings.server.keys).revoke("anna")
        monkeypatch.setattr(Jobs, "status", lambda *_: {"state": "cancelled", "name": "a"})
        return {"state": "running"}

    monkeypatch.setattr(Jobs, "may_run", lambda self: True)
    monkeypatch.setattr(Jobs, "status", look)
    monkeypatch.setattr(Jobs, "ask", lambda self, op, *_: asked.append(op))
    answer = anna.post("/v1/audio/speech", SPEECH)
    assert (answer.status, answer.json["error"]["code"], asked) == (401, "key-refused", ["cancel"])


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_speech_that_its_client_can_ask_for_again_goes_on_when_the_client_goes(comes_back: bool) -> None:
    asked: list[str] = []

    class Gone:
        async def is_disconnected(self) -> bool:
            return True

    class DoorOfOne:
        jobs = SimpleNamespace(ask=lambda op, *_: asked.append(op))
        status = staticmethod(lambda *_: {"state": "running"})

    with pytest.raises(ClientDisconnect):
        asyncio.run(routes._ended(cast(Any, Gone()), cast(Any, DoorOfOne()), Caller(), "", None, comes_back=comes_back))
    assert asked == ([] if comes_back else ["cancel"])


def test_a_speech_whose_key_is_revoked_while_it_is_sent_is_cancelled_though_it_could_be_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    class DoorOfOne:
        jobs = SimpleNamespace(ask=lambda op, *_: asked.append(op))
        settings, speaking = Settings(), contextlib.nullcontext()

        def status(self, *_: object) -> dict[str, object]:
            raise RequestError("key-refused", "This key is not known.", "")

    async def listen() -> None:
        live = cast(Any, SimpleNamespace(rate=24_000, read=lambda: b"", ended=False, close=lambda: None))
        request = cast(Any, SimpleNamespace(url=SimpleNamespace(path="/v1/audio/speech")))
        async for _ in routes._spoken(request, cast(Any, DoorOfOne()), Caller(), "", live, "pcm", comes_back=True):
            pass

    monkeypatch.setattr(live_speech, "_STATUS_S", 0.0)
    with pytest.raises(BrokenSpeechError):
        asyncio.run(listen())
    assert asked == ["cancel"]


@pytest.mark.parametrize(
    "error", [MachineError("outbox-missing", "/srv/outbox is not there."), PermissionError(1, "No", "/srv/outbox")]
)
def test_a_speech_whose_job_cannot_be_looked_at_any_more_ends_with_an_event_that_names_no_folder(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    class DoorOfOne:
        jobs = SimpleNamespace(ask=lambda *_: "")
        settings, speaking = Settings(), contextlib.nullcontext()

        def status(self, *_: object) -> dict[str, object]:
            raise error

    async def told() -> str:
        live = cast(Any, SimpleNamespace(rate=24_000, read=lambda: b"", ended=False, close=lambda: None))
        request = cast(Any, SimpleNamespace(url=SimpleNamespace(path="/v1/audio/speech")))
        pieces = routes._spoken(request, cast(Any, DoorOfOne()), Caller(), "", live, "pcm", comes_back=True)
        return "".join([event.decode() async for event in routes._live_events(pieces)])

    monkeypatch.setattr(live_speech, "_STATUS_S", 0.0)
    said = asyncio.run(told())
    assert '"type": "error"' in said
    assert "/srv" not in said


def test_what_the_check_of_the_job_finds_is_said_of_the_name_that_the_client_sent(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Jobs, "may_run", lambda self: True)
    for wrong, param in (({"input": "a\0b"}, "input"), ({"language": "x1"}, "language")):
        error = door.open.post("/v1/audio/speech", SPEECH | wrong).json["error"]
        assert error["param"] == param
        assert f"`{param}`" in error["message"]
        assert "`text`" not in error["message"]


def test_errors_have_openais_shape_at_its_addresses_and_only_there(door: Door) -> None:
    assert door.open.get("/v1/audio/nothing").json["error"]["code"] == "page-unknown"
    assert door.open.get("/v1/models", Host="evil.example").json["error"]["code"] == "host-unknown"
    assert door.open.get("/v2/models").code == "page-unknown"
    anna = door.key("anna", kinds=["video"])
    assert door.open.post("/v1/audio/speech", SPEECH).json["error"]["code"] == "key-missing"
    assert [one["id"] for one in anna.get("/v1/models").json["data"]] == ["tts-1", "tts-1-hd", "gpt-4o-mini-tts"]


def test_without_keys_any_key_is_as_good_as_none(door: Door) -> None:
    """OpenAI's clients always send one."""
    assert door.open.with_key("sk-none").get("/v1/models").status == 200


def _row(voice: str, **more: object) -> dict[str, object]:
    engine, _, name = voice.partition("/")
    return {"id": voice, "name": name, "engine": engine, "installed": True, "aliases": [], **more}


def test_openais_names_mean_a_voice_of_the_name_or_the_default_one() -> None:
    rows = [_row("hibari/heart"), _row("kokoro/heart"), _row("kokoro/alloy"), _row("kokoro/echo", installed=False)]
    names = VoiceNames({"voices": rows}, {"Boss": "kokoro/heart", "nova": "heart"})
    for voice, model, ours in (
        ("heart", "tts-1", "heart"),
        ("alloy", "tts-1", "alloy"),
        ("Alloy", "kokoro", "kokoro/alloy"),
        ("echo", "tts-1-hd", "default"),  # the voice of this name is not here
        ("ash", "hibari", "hibari/heart"),
        ("nova", "tts-1", "heart"),
        ("boss", "gpt-4o-mini-tts", "kokoro/heart"),
        ("hart", "tts-1", "hart"),  # the job says which is meant
    ):
        assert names.ours(voice, model) == ours
    assert names.models[-2:] == ["hibari", "kokoro"]
    assert [one["id"] for one in names.listed] == ["hibari/heart", "kokoro/heart", "alloy", "boss", "nova"]


def test_a_list_of_voices_that_cannot_be_used_leaves_the_default_voice() -> None:
    for published in ({}, {"voices": 5}, {"voices": [5, {"id": 7}]}):
        assert VoiceNames(published, {}).ours("alloy", "tts-1") == "default"


def test_a_speech_that_is_begun_anew_goes_on_where_it_was_and_one_that_ends_without_an_end_is_broken(
    tmp_path: Path,
) -> None:
    (tmp_path / ".avatard").touch()
    tone = [np.sin(np.arange(24_000) * 0.05 * step).astype(np.float32) * 0.2 for step in (1, 2)]
    live = LiveFile(tmp_path, "job-1")
    assert not live.open()
    state = {"state": "running"}

    async def heard() -> bytes:
        data = b""
        async for piece in samples(live, lambda: state):
            data += piece
            if len(data) == 48_000 and state["state"] == "running":  # the stage is killed, and begins again
                write(tone)
        return data

    def write(sounds: list[npt.NDArray[np.float32]], whole: bool = True) -> None:
        with contextlib.suppress(ZeroDivisionError), LiveSpeech(tmp_path, "job-1", 24_000) as speech:
            for sound in sounds:
                speech.add(sound)
            os.link(tmp_path / ".job-1.speech.tmp", tmp_path / "kept")
            _ = 1 / whole
        os.rename(tmp_path / "kept", tmp_path / ".job-1.speech.tmp")  # it goes when it has ended

    write(tone[:1], whole=False)
    assert live.open()
    data = np.frombuffer(asyncio.run(heard()), "<i2") / 32767.0
    assert len(data) == 48_000
    assert np.corrcoef(data, np.concatenate(tone))[0, 1] > 0.99
    # When it fails in the middle
    write(tone[:1], whole=False)
    live, state = LiveFile(tmp_path, "job-1"), {"state": "failed"}
    assert live.open()
    with pytest.raises(BrokenSpeechError):
        asyncio.run(heard())
    # And the sound that somebody else puts there is not sent
    if os.geteuid() == 0:
        os.chown(tmp_path / ".job-1.speech.tmp", 12345, -1)
        assert not LiveFile(tmp_path, "job-1").open()


@pytest.mark.usefixtures("processes")
def test_the_loudness_of_a_sentence_is_that_of_the_standard(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = (rng.standard_normal(24_000 * 3) * 0.05).astype(np.float32)
    noise[24_000:36_000] = 0.0  # a pause does not count
    assert loudness(noise, 24_000) == pytest.approx(measure_loudness([noise], 24_000, tmp_path), abs=0.5)
    assert np.abs(bent(noise * 40)).max() <= 10 ** (-1.5 / 20) + 1e-6


@pytest.mark.parametrize("has_page", [True, False])
def test_what_the_stages_call_the_list_of_voices_is_named_as_callers_see_it(has_page: bool) -> None:
    settings = Settings.parse({"intake": {"voices_page": has_page}}, Path("config.yaml"))
    assert name_voice_list(f"All are listed {where_all_are(settings)}.") == f"All are listed by {BY_HTTP}."
    assert name_voice_list(f"{all_voices(settings)} lists those there are.", "`list_voices`")[:13] == "`list_voices`"


@pytest.mark.parametrize("language", ["de", "mi"])
def test_a_language_that_no_voice_speaks_is_told_without_a_key_that_the_door_does_not_take(
    tmp_path: Path, language: str
) -> None:
    # Given what the job says, which proposes a recording
    settings = Settings.parse({}, tmp_path / "config.yaml")
    voices = [voice for voice in list_voices(settings) if not voice.installed]
    hint = str(language_unsupported(voices, language, "There is none.", settings).hint)
    assert "with `audio`" in hint
    # Then the door says the rest of it
    told = routes._without_sound(hint)
    assert isinstance(told, str)
    assert told
    assert "`audio`" not in told
    assert hint.startswith(told)
    assert routes._without_sound(None) is None
