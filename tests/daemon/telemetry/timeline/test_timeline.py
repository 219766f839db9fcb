"""What ran in a slot, and why it stood still, is told from the records of jobs and the log of the lanes alone."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image

from daemon.jobs.kinds import KINDS
from daemon.jobs.record import Job, StageRun
from daemon.jobs.waits import AWAITED
from daemon.queue.awaited_files import COPIED_AGAIN
from daemon.queue.spool import Spool
from daemon.telemetry.lane_log import LANE_LOG
from daemon.telemetry.timeline.idle import (
    EARLIER,
    KEPT_FREE,
    LOADING,
    NEXT_JOB,
    NO_WORK,
    PAUSED,
    STOPPED,
    idle_times,
)  # fmt: skip
from daemon.telemetry.timeline.picture import Rect, Text, draw
from daemon.telemetry.timeline.records import Past, read_past
from daemon.telemetry.timeline.summary import summary
from daemon.telemetry.timeline.trace import trace
from daemon.telemetry.timeline.write import to_svg, write_png
from tests.conftest import Installation

#: A moment long ago, so that nothing here depends on the present; seconds since the epoch.
T = 1_700_000_000.0


class Night:
    """A spool with records of jobs and a log of lanes. Moments are seconds after `T`."""

    def __init__(self, root: Path) -> None:
        self.spool, self.number = Spool(root), 0
        self.spool.create()

    def job(
        self,
        accepted: float,
        *runs: tuple[str, str, float, float],
        result: str = "done",
        history: Sequence[tuple[float, str]] = (),
        again: float = 0.0,
    ) -> None:
        """Write the record of a job that has ended. `runs`: stage, slot, begin, end; `again`: when the second one was due."""
        self.number += 1
        one = Job(
            f"job-20260101T000000Z-{self.number:08x}", f"night/n{self.number} <&>", "n.yaml", state="done",
            stages=KINDS["video"].stages, stage="deliver", accepted=T + accepted,
            runs=[StageRun(stage, slot, T + began, ended - began, result) for stage, slot, began, ended in runs],
            history=[{"at": T + at, "event": event} for at, event in history],
        )  # fmt: skip
        if again:
            one.runs[0].again = T + again
        place = self.spool.resting("done") / one.id
        place.mkdir()
        self.spool.save_job(one, place, durable=False)

    def log(self, *entries: tuple[float, dict[str, Any]], alive: float | None = None) -> None:
        path = self.spool.root / LANE_LOG
        path.write_text("".join(json.dumps({"at": T + at, **entry}) + "\n" for at, entry in entries))
        if alive is not None:
            os.utime(path, (T + alive, T + alive))

    def past(self, since: float = 0.0, until: float = 100.0) -> Past:
        return read_past(self.spool, T + since, T + until)


BEGAN = {"event": "began", "slots": ["gpu", "voice", "cpu-1", "cpu-2"]}


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(tmp_path)


def reasons(past: Past, slot: str) -> list[tuple[float, float, str]]:
    return [(round(one.began - T, 3), round(one.ended - T, 3), one.why) for one in idle_times(past, slot)]


@pytest.mark.parametrize(
    "history",
    [
        [(20.0, "held"), (25.0, "held"), (60.0, "released")],
        [(20.0, "cancelled"), (60.0, "retry")],
        [(60.0, "retry")],  # it had failed
    ],
)
def test_a_job_that_is_held_or_has_ended_waits_for_no_lane(night: Night, history: list[tuple[float, str]]) -> None:
    # Given a job that was held after its first stage, or started again long after it had ended
    night.log((0.0, BEGAN), (90.0, {"event": "ended"}))
    night.job(10.0, ("check", "cpu-1", 10.0, 20.0), ("tts", "voice", 62.0, 70.0), history=history)
    # Then nothing was to be done meanwhile
    assert reasons(night.past(), "voice") == [
        (0.0, 10.0, NO_WORK),
        (10.0, 20.0, EARLIER),
        (20.0, 60.0, NO_WORK),
        (60.0, 62.0, NEXT_JOB),
        (70.0, 90.0, NO_WORK),
        (90.0, 100.0, STOPPED),
    ]


@pytest.mark.parametrize(
    ("again", "history", "due"),
    [
        (50.0, [], 50.0),
        (70.0, [(55.0, "cancelled"), (60.0, "retry")], 60.0),  # somebody did not wait for it
        (0.0, [(20.0, AWAITED)], 62.0),
        (0.0, [(20.0, AWAITED), (40.0, COPIED_AGAIN)], 40.0),
        (0.0, [], 20.0),  # a record of a version that did not note it
    ],
)
def test_a_job_that_cannot_start_yet_waits_for_no_lane(
    night: Night, again: float, history: list[tuple[float, str]], due: float
) -> None:
    # Given a job whose first attempt failed, and the second one is due later
    night.log((0.0, BEGAN), (70.0, {"event": "ended"}))
    night.job(10.0, ("tts", "voice", 10.0, 20.0), ("tts", "voice", 62.0, 70.0), history=history, again=again)
    # Then it is to be done from then on
    told = reasons(night.past(until=70.0), "voice")
    assert [one for one in told if one[2] == NEXT_JOB] == ([(due, 62.0, NEXT_JOB)] if due < 62.0 else [])
    assert (20.0, due, NO_WORK) in told or due == 20.0


def test_each_time_in_which_nothing_ran_has_its_reason(night: Night) -> None:
    # Given a job that is handed in at 10, and waits for the voice until it is through the cpu lane
    night.log((0.0, BEGAN), (40.0, {"event": "paused", "lane": "", "why": "by ann"}),
              (50.0, {"event": "resumed", "lane": ""}), (60.0, {"event": "paused", "lane": "gpu", "why": "gpu-lost"}),
              (70.0, {"event": "resumed", "lane": "gpu"}),
              (33.0, {"event": "loaded", "lane": "voice", "seconds": 3.0}), (90.0, {"event": "ended"}))  # fmt: skip
    night.job(10.0, ("check", "cpu-1", 12.0, 14.0), ("tts", "voice", 20.0, 30.0), ("lipsync", "voice", 35.0, 36.0))
    past = night.past()
    # Then its slots tell
    assert reasons(past, "voice") == [
        (0.0, 10.0, NO_WORK), (10.0, 14.0, EARLIER), (14.0, 20.0, NEXT_JOB), (30.0, 33.0, LOADING), (33.0, 35.0, NEXT_JOB),
        (36.0, 40.0, NO_WORK), (40.0, 50.0, PAUSED), (50.0, 90.0, NO_WORK), (90.0, 100.0, STOPPED),
    ]  # fmt: skip
    # And a pause of one lane is no other lane's
    assert (60.0, 70.0, PAUSED) in reasons(past, "gpu")
    # And all of the time is accounted for
    for row in summary(past):
        assert row["busy_s"] + sum(row["idle"].values()) == pytest.approx(100.0, abs=0.2)
    (voice,) = [row for row in summary(past) if row["slot"] == "voice"]
    assert (voice["busy_s"], voice["jobs"]) == (11.0, 1)


def test_a_job_that_moves_on_while_it_is_read_has_run_once(night: Night) -> None:
    # Given a job that the reader found in the queue of its last stage, and then among those that are done
    night.log((0.0, BEGAN))
    night.job(10.0, ("tts", "voice", 20.0, 30.0))
    (done,) = night.spool.job_folders(night.spool.resting("done"))
    shutil.copytree(done, night.spool.ready("deliver") / done.name)
    assert [span.stage for span in night.past().spans["voice"]] == ["tts"]


def test_a_worker_that_is_kept_free_is_not_blamed(night: Night) -> None:
    # Given two videos to draw, and two workers of which one stays free; a short stage waits for a moment
    night.log((0.0, BEGAN), (100.0, {"event": "ended"}))
    night.job(0.0, ("encode", "cpu-1", 0.0, 50.0))
    night.job(0.0, ("encode", "cpu-1", 51.0, 100.0))
    night.job(20.0, ("check", "cpu-2", 22.0, 23.0))
    assert reasons(night.past(), "cpu-2") == [
        (0.0, 20.0, KEPT_FREE), (20.0, 22.0, NEXT_JOB), (23.0, 50.0, KEPT_FREE), (50.0, 51.0, NEXT_JOB), (51.0, 100.0, NO_WORK),
    ]  # fmt: skip


def test_a_crash_ends_the_daemon_when_it_was_last_seen(night: Night) -> None:
    # Given a daemon that was killed, and its successor, which was killed too
    night.log((0.0, BEGAN), (10.0, {"event": "loaded", "lane": "gpu", "seconds": 1.0}), (50.0, {**BEGAN, "alive": T + 30.0}),
              alive=60.0)  # fmt: skip
    night.job(0.0, ("tts", "voice", 0.0, 5.0))
    stopped = [one for one in reasons(night.past(), "cpu-1") if one[2] == STOPPED]
    assert stopped == [(30.0, 50.0, STOPPED), (60.0, 100.0, STOPPED)]


def test_the_past_begins_with_the_first_thing_that_is_known(night: Night) -> None:
    night.log((40.0, BEGAN), (100.0, {"event": "ended"}))
    night.job(41.0, ("tts", "voice", 45.0, 50.0))
    assert night.past().began == T + 40.0
    assert night.past(since=47.0).began == T + 47.0
    # And what is cut off at the beginning counts from there
    (voice,) = [row for row in summary(night.past(since=47.0)) if row["slot"] == "voice"]
    assert voice["busy_s"] == 3.0


def test_the_picture_and_the_trace_have_every_stage(night: Night, tmp_path: Path) -> None:
    night.log((0.0, BEGAN), (100.0, {"event": "ended"}))
    night.job(0.0, ("check", "cpu-1", 1.0, 2.0), ("encode", "cpu-2", 10.0, 60.0))
    night.job(0.0, ("tts", "gpu", 20.0, 21.0), result="failed")
    past = night.past()
    picture = draw(past)
    root = ET.fromstring(to_svg(picture))
    titles = [title.text or "" for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert "night/n1 <&>, encode, done, 50.00 s" in titles
    assert "night/n2 <&>, tts, failed, 1.00 s" in titles
    write_png(picture, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        assert image.size == (2 * picture.width, 2 * picture.height)
        assert len(image.convert("RGB").getcolors(1 << 20) or ()) > 10
    events = trace(past)["traceEvents"]
    (encode,) = [event for event in events if event.get("cat") == "encode"]
    assert (encode["ts"], encode["dur"], encode["args"]["result"]) == (round((T + 10) * 1e6), 50_000_000, "done")
    names = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert names[encode["tid"]] == "cpu-2"


@pytest.mark.parametrize("result", ["done", "failed"])
def test_the_legend_says_what_a_red_border_means_where_there_is_one(night: Night, result: str) -> None:
    night.log((0.0, BEGAN), (100.0, {"event": "ended"}))
    night.job(0.0, ("tts", "gpu", 20.0, 21.0), result=result)
    shapes = draw(night.past()).shapes
    words = [shape.text for shape in shapes if isinstance(shape, Text)]
    borders = [shape for shape in shapes if isinstance(shape, Rect) and shape.outline]
    # The stage itself, and its entry in the legend
    assert ("not done" in words, len(borders)) == ((False, 0) if result == "done" else (True, 2))


def test_ten_thousand_short_stages_stay_a_picture(night: Night) -> None:
    night.log((0.0, BEGAN), (100.0, {"event": "ended"}))
    past = night.past()
    night.job(0.0, ("check", "cpu-1", 0.0, 0.005))
    (span,) = night.past().spans["cpu-1"]
    past.spans["cpu-1"] = [
        type(span)("cpu-1", "check", "j", "n", T + 0.01 * n, T + 0.01 * n + 0.005, "done") for n in range(10_000)
    ]
    assert len(draw(past).shapes) < 5000


def test_a_daemon_notes_what_the_timeline_needs(house: Installation, tmp_path: Path) -> None:
    # Given a job that a daemon has done
    house.drop("lived.yaml", {"kind": "speech", "text": "Hello."})
    assert house.finished("lived")["state"] == "done"
    # Then its stages stand in the slots that ran them
    told = json.loads(house.avatar("timeline", "--since", "1h", "--json", "-o", str(tmp_path / "t.svg")).stdout)
    slots = {row["slot"]: row for row in told["slots"]}
    assert slots["voice"]["jobs"] >= 1
    assert slots["voice"]["busy_s"] > 0
    assert {"gpu", "cpu-1", "cpu-2"} <= set(slots)
    assert told["ended"][:10] == time.strftime("%Y-%m-%d", time.gmtime())
    assert "lived, tts, done" in (tmp_path / "t.svg").read_text()
    assert "no such" not in house.avatar("timeline", "-o", "t.gif", code=2).stderr
