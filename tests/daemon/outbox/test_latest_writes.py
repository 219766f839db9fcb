"""Statuses are written beside the event loop: the newest content only, and nothing after the last one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from daemon.outbox.latest_writes import LatestWrites

PATIENCE_S = 60.0


def test_what_changes_again_meanwhile_is_written_once_and_in_order() -> None:
    written: list[str] = []
    go, begun = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert go.wait(PATIENCE_S)
        written.append("one: first")

    def content(text: str) -> Callable[[], Callable[[], None]]:
        return lambda: lambda: written.append(text)

    async def live() -> None:
        writes = LatestWrites()
        writes.put("one", lambda: first)
        while not begun.is_set():  # in its thread, beside the loop
            await asyncio.sleep(0)
        writes.put("one", content("one: older"))
        writes.put("two", content("two"))
        writes.put("one", content("one: newest"))
        go.set()
        await writes.written()

    asyncio.run(live())
    assert written == ["one: first", "one: newest", "two"]


def test_changes_that_follow_each_other_soon_are_written_once() -> None:
    written: list[str] = []

    async def live() -> None:
        writes = LatestWrites(3600.0)
        for text in ("queued", "running", "queued again"):
            writes.put("job", lambda text=text: lambda: written.append(text))  # type: ignore[misc]
            for _ in range(10):
                await asyncio.sleep(0)
        assert written == []
        # And whoever waits for them, as the stop does, waits no longer
        await writes.written()

    asyncio.run(asyncio.wait_for(live(), PATIENCE_S))
    assert written == ["queued again"]


def test_nothing_is_written_after_a_discard_not_even_what_was_begun() -> None:
    written: list[str] = []
    go, begun = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go.wait(PATIENCE_S)
        written.append("running")

    async def live() -> None:
        writes = LatestWrites()
        writes.put("job", lambda: slow)
        while not begun.is_set():
            await asyncio.sleep(0)
        writes.put("job", lambda: lambda: written.append("late"))

        # When the last status is to be written, by another thread
        def end() -> None:
            writes.discard("job")
            written.append("done")

        last = threading.Thread(target=end)
        last.start()
        last.join(0.05)
        assert written == []  # it waits for the write that was begun
        go.set()
        await writes.written()
        last.join()

    asyncio.run(live())
    assert written == ["running", "done"]


def test_a_bug_in_one_status_keeps_no_other_from_being_written() -> None:
    written: list[str] = []

    def broken() -> None:
        raise ValueError("a bug")

    def cannot_be_made() -> Callable[[], None]:
        raise ValueError("a bug")

    async def live() -> None:
        writes = LatestWrites()
        writes.put("one", lambda: broken)
        writes.put("two", cannot_be_made)
        writes.put("three", lambda: lambda: written.append("three"))
        await writes.written()

    asyncio.run(live())
    assert written == ["three"]
