"""Checks that the portraits of a batch can be animated, each different picture once, before a job is made of a row.

The pictures still lie in the inbox. A copy of each is looked at, as their jobs will look at copies.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from daemon.errors import AvatarError, JobError
from daemon.jobs.companions import copy_name
from daemon.jobs.manifest import Manifest
from daemon.system.safe_open import open_inside
from stages.context import Context

log = logging.getLogger("stages.check")

#: So many different pictures are looked at, which takes about two minutes; the others when the turn of their rows comes.
MOST_PICTURES = 1000


def has_portrait(manifest: Manifest) -> bool:
    """Return whether a job is made of a picture that it names and whose face has to be one that can be animated."""
    return manifest.image is not None and "face" in manifest.stages and not manifest.kind_of_job.judges


@dataclass
class PortraitChecks:
    """Looks at the portraits of rows.

    Attributes:
        ctx: of the batch's job.
        folder: of the batch's manifest, below the inbox.
        left_out: whether there were too many different pictures to look at all.
    """

    ctx: Context
    folder: str
    left_out: bool = False
    _found: dict[tuple[str, ...], JobError | None] = field(default_factory=dict)

    def error_of(self, manifest: Manifest) -> JobError | None:
        """Return why the portrait of a row cannot be animated; None where it can, as far as that is known before its turn."""
        if not has_portrait(manifest):
            return None
        path = manifest.companion_paths(self.folder)["image"]
        asked = (path, manifest.face)  # nothing else decides whether a face is accepted
        if asked not in self._found:
            if len(self._found) >= MOST_PICTURES:
                self.left_out = True
                return None
            self._found[asked] = self._look(manifest, path)
        return self._found[asked]

    def _look(self, manifest: Manifest, path: str) -> JobError | None:
        from stages.face.measure import check_picture

        try:
            with tempfile.TemporaryDirectory(dir=self.ctx.job_dir, prefix=".portrait-") as name:
                folder = Path(name)
                self._copy(path, folder / copy_name("image"))
                check_picture(
                    replace(self.ctx, job_dir=folder, manifest=manifest, progress=lambda _: None, warnings=[])
                )
        except JobError as exc:
            return exc
        except (
            AvatarError,
            ImportError,
            OSError,
        ) as exc:  # no fault of the picture: the stage that measures meets it again
            log.info("%s is left to the face stage: %s", os.path.basename(path), exc)
        return None

    def _copy(self, path: str, target: Path) -> None:
        limit = self.ctx.settings.intake.max_file_bytes
        with (
            open_inside(self.ctx.settings.paths.inbox, path) as fd,
            open(fd, "rb", closefd=False) as source,
            target.open("wb") as copy,
        ):
            if os.fstat(fd).st_size > limit:
                what = f"{os.path.basename(path)} is larger than {limit // 2**20} MiB."
                raise JobError("file-too-large", what, "Use a smaller file.")
            shutil.copyfileobj(source, copy)
