"""When the list of voices is made."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.outbox import voice_list
from daemon.outbox.outbox import Outbox
from daemon.outbox.voice_list import VoiceList


@pytest.mark.parametrize(("longest_s", "made_after"), [(1e6, 3), (0.0, 1)])
def test_the_first_list_waits_for_the_jobs_but_not_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, longest_s: float, made_after: int
) -> None:
    # Given a daemon whose jobs run at three looks
    monkeypatch.setattr(voice_list, "FIRST_S", 0.0)
    monkeypatch.setattr(voice_list, "BUSY_LOOK_S", 0.0)
    monkeypatch.setattr(voice_list, "BUSY_S", longest_s)
    looks: list[bool] = []

    def is_busy() -> bool:
        looks.append(len(looks) < 3)
        return looks[-1]

    voices = VoiceList(Settings(), Outbox(tmp_path), is_busy)
    made_at: list[int] = []

    async def refresh() -> None:
        made_at.append(looks.count(True))
        raise asyncio.CancelledError

    monkeypatch.setattr(voices, "_refresh", refresh)
    # When it starts
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(voices.loop())
    # Then the list is made when none runs any more, or when its time is over
    assert made_at == [made_after]
