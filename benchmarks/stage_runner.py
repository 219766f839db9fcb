"""Jobs run through the real stages, without the queue, in a folder of their own."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.jobs.manifest import Manifest
from stages.context import Context

SEED = 7
#: The stages of a video, in order.
STAGES = ("face", "tts", "lipsync", "encode")


class StageRunner:
    """Settings in a folder of its own, and jobs run through the real stages without the queue."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        paths = {name: str(folder / name) for name in ("inbox", "outbox", "spool", "cache")}
        self.settings = Settings.parse({"paths": paths}, folder / "config.yaml")

    def make(
        self, name: str, picture: Path, stages: tuple[str, ...] = (), spoken: Context | None = None, **manifest: Any
    ) -> Context:
        """Run a job's stages (default: all) and return its context.

        Args:
            name: the job's folder.
            picture: the portrait.
            stages: the stages to run.
            spoken: a job of the same text whose speech is used, in place of the stage tts.
            manifest: keys of the manifest.

        Raises:
            JobError: the picture is refused.
        """
        job_dir = self.folder / name
        job_dir.mkdir(parents=True)
        shutil.copyfile(picture, job_dir / "source.image")
        checked = Manifest.model_validate({"image": picture.name, **manifest})
        ctx = Context(f"job-20260101T000000Z-{SEED:08x}", name, job_dir, checked, self.settings)
        for stage in stages or STAGES:
            if stage == "tts" and spoken is not None:
                for artifact in ("speech.wav", "timing.json"):
                    shutil.copyfile(spoken.path(artifact), ctx.path(artifact))
            else:
                importlib.import_module(f"stages.{stage}").run(ctx)
        return ctx
