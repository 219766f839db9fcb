"""A job that is based on another one is not moved anew where nothing has changed that its motion follows from."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import stages.lipsync
from daemon.jobs.record import MOVED, seed_of
from stages.context import Context
from stages.lipsync import motion
from tests.support.stages.picture_jobs import job, say

WORDS = [("ɑ", 0.30, 0.60), ("p", 0.60, 0.70), ("ɑ", 0.70, 1.00)]


def prepared(folder: Path, **manifest: Any) -> Context:
    ctx = job(folder, **manifest)
    say(ctx, WORDS, 1.5)
    return ctx


@pytest.fixture
def first(tmp_path: Path) -> Context:
    ctx = prepared(tmp_path / "first")
    stages.lipsync.run(ctx)
    return ctx


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs whose motion was made."""
    names: list[str] = []
    make = motion.make_motion_track

    def noted(ctx: Context, *rest: Any) -> Any:
        names.append(ctx.job_dir.name)
        return make(ctx, *rest)

    monkeypatch.setattr(motion, "make_motion_track", noted)
    return names


def based(first: Context, ctx: Context) -> Context:
    """The job, with links to the files of the first one, as the daemon makes them."""
    for name in MOVED:
        if (source := first.path(name)).exists():
            os.link(source, ctx.path(name))
    return replace(ctx, job_id="job-20260102T000000Z-00000001")


def test_what_has_not_changed_is_taken_over(first: Context, tmp_path: Path, made: list[str]) -> None:
    seed = {"seed": seed_of(first.job_id)}
    ctx = based(first, prepared(tmp_path / "again", captions="srt", title="Again", motion=seed))
    facts = stages.lipsync.run(ctx)
    assert made == []
    assert facts["why"] == "nothing that it follows from has changed"
    assert facts["taken_over"] is True
    assert facts["seed"] == seed["seed"]


def test_what_the_first_job_was_told_is_told_again(first: Context, tmp_path: Path) -> None:
    record = json.loads(first.path("moved.json").read_bytes())
    first.path("moved.json").write_text(json.dumps({**record, "warnings": ["Mind the gap."]}))
    ctx = based(first, prepared(tmp_path / "again", motion={"seed": seed_of(first.job_id)}))
    stages.lipsync.run(ctx)
    assert ctx.warnings == ["Mind the gap."]


def test_with_other_settings_it_is_made(first: Context, tmp_path: Path, made: list[str]) -> None:
    ctx = based(first, prepared(tmp_path / "again", motion={"seed": seed_of(first.job_id)}))
    stages_now = ctx.settings.stages
    lipsync = stages_now.lipsync.model_copy(update={"engine": "warp"})
    update = {"stages": stages_now.model_copy(update={"lipsync": lipsync})}
    stages.lipsync.run(replace(ctx, settings=ctx.settings.model_copy(update=update)))
    assert made == ["again"]


def other_speech(ctx: Context) -> None:
    say(ctx, WORDS[:2], 1.5)


def damaged(ctx: Context) -> None:
    data = ctx.path("motion.npz").read_bytes()
    ctx.path("motion.npz").unlink()  # else the first job's would be damaged, too
    ctx.path("motion.npz").write_bytes(data[:-100] + bytes(100))


def without_record(ctx: Context) -> None:
    ctx.path("moved.json").unlink()
    ctx.path("moved.json").write_text("{}")


CHANGES: dict[str, tuple[dict[str, Any], Callable[[Context], object]]] = {
    "motion": ({"motion": {"head": 0}}, lambda ctx: None),
    "frame rate": ({"fps": 30}, lambda ctx: None),
    "expressions": ({"expressions": [{"at": 0.5, "name": "smile"}]}, lambda ctx: None),
    "seed": ({"motion": {"seed": 1}}, lambda ctx: None),
    "speech": ({}, other_speech),
    "a damaged file": ({}, damaged),
    "no file": ({}, lambda ctx: ctx.path("motion.npz").unlink()),
    "a damaged record": ({}, without_record),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_made_and_the_first_job_keeps_its_own(
    first: Context, tmp_path: Path, made: list[str], change: str
) -> None:
    manifest, alter = CHANGES[change]
    seed = {"motion": {"seed": seed_of(first.job_id), **manifest.get("motion", {})}}
    ctx = based(first, prepared(tmp_path / "again", **{**manifest, **seed}))
    before = {name: first.path(name).read_bytes() for name in ("motion.npz", "moved.json")}
    alter(ctx)
    stages.lipsync.run(ctx)
    assert made == ["again"]
    assert before == {name: first.path(name).read_bytes() for name in before}
    # And the motion is the one that a job of its own would have
    alone = prepared(tmp_path / "alone", **{**manifest, **seed})
    if change != "speech":
        stages.lipsync.run(alone)
        assert alone.path("motion.npz").read_bytes() == ctx.path("motion.npz").read_bytes()
    shutil.rmtree(alone.job_dir)
