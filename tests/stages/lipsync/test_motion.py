"""The lipsync stage: touches at every frame rate, stillness in silence, rest at both ends, and chance by seed."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stages.lipsync
from daemon.errors import UnknownError
from stages.context import Context
from stages.face.rig.head_bounds import MOST, REACH
from stages.lipsync.motion_track import MOUTH, MotionTrack
from tests.support.stages.picture_jobs import RATE, job, say, track_of, write_sound

#: "a-p-a-b-a-m-a-f-a", a pause, "a-p-u"; sounds as short as 30 ms.
WORDS = [
    ("ɑ", 0.30, 0.42), ("p", 0.42, 0.45), ("ɑ", 0.45, 0.57), ("b", 0.57, 0.60), ("ɑ", 0.60, 0.72), ("m", 0.72, 0.76),
    ("ɑ", 0.76, 0.90), ("f", 0.90, 0.96), ("ɑ", 0.96, 1.10), ("ɑ", 2.00, 2.20), ("p", 2.20, 2.23), ("u", 2.23, 2.45),
]  # fmt: skip
DURATION = 3.0


def spoken(
    folder: Path, phones: list[tuple[str, float, float]] = WORDS, duration: float = DURATION, **manifest: Any
) -> MotionTrack:
    ctx = job(folder, **manifest)
    say(ctx, phones, duration)
    stages.lipsync.run(ctx)
    return track_of(ctx)


def opening(track: MotionTrack) -> np.ndarray[Any, np.dtype[np.float32]]:
    """How far the lips are apart: the jaw's drop less what the lips bridge, and what the lips part by themselves."""
    jaw = track.column("jaw") + track.column("round") - track.column("seal")
    lips = track.column("lower_lip") + np.maximum(track.column("upper_lip"), 0)
    return np.asarray(np.maximum(jaw, 0) + lips, np.float32)


@pytest.mark.parametrize("fps", ["24", "25", "29.97", "60"])
def test_lips_touch_for_at_least_a_frame_at_every_p_b_and_m(fps: str, tmp_path: Path) -> None:
    # Given sounds shorter than a frame
    track = spoken(tmp_path / "job", fps=fps)
    # When each of them is looked up in the track
    time = np.arange(len(track.values)) / float(track.fps)
    for phone, start, end in WORDS:
        near = (time > start - 0.04) & (time < end + 0.04)
        # Then a frame beside it is shut, and every vowel is open
        if phone in "pbm":
            assert opening(track)[near].min() == 0, (phone, start)
            assert track.column("close")[near].max() == 1
        if phone == "ɑ":
            assert opening(track)[near].max() > 0.25, start


@pytest.mark.parametrize("fps", ["25", "30", "60"])
@pytest.mark.parametrize("vowel", ["ɑ", "ə"])
def test_lips_close_in_some_hundredths_of_a_second_while_the_jaw_goes_on(vowel: str, fps: str, tmp_path: Path) -> None:
    # Given a vowel, for which the jaw is far down or not, a touch, and the same vowel again
    track = spoken(tmp_path / "job", [(vowel, 0.5, 0.9), ("m", 0.9, 1.0), (vowel, 1.0, 1.4)], fps=fps)
    rate = float(track.fps)
    gap, jaw = opening(track), track.column("jaw")
    touch = round(0.95 * rate)
    # When the lips meet and part
    time = np.arange(0.7, 1.2, 0.005)
    course = np.interp(time, np.arange(len(gap)) / rate, gap)
    in_40_ms = np.abs(course[8:] - course[:-8]).max() / course.max()
    # Then 40 ms, a frame of 25 a second, hold little more than half of their way, and the jaw neither shuts nor jumps
    assert gap[touch] == 0
    assert in_40_ms < 0.55
    assert jaw[touch] > 0.05
    assert np.abs(np.diff(jaw)).max() * rate < 9


@pytest.mark.parametrize("fps", ["23.976", "25", "30", "60"])
def test_the_frame_shown_at_the_middle_of_a_p_b_or_m_is_shut(fps: str, tmp_path: Path) -> None:
    # Given sounds of 20 to 120 ms between open vowels, which begin at different times within a frame
    starts = np.arange(0.3, 12, 0.409)
    touches = [("pbm"[n % 3], start, start + 0.02 + 0.01 * (n % 11)) for n, start in enumerate(starts)]
    vowels = [("ɑ", end, start) for (_, _, end), (_, start, _) in pairwise(touches)]
    # When each is looked up in the track
    track = spoken(tmp_path / "job", sorted(touches + vowels, key=itemgetter(1)), 13.0, fps=fps)
    for _, start, end in touches:
        # Then the frame shown at its middle is shut
        assert opening(track)[int((start + end) / 2 * float(track.fps))] == 0, (start, end)
    # And the vowels between are open
    assert all(opening(track)[round((start + end) / 2 * float(track.fps))] > 0.4 for _, start, end in vowels)


def test_a_touch_beside_a_touch_of_the_teeth_is_shut(tmp_path: Path) -> None:
    # Given "cupful" and "offbeat"
    phones = [("ʌ", 0.3, 0.5), ("p", 0.5, 0.54), ("f", 0.54, 0.6), ("u", 0.6, 0.8), ("f", 0.8, 0.86), ("b", 0.86, 0.9)]
    track = spoken(tmp_path / "job", [*phones, ("i", 0.9, 1.2)], fps="60")
    # When, then
    for at in (0.52, 0.87):
        assert opening(track)[round(at * 60)] == 0


def test_the_lower_lip_meets_the_teeth_at_f(tmp_path: Path) -> None:
    # Given, when
    track = spoken(tmp_path / "job")
    # Then
    assert track.column("tuck")[round(0.93 * 25)] > 0.7


def test_vowels_have_their_own_mouths(tmp_path: Path) -> None:
    # Given a long open vowel, a rounded one and a spread one
    track = spoken(tmp_path / "job", [("ɑ", 0.5, 1.0), ("u", 1.0, 1.5), ("i", 1.5, 2.0)])
    # When each is looked at in its middle
    a, u, i = (track.values[round(at * 25)] for at in (0.75, 1.25, 1.75))
    jaw, pucker, wide = (MOUTH.index(name) for name in ("jaw", "pucker", "wide"))
    # Then the first is the most open, the second is round, the third is wide
    assert a[jaw] > 2 * u[jaw]
    assert a[jaw] > 2 * i[jaw]
    assert u[pucker] > 0.5 > 0.2 > i[pucker]
    assert u[MOUTH.index("round")] > 0.1 > a[MOUTH.index("round")]
    assert i[wide] > 0.5 > 0.2 > u[wide]


def test_between_oo_and_another_vowel_the_lips_stay_a_ring(tmp_path: Path) -> None:
    # Given an "oo" that goes over into an open vowel
    track = spoken(tmp_path / "job", [("u", 0.5, 0.9), ("æ", 0.9, 1.3)], fps="60")
    # When the frames with puckered lips are looked at
    puckered = track.column("pucker") > 0.45
    # Then the jaw opens them roundly, although it is down already
    assert puckered.sum() > 10
    assert (track.column("jaw") + track.column("round"))[puckered].max() > 0.3
    assert track.column("jaw")[puckered].max() < 0.06


def test_lips_that_touch_before_an_oo_keep_their_width(tmp_path: Path) -> None:
    # Given "ubu"
    track = spoken(tmp_path / "job", [("u", 0.5, 0.8), ("b", 0.8, 0.88), ("u", 0.88, 1.3)], fps="60")
    # When the frames with shut lips are looked at
    within = slice(round(0.7 * 60), round(1.0 * 60))
    shut = track.column("pucker")[within][opening(track)[within] < 1e-3]
    # Then they are hardly rounded
    assert len(shut) > 2
    assert shut.min() < 0.25 * track.column("pucker").max()


def test_a_breath_in_a_short_pause_parts_the_lips_for_a_tenth_of_a_second(tmp_path: Path) -> None:
    # Given a pause of 0.35 s, as between sentences, before a sound for which the lips shut
    track = spoken(tmp_path / "job", [("ə", 0.4, 0.7), ("b", 1.05, 1.1), ("ɑ", 1.1, 1.3)], fps="60")
    # When the gap is looked at from the moment at which the vowel has faded
    gap = np.interp(np.arange(0.84, 1.05, 0.001), np.arange(len(track.values)) / 60, opening(track))
    # Then the lips are parted by more than half of the breath's opening for long enough to be seen
    assert (gap > 0.5 * gap.max()).sum() * 0.001 > 0.1


def test_the_mouth_is_still_in_silence_and_takes_a_breath_before_it_goes_on(tmp_path: Path) -> None:
    # Given a pause of 0.9 s, with and without breath
    track = spoken(tmp_path / "job")
    breathing = opening(track)
    without = opening(spoken(tmp_path / "other", motion={"breath": 0}))
    # When its middle, and the time before speech goes on, are looked at
    middle, before = slice(round(1.36 * 25), round(1.44 * 25)), slice(round(1.60 * 25), round(1.85 * 25))
    # Then nothing of the mouth moves, but the lips part a little for a breath
    assert breathing[middle].max() < 1e-6
    assert without[middle].max() < 1e-6
    assert without[before].max() < 1e-6
    assert 0.1 < breathing[before].max() < 0.5 * breathing.max()
    # And the upper lip hangs over the teeth meanwhile
    assert track.column("upper_lip")[before].min() < -0.2


def test_mouths_open_faster_than_they_close(tmp_path: Path) -> None:
    # Given one vowel between silences
    track = spoken(tmp_path / "job", [("ɑ", 1.0, 1.5)], fps="60", motion={"breath": 0})
    jaw = track.column("jaw") / track.column("jaw").max()
    # When the time from a tenth to nine tenths is taken on both sides
    high, low = np.flatnonzero(jaw > 0.9), np.flatnonzero(jaw > 0.1)
    # Then
    assert high[0] - low[0] < low[-1] - high[-1]


@pytest.mark.parametrize(("fps", "rate"), [("25", Fraction(25)), ("29.97", Fraction(30000, 1001))])
def test_frames_cover_the_sound_exactly(fps: str, rate: Fraction, tmp_path: Path) -> None:
    # Given a sound of 10 s, which is 299.7 frames at 29.97
    track = spoken(tmp_path / "job", duration=10.0, fps=fps)
    # Then
    assert len(track.values) == math.ceil(10 * rate)
    assert track.fps == rate


@pytest.mark.parametrize("method", ["exact", "energy"])
def test_a_clip_starts_and_ends_as_the_portrait_even_in_full_speech(method: str, tmp_path: Path) -> None:
    # Given sound from the first sample to the last
    ctx = job(tmp_path / "job")
    say(ctx, [("ɑ", 0.0, 1.5)], 1.5, method)
    # When
    stages.lipsync.run(ctx)
    # Then
    assert not track_of(ctx).values[[0, -1]].any()


def test_the_same_seed_moves_the_same_and_another_does_not(tmp_path: Path) -> None:
    # Given three jobs, two of one seed
    one, same, other = (
        spoken(tmp_path / str(n), duration=8.0, motion={"seed": seed}) for n, seed in enumerate((7, 7, 8))
    )
    # Then
    assert (one.values == same.values).all()
    assert (one.column("head_yaw") != other.column("head_yaw")).any()
    assert (one.values[:, : len(MOUTH)] == other.values[:, : len(MOUTH)]).all()


def test_a_job_without_a_seed_has_its_own(tmp_path: Path) -> None:
    # Given the same job twice
    first, again = spoken(tmp_path / "a"), spoken(tmp_path / "b")
    # Then
    assert (first.values == again.values).all()


def test_a_locked_head_still_blinks(tmp_path: Path) -> None:
    # Given, when
    track = spoken(tmp_path / "job", duration=12.0, motion={"head": 0})
    # Then
    for name in ("head_yaw", "head_pitch", "head_roll", "head_x", "head_y", "breath"):
        assert not track.column(name).any(), name
    assert track.column("blink_left").max() == 1


def test_blinks_are_full_and_as_frequent_as_a_persons(tmp_path: Path) -> None:
    # Given two minutes
    track = spoken(tmp_path / "job", duration=120.0, motion={"seed": 3})
    shut = track.column("blink_left") == 1
    # When the blinks are counted
    blinks = int((shut[1:] & ~shut[:-1]).sum())
    # Then there are 10 to 25 a minute, none at the ends, and none without motion.blink
    assert 20 <= blinks <= 50
    assert not track.column("blink_left")[:6].any()
    still = spoken(tmp_path / "still", duration=20.0, motion={"blink": 0})
    assert not still.column("blink_left").any()


def test_the_head_moves_within_the_reach_that_its_fields_are_bounded_for(tmp_path: Path) -> None:
    # Given two minutes at the natural motion, and at twice that
    for head, farthest in ((1, 1.0), (2, MOST)):
        track = spoken(tmp_path / str(head), duration=120.0, motion={"head": head, "seed": 1})
        # When each pose is measured in parts of the reach
        length = np.linalg.norm(np.stack([track.column(name) / REACH[name] for name in REACH]), axis=0)
        # Then it uses the reach and never leaves it
        assert 0.8 * farthest < length.max() < farthest


def test_the_head_turns_and_nods_to_both_sides_and_never_jerks(tmp_path: Path) -> None:
    # Given speech with an accent every 0.4 s
    phones = [("ɑ", start, start + 0.3) for start in np.arange(0.3, 19.0, 0.4).tolist()]
    for seed in range(5):
        track = spoken(tmp_path / str(seed), phones, 20.0, fps="50", motion={"seed": seed})
        for name in ("head_yaw", "head_pitch"):
            turn = track.column(name) / REACH[name]
            # Then it goes far to both sides
            assert turn.max() > 0.4
            assert turn.min() < -0.3
            # And without jitter: of its speed, less than 3 % of the power lies above 6 Hz
            power = np.abs(np.fft.rfft(np.diff(turn))) ** 2
            assert power[round(6 * 20.0) :].sum() < 0.03 * power.sum()


def test_the_head_moves_to_the_end_of_the_speech(tmp_path: Path) -> None:
    # Given speech that ends 0.1 s before the sound does, and one that ends 1.5 s before
    phones = [("ɑ", start, start + 0.3) for start in np.arange(0.3, 7.6, 0.4).tolist()]
    for duration in (7.9, 9.3):
        tracks = [spoken(tmp_path / f"{duration}-{seed}", phones, duration, motion={"seed": seed}) for seed in range(8)]
        moved = np.stack([np.abs(track.column("head_yaw")) + np.abs(track.column("head_pitch")) for track in tracks])
        # When its turns in the last second of the speech are compared with the middle's
        late, middle = moved[:, round(6.8 * 25) : round(7.55 * 25)], moved[:, 50:125]
        # Then it has not begun to go back, and is back in the last frame
        assert late.mean() > 0.5 * middle.mean()
        assert not moved[:, -1].any()


def test_expressiveness_scales_the_mouth_but_never_opens_a_touch(tmp_path: Path) -> None:
    # Given a lively and a reserved speaker
    lively = spoken(tmp_path / "a", motion={"expressiveness": 2})
    reserved = spoken(tmp_path / "b", motion={"expressiveness": 0.2})
    # Then
    assert lively.column("jaw").max() > 1.4 * reserved.column("jaw").max() > 0.2
    assert opening(lively)[round(0.44 * 25)] == 0


def test_speech_without_words_follows_its_loudness(tmp_path: Path) -> None:
    # Given a voice of which only the sound is known: vowel, silence, vowel
    ctx = job(tmp_path / "job")
    say(ctx, [("ɑ", 0.5, 1.2), ("ɑ", 2.0, 2.7)], 3.5, "energy")
    tone = np.sign(np.sin(2 * np.pi * 140 * np.arange(round(3.5 * RATE)) / RATE)) * 0.2
    time = np.arange(len(tone)) / RATE
    write_sound(
        ctx.path("speech.wav"), np.where(((time > 0.5) & (time < 1.2)) | ((time > 2.0) & (time < 2.7)), tone, 0.0)
    )
    # When
    facts = stages.lipsync.run(ctx)
    # Then the mouth is open in both, shut between them, and the facts say how
    jaw = track_of(ctx).column("jaw")
    assert facts["method"] == "energy"
    assert jaw[round(0.9 * 25)] > 0.15
    assert jaw[round(2.4 * 25)] > 0.15
    assert jaw[round(1.6 * 25)] < 0.02


def test_a_damaged_artifact_is_nobodys_fault(tmp_path: Path) -> None:
    # Given a job whose timing was cut off
    ctx: Context = job(tmp_path / "job")
    say(ctx, WORDS, DURATION)
    ctx.path("timing.json").write_text('{"method": "ex')
    # When, then
    with pytest.raises(UnknownError):
        stages.lipsync.run(ctx)
