"""The log of the lanes has what `avatar timeline` reads, stays small, and survives a crash in the middle of a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.errors import MachineError
from daemon.telemetry import lane_log
from daemon.telemetry.lane_log import LaneLog, read_lane_log
from daemon.wire import ModelChange


def test_it_names_a_gpu_that_loads_or_pauses_as_the_records_of_jobs_do(tmp_path: Path) -> None:
    path = tmp_path / "lanes.jsonl"
    log = LaneLog(path)
    log.began(["gpu-0", "gpu-1"])
    log.model_changed(ModelChange(stage="tts", model="xtts", seconds=2.5, lane="gpu 1"))
    log.model_changed(ModelChange(stage="face", model="mediapipe", seconds=0.5, lane="cpu", slot="cpu-2"))
    log.model_changed(ModelChange(stage="tts", model="xtts", seconds=2.5, change="unloaded"))
    log.lane_paused("gpu 1", MachineError("gpu-lost", "Gone.", "Look."), 30.0)
    log.lane_resumed("gpu 1")
    began, loaded, other, paused, resumed = read_lane_log(path)
    assert other["lane"] == "cpu-2"  # the load of one of several slots is none of the others'
    assert (began["slots"], began["alive"]) == (["gpu-0", "gpu-1"], 0.0)
    assert (loaded["event"], loaded["lane"], loaded["seconds"]) == ("loaded", "gpu-1", 2.5)
    assert (paused["event"], paused["lane"], paused["why"]) == ("paused", "gpu-1", "gpu-lost")
    assert (resumed["event"], resumed["lane"]) == ("resumed", "gpu-1")


def test_it_keeps_its_newer_half_where_it_grows_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lanes.jsonl"
    monkeypatch.setattr(lane_log, "MOST_BYTES", 2000)
    log = LaneLog(path)
    for number in range(200):
        log.lane_resumed(f"lane-{number}")
    assert path.stat().st_size < 2200
    lanes = [entry["lane"] for entry in read_lane_log(path)]
    assert lanes == [f"lane-{number}" for number in range(200 - len(lanes), 200)]


def test_a_line_that_a_crash_cut_off_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "lanes.jsonl"
    path.write_text('{"at": 1.0, "event": "resumed", "lane": "gpu"}\nnull\n{"at": 2.0, "eve')
    assert [entry["at"] for entry in read_lane_log(path)] == [1.0]
