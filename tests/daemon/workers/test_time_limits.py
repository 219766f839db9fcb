"""How long a stage may take follows what it works on, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon.config.settings import Timeout
from daemon.jobs.facts import JobFacts, StageFacts
from daemon.jobs.record import Job
from daemon.jobs.stages import Stage
from daemon.workers.time_limits import stage_timeout_s

TIMEOUT = Timeout(base_s=60, per_audio_s=20, per_megapixel_s=1, per_mb_s=2)


def job(*, audio_s: float = 0.0, width: int = 1080, height: int = 1080, **manifest: Any) -> Job:
    facts: dict[str, StageFacts] = {"tts": {"audio_s": audio_s}, "face": {"width": width, "height": height}}
    return Job("job-20260101T000000Z-00000001", "n", "n.yaml", manifest=manifest, facts=JobFacts(facts))


def sparse(path: Path, megabytes: int) -> None:
    with path.open("wb") as file:
        file.truncate(megabytes * 10**6)


def test_each_stage_is_given_time_by_what_it_works_on(tmp_path: Path) -> None:
    def given(stage: Stage, one: Job) -> float:
        return stage_timeout_s(one, stage, tmp_path, TIMEOUT)

    long_text = job(text="a" * 1400)  # 100 s, as is guessed
    brought = job(audio="a.wav", text="a" * 1400)
    sparse(tmp_path / "source.audio", 5)
    sparse(tmp_path / "video.mp4", 3)
    # The picture's time follows no text (and the worker asks for more by its pixels)
    assert given("face", long_text) == 60
    # A voice's follows the text, a sound file's its size, whatever its text is
    assert given("tts", long_text) == pytest.approx(60 + 20 * 100)
    assert given("tts", brought) == 60 + 2 * 5
    # The mouth's and the video's follow the speech
    assert given("lipsync", job(audio_s=10, text="a" * 1400)) == 60 + 20 * 10
    assert given("encode", job(audio_s=10)) == 60 + 20 * 10
    # A video of more and larger frames takes longer; smaller ones are given no less
    assert given("encode", job(audio_s=10, width=2160, height=2160, fps="60")) == pytest.approx(60 + 20 * 10 * 4 * 2)
    assert given("encode", job(audio_s=10, width=128, height=128)) == 60 + 20 * 10
    # Delivering follows the results' size, not that of what came in
    assert given("deliver", job(audio_s=1000)) == 60 + 2 * 3
