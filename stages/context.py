"""What a stage is given: the job's folder, what was asked for, the settings, and a way to report progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.config import Settings
from daemon.jobs.manifest import Manifest, copy_name

#: JSON object of facts for the status file: engine, why it was chosen, figures, warnings.
Facts = dict[str, Any]


def _ignore(*_: object) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """One stage's view of one job.

    Attributes:
        job_id: for seeds and temporary names.
        name: the results' name in the outbox, without ending.
        job_dir: artifacts are read and written here, new ones through `daemon.system.fs.artifact`.
        manifest: what was asked for; copies of the files it names are in `job_dir`: see `source`.
        settings: the daemon's settings.
        progress: takes the finished part, 0 to 1; call it as often as you like.
        left: takes a stage's own estimate of the seconds it still needs; it is shown, and the stage is given the time.
        allow: takes the seconds that the next step may take at most, where the length of the speech does not tell.
        loaded: takes the name of a model that was loaded just now, and the seconds it took.
        still_s: how long each source file had stood still when it was copied, in s, by the copy's name; unknown for some.
        warnings: sentences for the person, shown in the status of a finished job.
    """

    job_id: str
    name: str
    job_dir: Path
    manifest: Manifest
    settings: Settings
    progress: Callable[[float], None] = _ignore
    left: Callable[[float], None] = _ignore
    allow: Callable[[float], None] = _ignore
    loaded: Callable[[str, float], None] = _ignore
    still_s: Mapping[str, float] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """An artifact's place in the job directory."""
        return self.job_dir / name

    def source(self, key: str) -> Path:
        """The copy of the file that a key of the manifest names, such as "image"."""
        return self.job_dir / copy_name(key)

    def allow_pixels(self, megapixels: float) -> None:
        """`allow` what a picture of this size may take."""
        timeout = self.settings.lanes.timeout
        self.allow(timeout.base_s + timeout.per_megapixel_s * megapixels)
