"""Loads a stage in a slot's process ahead of the first job. A process that hangs while it loads keeps no job waiting."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from daemon.errors import AvatarError, WorkerDied
from daemon.jobs.stages import Stage
from daemon.system.memory import is_short
from daemon.system.wakeup import Wakeup
from daemon.workers.slot import Slot

log = structlog.get_logger()

#: A process may load for this long, in s, while a job waits that no other slot can take. Usual loads take less, and what one has
#: read from the disk is read quickly by the next process.
PATIENCE_S = 20.0
#: Longest time between two checks whether a job waits, in s.
LOOK_S = 1.0


async def preload_next(
    slot: Slot, lane: str, is_needed: Callable[[], bool], is_draining: Callable[[], bool], changed: Wakeup
) -> None:
    """Load the next stage of `slot.to_preload`. What fails is logged once, and never keeps a job from being tried.

    Args:
        is_needed: tells whether a job waits that no other slot can take.
        changed: notified when that may have changed.
    """
    stage = slot.to_preload.pop(0)
    if is_short():
        slot.to_preload.clear()
        log.info("not preloaded", lane=lane, why="little memory is free; the first job loads what it needs")
        return
    slot.preloading_since, slot.succeeded = time.monotonic(), False
    ended: list[Stage] = []
    ending = asyncio.create_task(_end_when_needed(slot, stage, is_needed, changed, ended))
    try:
        seconds = await slot.worker.preload(stage)
        log.info("preloaded", lane=lane, stage=stage, seconds=round(seconds, 1))
    except (AvatarError, WorkerDied) as exc:
        if not slot.worker.alive:  # what is left might end the next process, too
            slot.to_preload.clear()
        if ended:
            log.warning(
                "preload ended", lane=lane, stage=stage, seconds=round(time.monotonic() - slot.preloading_since, 1),
                why="a job waits", next="The job is tried in a new process. Run `avatar doctor`, or set `lanes.preload: false`.",
            )  # fmt: skip
        elif not is_draining():
            log.warning(
                "preload failed", lane=lane, stage=stage, code=exc.code, message=str(exc),
                next="Jobs are tried all the same. Run `avatar doctor`, or set `lanes.preload: false`.",
            )  # fmt: skip
    except Exception:
        slot.to_preload.clear()
        log.exception("preload failed", lane=lane, stage=stage)
    finally:
        ending.cancel()
        slot.preloading_since, slot.idle_since = None, time.monotonic()


async def _end_when_needed(
    slot: Slot, stage: Stage, is_needed: Callable[[], bool], changed: Wakeup, ended: list[Stage]
) -> None:
    """End a process that loads for longer than `PATIENCE_S` as soon as a job needs its slot; until cancelled."""
    await asyncio.sleep(PATIENCE_S)
    while True:
        heard = changed.notifications
        if is_needed():
            ended[:] = [stage]
            await slot.worker.stop(0)
        await changed.wait(LOOK_S, heard)
