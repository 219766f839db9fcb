"""How far a job is and how long it takes, learned from the jobs before it."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from daemon.jobs.facts import JobFacts
from daemon.jobs.kinds import KINDS
from daemon.jobs.record import Job, State
from daemon.jobs.speech_length import CHARS_PER_S
from daemon.jobs.stages import BY_NAME, STAGES
from daemon.outbox.estimates.learned_times import LearnedTimes, from_factors
from daemon.outbox.estimator import Estimator, Work, speech_s


def job(audio_s: float = 10.0, **fields: Any) -> Job:
    facts = JobFacts({"tts": {"audio_s": audio_s}} if audio_s else {})
    record: dict[str, Any] = {"stages": KINDS["video"].stages, "stage": "encode", "state": "running", "facts": facts}
    return Job(**{"id": "job-20260101T000000Z-00000001", "name": "n", "source": "n.yaml", **record, **fields})


def test_it_learns_how_long_a_stage_takes_on_this_machine() -> None:
    estimator, one = Estimator(), job()
    before = {stage: estimator.stage_s(one, stage) for stage in STAGES}
    # When encoding takes five times as long as guessed, again and again
    for _ in range(30):
        estimator.stage_ended(one, "encode", "done", 5 * before["encode"])
    # And one job takes over the video of another, in no time
    again = job(facts=JobFacts({**one.facts.stages, "encode": {"taken_over": True}}))
    estimator.stage_ended(again, "encode", "done", 0.01)
    # Then that is what is expected of it, and of no other stage
    assert estimator.stage_s(one, "encode") == pytest.approx(5 * before["encode"], rel=0.01)
    assert all(estimator.stage_s(one, stage) == before[stage] for stage in STAGES if stage != "encode")


def test_what_was_learned_of_one_length_of_speech_holds_for_others() -> None:
    estimator, short, long = Estimator(), job(10.0), job(600.0)
    for _ in range(30):
        estimator.stage_ended(short, "encode", "done", 2 * Work.of_job(short).first_guess_s("encode"))
    guess = BY_NAME["encode"]
    drawn = 1080 * 1080 * 25 / 1e6  # megapixels in a second: the size is not known
    expected = 2 * (guess.start_s + 600.0 * (guess.per_speech_s + drawn * guess.per_megapixel_s))
    assert estimator.stage_s(long, "encode") == pytest.approx(expected, rel=0.01)


def test_a_larger_video_takes_longer_to_draw_and_the_face_stage_knows_its_size() -> None:
    facts = JobFacts({"tts": {"audio_s": 10.0}, "face": {"width": 512, "height": 512}})
    small, asked = job(facts=facts), job(manifest={"size": "512x512", "fps": "50"})
    assert Work.of_job(small).megapixels_per_s == pytest.approx(512 * 512 * 25 / 1e6)
    assert Work.of_job(asked).megapixels_per_s == 2 * Work.of_job(small).megapixels_per_s
    assert Estimator().stage_s(job(), "encode") > Estimator().stage_s(small, "encode")
    assert Estimator().stage_s(job(), "tts") == Estimator().stage_s(small, "tts")


def test_a_conversion_takes_as_long_as_its_video_is_long_and_large() -> None:
    def converted(seconds: float, side: int) -> Job:
        facts = JobFacts({"transcode": {"duration_s": seconds, "width": side, "height": side}})
        return job(0.0, stages=KINDS["encode"].stages, stage="transcode", facts=facts)

    estimator, short, long, large = Estimator(), converted(10.0, 512), converted(600.0, 512), converted(600.0, 1024)
    for _ in range(30):
        estimator.stage_ended(short, "transcode", "done", 2 * Work.of_job(short).first_guess_s("transcode"))
    times = [estimator.stage_s(one, "transcode") for one in (short, long, large)]
    assert times == [
        pytest.approx(2 * Work.of_job(one).first_guess_s("transcode"), rel=0.12) for one in (short, long, large)
    ]
    assert times[2] > 3 * times[1] > 60 * times[0]


def test_what_an_earlier_daemon_learned_is_known_also_one_of_an_earlier_version() -> None:
    first, one = Estimator(), job()
    for _ in range(3):
        first.stage_ended(one, "encode", "done", 100.0)
    again = Estimator(LearnedTimes(json.loads(json.dumps(first.learned.to_json()))))
    assert again.stage_s(one, "encode") == pytest.approx(first.stage_s(one, "encode"), rel=1e-3)
    old = Estimator(
        LearnedTimes(from_factors({"encode": 2.0, "tts": "fast", "face": -1, "deliver": 1e9, "paint": 1.0}))
    )
    assert old.stage_s(one, "encode") == 2 * Estimator().stage_s(one, "encode")
    assert [where.stage for where, _ in old.learned] == ["encode"]


def test_one_odd_measurement_does_not_rule() -> None:
    estimator, one = Estimator(), job()
    before = estimator.stage_s(one, "encode")
    estimator.stage_ended(one, "encode", "done", 1e9)  # the machine slept
    assert estimator.stage_s(one, "encode") < 8 * before
    for _ in range(100):
        estimator.stage_ended(one, "encode", "done", 0.0)
    assert estimator.stage_s(one, "encode") > 0


@pytest.mark.parametrize("result", ["failed", "retried", "crashed", "timeout", "paused", "cancelled", "returned"])
def test_only_a_stage_that_was_done_says_how_long_it_takes(result: str) -> None:
    estimator, one = Estimator(), job()
    before = estimator.stage_s(one, "encode")
    estimator.stage_ended(one, "encode", result, 100 * before)
    assert estimator.stage_s(one, "encode") == before


def test_the_speech_is_guessed_from_the_text_until_it_is_known() -> None:
    text = job(0.0, manifest={"text": "x" * 140})
    assert speech_s(text) == 140 / CHARS_PER_S
    assert speech_s(job(0.0, manifest={"text": "x" * 140, "speed": 0.5})) == 2 * speech_s(text)
    assert speech_s(job(0.0, manifest={"text": "你" * 140})) == 3 * speech_s(text)
    assert speech_s(job(3.0, manifest={"text": "x" * 140})) == 3.0
    assert speech_s(job(0.0)) == 0.0
    # And from what the check stage found in a recording
    assert speech_s(job(facts=JobFacts({"check": {"speech_s": 7.0}}))) == 7.0


def test_progress_never_goes_back_and_the_time_left_never_grows() -> None:
    estimator, one = Estimator(), job()
    seen = []
    for stage, part in itertools.product(KINDS["video"].stages, (0.0, 0.25, 0.5, 1.0)):
        one.stage = stage
        seen.append((estimator.progress(one, part), estimator.eta_s(one, part) or 0.0))
    assert [progress for progress, _ in seen] == sorted(progress for progress, _ in seen)
    assert [eta for _, eta in seen] == sorted((eta for _, eta in seen), reverse=True)
    whole = sum(estimator.stage_s(one, stage) for stage in KINDS["video"].stages)
    assert seen[0] == pytest.approx((0.0, whole))
    assert seen[-1] == pytest.approx((1.0, 0.0))


def test_only_the_stages_of_its_kind_are_counted() -> None:
    estimator, one = Estimator(), job(stages=KINDS["speech"].stages, stage="tts")
    left = estimator.stage_s(one, "tts") + estimator.stage_s(one, "deliver")
    assert estimator.eta_s(one, 0.0) == pytest.approx(left)


def test_a_running_stage_knows_better_until_it_ends() -> None:
    estimator, one = Estimator(), job()
    deliver = estimator.stage_s(one, "deliver")
    guess = estimator.eta_s(one, 0.5)
    # When a stage measured, half done, that it takes another 500 s
    estimator.stage_left(one.id, 500.0)
    assert estimator.eta_s(one, 0.5) == pytest.approx(500.0 + deliver)
    # Then that holds for this job and this attempt only
    assert estimator.eta_s(job(id="job-20260101T000000Z-00000002"), 0.5) == guess
    estimator.stage_ended(one, "encode", "paused", 1.0)
    assert estimator.eta_s(one, 0.5) == guess


@pytest.mark.parametrize("state", ["waiting", "held", "done", "failed", "cancelled"])
def test_nobody_says_when_a_job_ends_that_does_not_go_on_by_itself(state: State) -> None:
    assert Estimator().eta_s(job(state=state), 0.0) is None


def test_a_job_that_was_never_accepted_has_neither_progress_nor_end() -> None:
    refused = job(stages=(), stage=None, state="failed")
    assert (Estimator().progress(refused, 0.0), Estimator().eta_s(refused, 0.0)) == (0.0, None)
