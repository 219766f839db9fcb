"""The table of output formats: every row makes a video that the rest of the house can read, name and deliver."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from daemon.jobs.video_files import VIDEO_ENDINGS
from stages.encode.formats import FORMATS, OutputFormat
from stages.encode.video import write_video
from tests.support.sound_jobs import Picture, Stripes, beep_job

pytestmark = pytest.mark.usefixtures("models")


class Glass(Stripes):
    """Stripes in whatever a format wants: with an alpha channel, or without."""

    def pictures(self) -> Iterator[Picture]:
        for frame in super().pictures():
            alpha = np.full((*frame.shape[:2], 1), 128, np.uint8)
            yield np.concatenate([frame, alpha], axis=2) if self.transparent else frame


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.ending)
def test_a_format_is_read_back_whole_and_with_its_sound(tmp_path: Path, form: OutputFormat) -> None:
    # Given frames as the format wants them
    ctx = beep_job(tmp_path, 1.234567, fps="29.97")
    source = Glass(ctx)
    source.transparent = form.transparent
    # When they are written in it, which decodes the sound again
    facts = write_video(ctx, source, form)
    # Then every frame is in the file, at its time
    video, audio = (form.probe(ctx.path(form.file)).stream(kind) for kind in ("video", "audio"))
    assert video is not None
    assert audio is not None
    assert (facts["encoder"], facts["frames"]) == (form.encoder, video.samples)
    assert video.samples == source.frame_count
    assert (video.width, video.height) == (source.width, source.height)
    assert abs(video.duration - video.samples / ctx.manifest.frame_rate) <= form.length_slack_s
    # And without its end it is not taken for whole
    whole = ctx.path(form.file).read_bytes()
    ctx.path(form.file).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ValueError, match=r"\w"):
        form.probe(ctx.path(form.file))


def test_the_daemon_knows_the_ending_of_every_format() -> None:
    assert sorted(form.ending for form in FORMATS) == sorted(VIDEO_ENDINGS)
