"""Checks the files of a manifest by the code of the stages that will read them, as far as nothing is decoded."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.jobs.companions import copy_name
from daemon.jobs.manifest import Manifest

if TYPE_CHECKING:
    from stages.context import Context


def check_files(manifest: Manifest, files: Mapping[str, Path], settings: Settings) -> list[str]:
    """Check that the files are what the manifest says of them. Returns warnings, as the status of the job would have them.

    Args:
        files: the files that the manifest names, by its key.

    Raises:
        JobError: as when the job runs. What this machine lacks, such as ffmpeg, is no fault of the files.
    """
    from stages.context import Context

    warnings = list[str]()
    with contextlib.suppress(MachineError, OSError), tempfile.TemporaryDirectory() as folder:
        still_s = dict[str, float]()
        for key, path in files.items():
            (Path(folder) / copy_name(key)).symlink_to(path.absolute())
            still_s[copy_name(key)] = time.time() - path.stat().st_mtime
        _check(Context("", "", Path(folder), manifest, settings, still_s=still_s, warnings=warnings))
    return warnings


def _check(ctx: Context) -> None:
    from stages.check.pictures import check_pictures
    from stages.face.decode import check_header
    from stages.info.read_media import read_media
    from stages.transcode.check_source import check_sound, check_video
    from stages.transcode.read_captions import read_captions
    from stages.tts.recording import check_recording

    given, stages = ctx.manifest, ctx.manifest.stages
    check_pictures(ctx)
    if "tts" in stages and given.audio is not None:
        check_recording(ctx)
    if "transcode" in stages:
        check_video(ctx)
        if given.audio is not None:
            check_sound(ctx)
        if given.subtitles is not None:
            read_captions(ctx.source("subtitles"))
    if "info" in stages:
        if given.image is not None:
            check_header(ctx.source("image"), ctx.settings.stages.face.max_pixels)
        else:
            read_media(ctx, "video" if given.video is not None else "audio")
