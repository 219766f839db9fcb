"""Voice profiles on their way to another machine: which of their files go along with a stage, and how they are put down there.

The records of all profiles go along, so that a name means the same there, and all files of those that a job may speak with.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path
from typing import Final

from daemon.profiles.profile_folders import RECORD_FILE, read_record
from daemon.workers.remote.content import ContentStore
from daemon.workers.remote.job_files import JobFile, Sent, checked_name, list_files

#: The folder of a voice profile; the same as in `stages/tts/profile_store.py`.
PROFILE_ID: Final = re.compile(r"vp-[0-9a-f]{8}")


def list_voice_files(profiles: Path, voices: Collection[str]) -> dict[str, JobFile]:
    """Return the files of voice profiles that go along, by name below `profiles`.

    Args:
        voices: what a manifest or config.yaml may call them by: a name or an id, also behind an engine's name and a slash.
    """
    wanted = {voice.rpartition("/")[2].strip().casefold() for voice in voices}
    found: dict[str, JobFile] = {}
    for profile in _folders(profiles):
        try:
            files = {f"{profile.name}/{name}": file for name, file in list_files(profile).items()}
        except OSError:  # removed in this moment
            continue
        record = files.get(f"{profile.name}/{RECORD_FILE}")
        if record is None:
            continue
        is_wanted = not wanted.isdisjoint((profile.name, _name_in(profile, record.key)))
        found.update((name, file) for name, file in files.items() if is_wanted or file is record)
    return found


def _folders(profiles: Path) -> list[Path]:
    try:
        return [profiles / name for name in sorted(os.listdir(profiles)) if PROFILE_ID.fullmatch(name)]
    except OSError:
        return []


@functools.lru_cache(maxsize=4096)
def _name_in(profile: Path, key: tuple[int, int, int]) -> str:
    """Return the name in a profile's record, in lower case; empty where it cannot be read. `key` changes with the record."""
    del key
    try:
        return str(read_record(profile)["name"]).casefold()
    except (OSError, ValueError, KeyError, TypeError):
        return ""


class ReceivedProfiles:
    """The folder of voice profiles of one worker on a machine of the cluster. What a stage computes beside a profile stays."""

    def __init__(self, folder: Path, store: ContentStore) -> None:
        self._folder, self._store = folder, store
        #: Digests of the files that were put down, by the profile's id and the file's name.
        self._known: dict[str, dict[str, str]] = {}

    def put_down(self, files: Collection[Sent]) -> None:
        """Make the folder hold these profiles, and no other one."""
        arrived: defaultdict[str, dict[str, Sent]] = defaultdict(dict)
        for file in files:
            profile, _, name = checked_name(file.name).partition("/")
            arrived[profile][name] = file
        for profile in self._known.keys() - arrived.keys():  # removed here, so that its voice must not stay there
            for sha256 in self._known[profile].values():
                self._store.forget(sha256)
            self._remove(profile)
        for profile, sent in arrived.items():
            digests = {name: _digest(file) for name, file in sent.items()}
            known = self._known.get(profile, {})
            if digests.items() <= known.items():
                continue
            self._remove(profile)
            for name, file in sent.items():
                self._store.put(file, self._folder / profile / name)
            self._known[profile] = digests

    def _remove(self, profile: str) -> None:
        self._known.pop(profile, None)
        shutil.rmtree(self._folder / profile, ignore_errors=True)


def _digest(file: Sent) -> str:
    return file.sha256 if file.data is None else hashlib.sha256(file.data).hexdigest()
