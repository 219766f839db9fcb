"""What a frame's parameters say of its mouth: what is painted, and how much of it."""

from __future__ import annotations

import pytest

from stages.encode.mouth_state import MouthState
from stages.lipsync.motion_track import PARAMETERS


def state(is_open: bool = True, **parameters: float) -> MouthState:
    return MouthState.of({**dict.fromkeys(PARAMETERS, 0.0), **parameters}, is_open)


@pytest.mark.parametrize(("pucker", "lower_lip"), [(0.2, 0.07), (0.15, 0.13)])
def test_the_skin_is_painted_beside_a_ring_however_little_it_is_puckered(pucker: float, lower_lip: float) -> None:
    # Given an "oh" that follows a smile, whose lips are hardly puckered yet / Then no old corners are left beside its ring
    assert state(round=0.5, jaw=0.05, pucker=pucker, lower_lip=lower_lip).drawn_in > 0.85


def test_no_skin_is_painted_beside_an_opening_that_is_no_ring() -> None:
    # Given an "ah" before an "oh", which opens the lips as far as their corners / Then these stay
    assert state(jaw=0.31, round=0.22, pucker=0.15, lower_lip=0.19, upper_lip=0.2).drawn_in < 0.05


def test_the_dark_ends_of_shut_lips_do_not_stay_beside_a_ring() -> None:
    # Given lips that are shut in the picture / Then their line goes as the skin beside them is painted, and not before
    assert state(is_open=False, round=0.3, jaw=0.02, pucker=0.18, lower_lip=0.22, upper_lip=0.1).bare > 0.4
    assert state(is_open=False, jaw=0.5).bare == 0
