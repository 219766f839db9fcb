"""An avatar profile keeps what the face stage measured, so that jobs with it are not measured again."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import stages.face
from daemon.errors import JobError
from daemon.intake.jobs.avatar_copies import AvatarCopies
from daemon.intake.jobs.companion_files import CompanionFiles
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job
from daemon.profiles.avatars import JOB_COPIES, AvatarProfile, AvatarStore
from stages.context import Context
from stages.face import decode
from stages.face.avatars.create import CONTACT, RESULT
from tests.support.stages.picture_jobs import drawn, encoded, job, noise, portrait_of, two_faces

pytestmark = pytest.mark.usefixtures("models")


def making(folder: Path, picture: Image.Image, **manifest: Any) -> Context:
    """Return a job that makes a profile of a picture."""
    return job(folder, picture, kind="avatar", **manifest)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[AvatarProfile, Context]:
    """A profile of the left one of two people, and the job that made it."""
    folder = tmp_path_factory.mktemp("made") / "job"
    profile = {"name": "Anna", "consent": "Anna, by letter"}
    ctx = making(folder, two_faces(), face="0", aspect="1:1", voice="adam", title="Anna B.", profile=profile)
    facts = stages.face.run(replace(ctx, by="otto"))
    (found,) = AvatarStore(ctx.settings.paths.avatars).all_profiles()
    assert (facts["profile"], facts["avatar"]) == (found.id, "Anna")
    return found, ctx


def using(folder: Path, made: tuple[AvatarProfile, Context], **manifest: Any) -> Context:
    """Return a job that was accepted with a profile; its cache is new."""
    ctx = job(folder, None)
    settings = ctx.settings.model_copy()
    settings.paths = ctx.settings.paths.model_copy(update={"avatars": made[0].folder.parent})
    record = Job(ctx.job_id, "hello", "hello.yaml")
    wanted = Manifest.model_validate({"text": "Hello.", "avatar": "Anna", **manifest})
    AvatarCopies(settings, CompanionFiles(), lambda name, size: None).copy_profile(record, wanted, folder)
    return replace(ctx, manifest=Manifest.model_validate(record.manifest))


def test_a_profile_says_all_of_itself_and_its_results_show_it(made: tuple[AvatarProfile, Context]) -> None:
    profile, ctx = made
    assert (profile.name, profile.title, profile.by, profile.source) == ("Anna", "Anna B.", "otto", ctx.job_id)
    assert profile.consent == "Anna, by letter"
    assert profile.defaults == {"voice": "adam", "face": "0", "aspect": "1:1"}
    result = json.loads(ctx.path(RESULT).read_bytes())
    assert (result["id"], result["files"]["picture"]["bytes"]) == (profile.id, ctx.source("image").stat().st_size)
    with Image.open(ctx.path(CONTACT)) as contact:
        assert (contact.format, contact.size) == ("JPEG", portrait_of(ctx).shape[1::-1])
    assert (profile.folder / "portrait.png").read_bytes() == ctx.path("portrait.png").read_bytes()


@pytest.mark.parametrize("quality", ["medium", "draft"])
def test_a_job_with_a_profile_measures_nothing(
    quality: str, made: tuple[AvatarProfile, Context], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job with a profile, an empty cache, and nothing that could decode, detect, or build a rig
    ctx = using(tmp_path / "job", made, quality=quality)
    for module in ("stages.face.measure", "stages.face.rig.rig"):
        monkeypatch.setattr(f"{module}.shared_landmarker", lambda: pytest.fail("the picture was measured again"))
    monkeypatch.setattr(decode, "read_picture", lambda *_: pytest.fail("the picture was decoded again"))
    monkeypatch.setattr("stages.face.rig.rig.build_rig", lambda *_: pytest.fail("the rig was built again"))
    # Then the stage succeeds all the same, with the portrait of the profile
    facts = stages.face.run(ctx)
    assert (facts["profile"], facts["avatar"]) == (made[0].id, "Anna")
    name = "draft-portrait.png" if quality == "draft" else "portrait.png"
    assert ctx.path("portrait.png").read_bytes() == (made[0].folder / name).read_bytes()


def test_another_framing_is_measured_from_the_profiles_picture(
    made: tuple[AvatarProfile, Context], tmp_path: Path
) -> None:
    ctx = using(tmp_path / "job", made, size="320x320", face="1", quality="draft")
    facts = stages.face.run(ctx)
    assert (facts["width"], facts["height"], facts["avatar"]) == (160, 160, "Anna")
    # And so is its rig, which has the size of this portrait, not of the profile's
    (rig,) = (ctx.settings.paths.cache / "rigs").iterdir()
    with np.load(rig) as kept:
        assert kept["matte.alpha"].shape == (160, 160)


@pytest.mark.parametrize("name", ["picture", "portrait.png", "rig.npz"])
def test_a_copy_with_another_content_is_refused(name: str, made: tuple[AvatarProfile, Context], tmp_path: Path) -> None:
    ctx = using(tmp_path / "job", made)
    data = bytearray((copy := ctx.path(JOB_COPIES[name])).read_bytes())
    data[-1] ^= 1
    copy.unlink()  # it may be shared
    copy.write_bytes(data)
    with pytest.raises(JobError, match=made[0].id) as error:
        stages.face.run(ctx)
    assert error.value.code == "avatar-damaged"


def test_what_the_gate_refuses_becomes_no_profile(tmp_path: Path) -> None:
    ctx = making(tmp_path / "job", noise())
    with pytest.raises(JobError) as error:
        stages.face.run(ctx)
    assert error.value.code == "no-face"
    strict = job(tmp_path / "strict", encoded(drawn(400)), limits={"require_consent": True}, kind="avatar")
    with pytest.raises(JobError) as error:
        stages.face.run(strict)
    assert error.value.code == "consent-missing"
    assert not AvatarStore(ctx.settings.paths.avatars).all_profiles()
