"""Copies the avatar profile that a manifest names into the job's folder, so that its removal cannot change the job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from daemon.config import Settings
from daemon.errors import JobError, Postponed
from daemon.intake.jobs.companion_files import CompanionFiles
from daemon.jobs.defaults import merge_values
from daemon.jobs.manifest import Manifest
from daemon.jobs.record import Job
from daemon.profiles.avatars import BACKGROUND, JOB_COPIES, JOB_RECORD, PICTURE, AvatarProfile, AvatarStore, files_for
from daemon.system import fs
from daemon.system.json_files import dump_json


class AvatarCopies:
    """Makes the copies.

    Args:
        companion_files: makes copies that jobs share.
        check_room: is asked before a file, by its name in messages, of so many bytes is written; raises where they do not fit.
    """

    def __init__(
        self, settings: Settings, companion_files: CompanionFiles, check_room: Callable[[str, int], None]
    ) -> None:
        self._settings = settings
        self._companion_files = companion_files
        self._check_room = check_room

    def copy_profile(self, job: Job, manifest: Manifest, building: Path) -> list[Path]:
        """Put the profile's values into the job's manifest where this does not give them, and copy its files.

        Args:
            building: the job's folder.

        Returns:
            The copies, which the caller flushes; none where the job uses no profile.

        Raises:
            JobError: `avatar-unknown`, `avatar-damaged`, `avatar-newer`, `profile-expired`, `consent-missing`,
                `manifest-invalid`.
            Postponed: `avatars-unreadable`, and what `check_room` raises.
        """
        if manifest.avatar is None or not manifest.kind_of_job.draws:
            return []
        store = AvatarStore(self._settings.paths.avatars)
        try:
            profile = store.find_profile(manifest.avatar)
            store.check_usable(profile, require_consent=self._settings.stages.face.require_consent)
            merged = with_profile(manifest, profile)
            job.manifest = merged.model_dump(mode="json")
            wanted = [PICTURE, *files_for(profile, draft=merged.quality == "draft")]
            if merged.background_file and "background" not in manifest.model_fields_set:
                wanted.append(BACKGROUND)
            copies = [self._copy(store, profile, name, building) for name in wanted]
        except OSError as exc:
            raise Postponed(
                "avatars-unreadable",
                f"The avatar profiles cannot be read ({exc.strerror}).",
                "`avatar doctor` looks at the service's folders.",
                fault="machine",
            ) from exc
        record = building / JOB_RECORD
        fs.OPS.write(record, dump_json(profile.record()), sync=False)
        return [*copies, record]

    def _copy(self, store: AvatarStore, profile: AvatarProfile, name: str, building: Path) -> Path:
        target = building / JOB_COPIES[name]
        with store.open_file(profile, name) as fd:
            limit = max(self._settings.intake.max_file_bytes, profile.files[name]["bytes"])
            told = f"{name} of the avatar profile '{profile.name}'"
            self._companion_files.copy_file(fd, target, limit, told, partial(self._check_room, told))
        return target


def with_profile(manifest: Manifest, profile: AvatarProfile) -> Manifest:
    """Return the manifest with a profile's values for keys that it does not give.

    Raises:
        JobError: `manifest-invalid`: they do not go together.
    """
    given = {
        key: value for key, value in manifest.model_dump(mode="json", exclude_unset=True).items() if value is not None
    }
    try:
        return Manifest.model_validate(merge_values(given, profile.defaults))
    except ValidationError as exc:
        raise JobError(
            "manifest-invalid",
            f"The manifest does not go together with the avatar profile '{profile.name}': {exc.errors()[0]['msg']}.",
            "Give the key in the manifest, so that the profile's is not used.",
        ) from exc
