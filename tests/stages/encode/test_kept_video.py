"""A job that is based on another one is not drawn anew where nothing but captions in a file of their own has changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.jobs.record import DRAWN
from daemon.system import fs
from stages.context import Context
from stages.encode import framing, kept_video
from stages.encode.video import make_video
from stages.kept import code_digest
from stages.musetalk import blend
from tests.support.stages.sound_jobs import Stripes, beep_job

pytestmark = pytest.mark.usefixtures("models")

#: Of another picture, motion or sound the video is another one.
READ = ("portrait.png", "face.json", "motion.npz", "mouth.raw", "background.png")


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The jobs whose video was drawn."""
    names: list[str] = []

    def frames(ctx: Context) -> framing.JobFrames:
        names.append(ctx.job_dir.name)
        return framing.JobFrames(Stripes(ctx), lambda: "cuda:0", lambda: None)

    monkeypatch.setattr(framing, "shared_frames_of_job", frames)
    monkeypatch.setattr("stages.encode.captions.place.FaceHeights.of_job", lambda _: None)
    monkeypatch.setattr("stages.encode.formats.fine_areas.fine_areas", lambda _: ())
    return names


def prepared(folder: Path, settings: dict[str, Any] | None = None, **manifest: Any) -> Context:
    ctx = beep_job(folder, settings=settings, **manifest)
    for name in READ:
        ctx.path(name).write_text(f"the same {name}")
    return replace(ctx, job_id=f"job-20260102T000000Z-{len(folder.name):08x}")


@pytest.fixture
def first(tmp_path: Path) -> Context:
    ctx = prepared(tmp_path / "first")
    make_video(ctx)
    return ctx


def based(first: Context, ctx: Context) -> Context:
    """The job, with links to the files of the first one, as the daemon makes them."""
    ctx.path(DRAWN).mkdir()
    for source in first.path(DRAWN).iterdir():
        fs.link_path(source, ctx.path(DRAWN) / source.name)
    return ctx


def results(ctx: Context) -> dict[str, bytes]:
    names = ("video.mp4", "poster.jpg", "captions.srt", "captions.vtt")
    return {name: ctx.path(name).read_bytes() for name in names if ctx.path(name).exists()}


@pytest.mark.parametrize("captions", ["none", "srt", "vtt"])
def test_captions_beside_the_video_leave_it_as_it_is(
    first: Context, tmp_path: Path, drawn: list[str], captions: str
) -> None:
    ctx = based(first, prepared(tmp_path / "again", captions=captions))
    facts = make_video(ctx)
    # Nothing is drawn, the status says so, and the results are those of a job of its own
    assert drawn == ["first"]
    assert facts["why"] == "nothing that it follows from has changed"
    assert facts["captions"] == ("none" if captions == "none" else f"captions.{captions}")
    alone = prepared(tmp_path / "alone", captions=captions)
    anew: dict[str, Any] = {**make_video(alone), "why": facts["why"], "taken_over": True}
    assert anew.pop("sampled") == "cuda:0"  # nothing was drawn for the other one
    assert anew == facts
    assert results(alone) == results(ctx)
    # And it can be the base of another one
    third = based(ctx, prepared(tmp_path / "third", captions="srt"))
    make_video(third)
    assert "third" not in drawn


def test_what_the_first_job_was_told_is_told_again(first: Context, tmp_path: Path, drawn: list[str]) -> None:
    record = first.path(DRAWN) / "record.json"
    record.write_text(json.dumps({**json.loads(record.read_bytes()), "warnings": ["Mind the gap."]}))
    ctx = based(first, prepared(tmp_path / "again"))
    make_video(ctx)
    assert (ctx.warnings, drawn) == (["Mind the gap."], ["first"])


def test_captions_in_the_video_are_taken_over_only_where_they_are_the_same(tmp_path: Path, drawn: list[str]) -> None:
    first = prepared(tmp_path / "first", captions="burn")
    make_video(first)
    for name, captions in (("same", "burn"), ("plain", "none")):
        make_video(based(first, prepared(tmp_path / name, captions=captions)))
    other = based(first, prepared(tmp_path / "other", captions="burn"))
    words = other.path("timing.json")
    words.write_text(words.read_text().replace("two", "new"))
    make_video(other)
    assert drawn == ["first", "plain", "other"]


def damaged(ctx: Context) -> None:
    data = ctx.path(DRAWN) / "video.mp4"
    content = data.read_bytes()
    data.unlink()  # else the first job's would be damaged, too
    data.write_bytes(content[:-1000] + bytes(1000))


def without_record(ctx: Context) -> None:
    (ctx.path(DRAWN) / "record.json").unlink()


def nothing(_: Context) -> None:
    pass


CHANGES: dict[str, tuple[dict[str, Any], Callable[[Context], object]]] = {
    "quality": ({"quality": "draft"}, nothing),
    "format": ({"format": "mov"}, nothing),
    "title": ({"title": "Again"}, nothing),
    "background": ({"background": "blur"}, nothing),
    "label": ({"settings": {"stages": {"encode": {"label": "By a machine"}}}}, nothing),
    **{
        name: ({}, lambda ctx, name=name: ctx.path(name).write_text("another"))  # type: ignore[misc]
        for name in READ
    },
    "a damaged video": ({}, damaged),
    "no record": ({}, without_record),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_drawn_and_the_first_job_keeps_its_own(
    first: Context, tmp_path: Path, drawn: list[str], change: str
) -> None:
    manifest, alter = CHANGES[change]
    ctx = based(first, prepared(tmp_path / "again", **manifest))
    before = {path.name: path.read_bytes() for path in first.path(DRAWN).iterdir()}
    alter(ctx)
    make_video(ctx)
    assert drawn == ["first", "again"]
    assert before == {path.name: path.read_bytes() for path in first.path(DRAWN).iterdir()}


def test_a_video_with_a_painted_mouth_is_drawn_anew_by_code_that_pastes_it_otherwise(
    first: Context, tmp_path: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a version with another module that pastes painted mouths
    def digest(*packages: str) -> str:
        return "another" if Path(blend.__file__).parent.name in packages else code_digest(*packages)

    monkeypatch.setattr(kept_video, "code_digest", digest)
    # When a video of the version before is there, then it is not taken over
    make_video(based(first, prepared(tmp_path / "again")))
    assert drawn == ["first", "again"]
