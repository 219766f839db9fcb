"""Computes mouth parameters over time from timed phones.

Visemes are blended by dominance (Cohen and Massaro's model): each has a weight, starts a little before its sound and fades after
it. Sounds that need a touch, P/B/M and F/V, are enforced at the end, so that no smoothing and no frame rate can open them: the
lips meet and part within some hundredths of a second, while the jaw goes on as it is.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter

import numpy as np
import numpy.typing as npt

from stages.face.rig.face_frame import ramp
from stages.lipsync.audio_features import READINGS_PER_S, AudioFeatures
from stages.lipsync.inner_grid import GRID_PER_S, frame_times, frames_between, smooth, to_frames
from stages.lipsync.motion_track import MOUTH
from stages.lipsync.visemes import FIRST_PART, PHONES, REST, UNKNOWN, VOWELS, Viseme
from stages.tts.timing import Phone

FloatArray = npt.NDArray[np.float32]

#: A phone is held until the next one over a gap up to the first; before a longer gap it ends after the second. s
_HOLD_S, _RELEASE_S = 0.24, 0.06
#: A shape sets in over this fraction of its viseme's spread, and fades over the whole: mouths open fast and close slowly.
_ONSET = 0.6
_REACH_S = 0.3
#: The parameters of sounds that follow each other are smoothed by this sigma; the loudness that scales the jaw by the second. s
_SMOOTH_S, _LOUDNESS_S = 0.012, 0.05
#: Time in which the mouth comes to rest in a pause. s
_REST_S = 0.20
#: Minimum pause with a breath before the first sound: lips that are open in the picture are shut in a shorter one. s
_FIRST_BREATH_LEAST_S = 0.6
#: Minimum pause with a breath at its end, time for which the lips are shut before it, duration of the breath, time in which the
#: lips part for it and meet again (s), and their shape meanwhile: they keep their width, and the upper one hangs over the teeth.
#: The upper lip rises from the teeth over the last so many s, since teeth that light up within a frame or two flash.
_BREATH_LEAST_S, _BREATH_AFTER_S, _BREATH_S, _BREATH_PART_S, _BREATH_MEET_S = 0.22, 0.07, 0.60, 0.10, 0.10
_BREATH_LIP_RISES_S = 0.24
_BREATH_SHAPE = {"jaw": 0.27, "round": 0.07, "upper_lip": -0.70}
_JAWS = [MOUTH.index(name) for name in ("jaw", "round")]
_JAW, _ROUND_JAW, _SEAL, _PUCKER = *_JAWS, MOUTH.index("seal"), MOUTH.index("pucker")
_ROUND = [MOUTH.index(name) for name in ("wide", "pucker")]
_CLOSE = MOUTH.index("close")
#: Pucker from which the lips are a ring.
_RING = 0.34
#: Pucker of the smallest opening, the opening from which the corners come in sooner, and by how much.
_FULL, _OPENED, _SOONER = 0.85, 0.25, 0.4
#: How far a touch closes a mouth that is open in the picture; for a touch of the teeth, the picture's own must stay visible.
_TOUCH_CLOSE = {"lips": 1.0, "teeth": 0.75}
#: A touch takes this part of the lips' rounding. What is left begins an "oo": shut lips that keep more of it are a short block
#: with blunt ends, as the skin that hides their old corners hides their tips.
_TOUCH_UNROUNDS = 0.80
#: A mouth that is open in the picture is shut so long before the first sound, and takes so long for it, or as long as there is. s
_SHUT_BEFORE_S, _CLOSES_S, _LEAST_CLOSES_S = 0.03, 0.36, 0.16
#: Time in which the lips meet before a touch, and part after it, s: nine tenths of an opening close in about 70 ms. They move
#: evenly but for this part of the way at both ends; a smooth step would be half as fast again in its middle. They are apart at
#: the middles of the sounds before and after, or take the last number at least: a short vowel would else hardly open them. The
#: corners, which have a longer way, keep the first two.
_MEET_S, _PART_S, _EVENLY, _QUICKEST_S = 0.10, 0.10, 0.15, 0.07
#: So much before a sound the lips are shut for it, and so much before its end they begin to part, s.
_TOUCH_BEFORE_S, _PART_BEFORE_S = 0.005, 0.02
#: However short a sound is, the lips are shut for so long before its middle, s: as long as the longest frame, so that the frame
#: shown then is shut; and for so long after it.
_SHUT_TO_MIDDLE_S, _SHUT_AFTER_MIDDLE_S = 0.042, 0.01
#: The jaw is at most so far down during a touch, and goes there and back within this time. A touch of the teeth leaves a gap.
_TOUCH_JAW, _TOUCH_JAW_S, _TEETH_GAP = 0.26, 0.14, 0.05


@dataclass(frozen=True)
class VisemeSegment:
    """A viseme from `start` to `end`, s; `strength` scales its shape."""

    start: float
    end: float
    viseme: Viseme
    strength: float = 1.0

    @property
    def middle(self) -> float:
        """The middle of the sound, s."""
        return (self.start + self.end) / 2


def segments_of(phones: Sequence[Phone], duration: float) -> list[VisemeSegment]:
    """Convert timing.json's `phones` to timed visemes, with rest in the pauses, from 0 to `duration` s."""
    segments: list[VisemeSegment] = []
    clock = 0.0
    for index, phone in enumerate(phones):
        start, end = max(phone.start, clock), phone.end
        if end <= start:
            continue
        if start > clock:
            segments.append(VisemeSegment(clock, start, REST))
        following = phones[index + 1].start if index + 1 < len(phones) else duration
        gap = following - end
        end = (
            following if 0 < gap <= _HOLD_S and index + 1 < len(phones) else min(end + _RELEASE_S, max(following, end))
        )
        segments += _visemes(phone, start, end)
        clock = end
    if duration > clock:
        segments.append(VisemeSegment(clock, duration, REST))
    return segments


def _visemes(phone: Phone, start: float, end: float) -> list[VisemeSegment]:
    parts = PHONES.get(phone.phone, UNKNOWN)
    strength = 1.0
    if phone.phone in VOWELS:
        strength = {0: 0.88, 1: 1.08, 2: 1.0}.get(phone.stress, 1.0)
    if len(parts) == 1:
        return [VisemeSegment(start, end, parts[0], strength)]
    turn = start + FIRST_PART * (end - start)
    return [VisemeSegment(start, turn, parts[0], strength), VisemeSegment(turn, end, parts[1], strength)]


def mouth_from_segments(segments: list[VisemeSegment], audio: AudioFeatures, frames: int, fps: Fraction) -> FloatArray:
    """Compute the mouth's parameters for visemes, the jaw by the loudness, too, [frames, len(MOUTH)]."""
    loudness = smooth(audio.loudness, _LOUDNESS_S * READINGS_PER_S) if len(audio.loudness) else audio.loudness

    def course(first: int, stop: int) -> FloatArray:
        mouth = _blend(segments, first, stop)
        _round_with_lips(mouth)
        if len(loudness):
            _scale_jaw(mouth, loudness, first)
        return mouth

    return to_frames(course, _SMOOTH_S, float(audio.duration), frames, fps)


def _blend(segments: list[VisemeSegment], first: int, stop: int) -> FloatArray:
    """Blend visemes to mouth parameters at the readings from `first` up to but without `stop`, [readings, len(MOUTH)]."""
    total = np.full((stop - first, len(MOUTH)), 1e-6, np.float32)
    value = np.zeros_like(total)
    heard = slice(
        bisect_left(segments, first / GRID_PER_S - _REACH_S, key=attrgetter("end")),
        bisect_right(segments, stop / GRID_PER_S + _REACH_S, key=attrgetter("start")),
    )
    for segment in segments[heard]:
        low = max(int((segment.start - _REACH_S) * GRID_PER_S), first)
        high = min(int((segment.end + _REACH_S) * GRID_PER_S) + 1, stop)
        time = np.arange(low, high) / GRID_PER_S
        early, late = np.maximum(segment.start - time, 0), np.maximum(time - segment.end, 0)
        hold = np.exp(-early / (_ONSET * segment.viseme.spread_s) - late / segment.viseme.spread_s)
        firm = _firmness(segment.viseme)[None] * hold[:, None].astype(np.float32)
        total[low - first : high - first] += firm
        value[low - first : high - first] += firm * _target(segment)[None]
    value /= total
    return value


def _firmness(viseme: Viseme) -> FloatArray:
    firm = np.full(len(MOUTH), viseme.lips, np.float32)
    firm[_JAWS] = viseme.jaw
    firm[_ROUND] = viseme.rounding
    return firm


def _target(segment: VisemeSegment) -> FloatArray:
    return np.array([segment.viseme.shape.get(name, 0.0) for name in MOUTH], np.float32) * segment.strength


def _round_with_lips(mouth: FloatArray) -> None:
    """Let the jaw open puckered lips roundly, in place: between "oo" and another sound, too, they are a ring."""
    part = np.clip(mouth[:, _PUCKER] / _RING, 0, 1)
    moved = mouth[:, _JAW] * part * part * (3 - 2 * part)
    mouth[:, _ROUND_JAW] += moved
    mouth[:, _JAW] -= moved
    # Corners come in sooner than the pucker grows, the more the farther the ring is open.
    pucker = np.minimum(mouth[:, _PUCKER] / _FULL, 1)
    opened = np.clip(mouth[:, _ROUND_JAW] / _OPENED, 0, 1)
    mouth[:, _PUCKER] += _SOONER * opened * _FULL * pucker * (1 - pucker)


def _scale_jaw(mouth: FloatArray, loudness: FloatArray, first: int) -> None:
    """Scale the jaw's opening by the smoothed loudness (0.6 to 1.15), in place; `first`: the number of the first reading."""
    time = np.arange(first, first + len(mouth)) / GRID_PER_S
    level = np.interp(time, np.arange(len(loudness)) / READINGS_PER_S, loudness)
    mouth[:, _JAWS] *= (0.6 + 0.55 * np.clip(level / 0.8, 0, 1)).astype(np.float32)[:, None]


def rest_in_pauses(frames: FloatArray, segments: list[VisemeSegment], fps: Fraction) -> None:
    """Bring the mouth fully to rest in pauses, in place: the remainder of a fading shape goes smoothly to 0 within `_REST_S`."""
    time = frame_times(len(frames), fps)
    for segment in segments:
        if segment.viseme is REST and segment.end - segment.start > 0.1:
            first, last = np.searchsorted(time, segment.start, "right"), np.searchsorted(time, segment.end, "left")
            inside = slice(int(first), int(last))
            away = np.minimum(time[inside] - segment.start, segment.end - time[inside] + 0.02)
            near = np.clip(1.0 - away / _REST_S, 0, 1)
            frames[inside] *= (near * near * (3 - 2 * near))[:, None].astype(np.float32)


def add_breaths(frames: FloatArray, segments: list[VisemeSegment], fps: Fraction, amount: float) -> None:
    """Part the lips a little for a breath before speech goes on after a pause, in place; long silences stay still until then."""
    time = frame_times(len(frames), fps)
    for segment in segments[:-1]:  # no speech follows the last one
        length = segment.end - segment.start
        least = _BREATH_LEAST_S if segment.start > 0 else _FIRST_BREATH_LEAST_S
        if segment.viseme is not REST or length < least:
            continue
        start = max(segment.start + _BREATH_AFTER_S, segment.end - _BREATH_S)
        inside = slice(*(int(at) for at in np.searchsorted(time, (segment.start, segment.end), "left")))
        for name, size in _BREATH_SHAPE.items():
            ends_s = _BREATH_LIP_RISES_S if name == "upper_lip" else _BREATH_MEET_S
            held = _course(time[inside], start + _BREATH_PART_S, segment.end - ends_s, _BREATH_PART_S, ends_s)
            column = frames[inside, MOUTH.index(name)]
            # Speech that begins opens the mouth as it would without a breath.
            column += held * (np.maximum(amount * size - column, 0) if size > 0 else amount * size)


def enforce_touches(frames: FloatArray, segments: list[VisemeSegment], fps: Fraction) -> None:
    """Enforce the touches in place: the frame shown at the middle of each is shut, however short the sound.

    The lips come together and part again within `_MEET_S` and `_PART_S`, or less beside short sounds; the jaw keeps its
    course, as far as lips can bridge it.
    """
    time = frame_times(len(frames), fps)
    if not len(time):
        return
    # How far the lips touch, and how far their corners are where a touch has them: in this order, a P beside an F is shut.
    contacts = {kind: np.zeros((2, len(time)), np.float32) for kind in ("teeth", "lips")}
    near = np.zeros(len(time))
    targets = {segment.viseme.seal: _target(VisemeSegment(0, 0, segment.viseme)) for segment in segments}
    for number, segment in enumerate(segments):
        if not segment.viseme.seal:
            continue
        # The lips meet just before the sound is heard: a plosive is the release of a closure.
        middle = segment.middle
        start = min(segment.start - _TOUCH_BEFORE_S, middle - _SHUT_TO_MIDDLE_S)
        end = max(segment.end - _PART_BEFORE_S, middle + _SHUT_AFTER_MIDDLE_S)
        before = segments[number - 1].middle if number else -math.inf
        after = segments[number + 1].middle if number + 1 < len(segments) else math.inf
        meet, part = max(min(start - before, _MEET_S), _QUICKEST_S), max(min(after - end, _PART_S), _QUICKEST_S)
        around = frames_between(time, start - _TOUCH_JAW_S, end + _TOUCH_JAW_S)
        moment = time[around]
        for contact, ways in zip(contacts[segment.viseme.seal], ((meet, part), (_MEET_S, _PART_S)), strict=True):
            np.maximum(contact[around], _course(moment, start, end, *ways), out=contact[around])
        np.maximum(near[around], _course(moment, start, end, _TOUCH_JAW_S, _TOUCH_JAW_S), out=near[around])
    down = frames[:, _JAW] + frames[:, _ROUND_JAW]
    limited = down - near.astype(np.float32) * np.maximum(down - _TOUCH_JAW, 0.0)
    frames[:, _JAWS] *= (limited / np.maximum(down, 1e-6))[:, None]
    for kind, (contact, corners) in contacts.items():
        if contact.any():
            _touch(frames, contact, corners, targets[kind], kind)


def _course(time: npt.NDArray[np.float64], start: float, end: float, rise: float, fall: float) -> FloatArray:
    """1 from `start` to `end`, rising before and falling after it within so many s."""
    away = np.maximum((start - time) / rise, (time - end) / fall)
    near = 1.0 - np.clip(away, 0.0, 1.0)
    return ramp(near, _EVENLY).astype(np.float32)


def _touch(frames: FloatArray, contact: FloatArray, corners: FloatArray, target: FloatArray, kind: str) -> None:
    """Blend the lips into a touch by `contact`, and their corners by `corners`, 0 to 1 for each frame, in place; the chin stays
    where it is.
    """
    jaw = frames[:, _JAW] + contact * frames[:, _ROUND_JAW]  # the lips of a round opening meet along their whole line
    frames[:, _ROUND_JAW] *= 1 - contact
    lips = frames + contact[:, None] * (target[None] - frames)
    lips[:, _ROUND] = frames[:, _ROUND] + _TOUCH_UNROUNDS * corners[:, None] * (target[_ROUND] - frames[:, _ROUND])
    lips[:, _CLOSE] = frames[:, _CLOSE] + contact * (_TOUCH_CLOSE[kind] - frames[:, _CLOSE])
    gap = _TEETH_GAP if kind == "teeth" else 0.0
    lips[:, _SEAL] = np.maximum(frames[:, _SEAL], contact * np.maximum(jaw - gap, 0.0))
    lips[:, _JAW], lips[:, _ROUND_JAW] = jaw, frames[:, _ROUND_JAW]
    frames[:] = lips


def close_open_mouth(frames: FloatArray, fps: Fraction, speaking: tuple[float, float]) -> None:
    """Close a mouth that is open in the picture while it speaks, in place.

    Args:
        frames: [frames, len(MOUTH)].
        fps: frames per second.
        speaking: start and end of speech, s; before and after it the mouth is as in the picture.
    """
    time = frame_times(len(frames), fps)
    shut = max(speaking[0] - _SHUT_BEFORE_S, _LEAST_CLOSES_S)
    rise = np.clip(1 - (shut - time) / min(shut, _CLOSES_S), 0, 1)
    fall = np.clip((speaking[1] + 0.40 - time) / 0.36, 0, 1)
    ramp = np.minimum(rise, fall)
    frames[:, _CLOSE] = ramp * ramp * (3 - 2 * ramp)
