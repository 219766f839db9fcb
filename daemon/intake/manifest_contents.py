"""Reads manifests while they still lie in the inbox: which files they name, and how many jobs they make."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from daemon.config import Settings
from daemon.config.hooks import check_notify
from daemon.errors import AvatarError, JobError, Postponed
from daemon.intake.drop import Drop, Look
from daemon.intake.folder_defaults import DefaultsFile, folders_above, parsed_defaults, read_defaults_file
from daemon.intake.jobs.job_builder import JOB_BYTES
from daemon.intake.result_names import ResultNames
from daemon.intake.scanner import InboxScanner
from daemon.jobs.batch.alone import batch_of, is_table
from daemon.jobs.batch.rows import BatchRows
from daemon.jobs.companions import NamedFile
from daemon.jobs.manifest import Manifest
from daemon.jobs.speech_length import bytes_while_spoken, check_text_length
from daemon.jobs.untrusted import parse_untrusted, read_manifest
from daemon.system.safe_open import open_inside

#: Most files of defaults that are kept in memory.
KEPT_DEFAULTS = 1000


class Contents(NamedTuple):
    """What was read of a manifest that waits: its files, by their path below the inbox, and the first result name it asks for.

    `jobs`: number of its documents. `spoken`: what the longest of its texts takes on the spool's disk while it is spoken, bytes.
    `held`: it could not be read, since somebody holds it. `defaults`: the files of defaults that hold for it; `defaults_looks`:
    what these looked like. `tables`: the tables of rows of its batches; `tables_looks`: what these looked like.
    """

    look: Look
    files: list[NamedFile]
    output: str
    jobs: int
    spoken: int = 0
    held: str = ""
    defaults: tuple[DefaultsFile, ...] = ()
    defaults_looks: tuple[Look | None, ...] = ()
    tables: tuple[str, ...] = ()
    tables_looks: tuple[Look | None, ...] = ()


class ManifestContents:
    """Remembers what was read of each manifest; it is read again when it has changed.

    Args:
        inbox: gives the scanner of the inbox.
        results: is told the result names that a manifest asks for.
    """

    def __init__(self, settings: Settings, inbox: Callable[[], InboxScanner], results: ResultNames) -> None:
        self._settings = settings
        self._inbox = inbox
        self._results = results
        self._known: dict[str, Contents] = {}
        #: Files of defaults by their path, as they were last read, and what they looked like then.
        self._defaults_read: dict[str, tuple[Look | None, DefaultsFile]] = {}

    def forget(self, name: str) -> None:
        """Forget a manifest; `name`: its path below the inbox."""
        self._known.pop(name, None)

    def keep(self, present: set[str]) -> None:
        """Forget all manifests but the present ones."""
        for name in self._known.keys() - present:
            del self._known[name]

    def files(self) -> set[str]:
        """Return the paths below the inbox of all files that the manifests which were read name. A table that is a batch of its
        own does not name itself.
        """
        return {file.path for name, known in self._known.items() for file in known.files if file.path != name}

    def tables(self, name: str) -> tuple[str, ...]:
        """Return the paths below the inbox of the tables of rows that a manifest names."""
        return self._known[name].tables if name in self._known else ()

    def jobs(self, name: str) -> int:
        """Return how many jobs a manifest makes; 1 if it was not read."""
        return self._known[name].jobs if name in self._known else 1

    def is_read(self, drop: Drop) -> bool:
        """Return whether the manifest was read as it is now."""
        return drop.name in self._known and self._known[drop.name].look == drop.look

    def size(self, drop: Drop) -> int:
        """Return the bytes that a manifest's jobs take on the spool's disk. Jobs share copies of files and manifest."""
        known = self._known.get(drop.name)
        if known is None:
            return 0
        files = sum(map(self._inbox().size, {self._inbox().spelled(*file).name for file in known.files}))
        return files + known.look.size + known.jobs * JOB_BYTES + known.spoken

    def of(self, drop: Drop) -> Contents:
        """Return what a manifest that still lies in the inbox asks for; it is read once as long as it does not change."""
        known = self._known.get(drop.name)
        inbox = self._inbox()
        paths = [path for folder in folders_above(drop.name) for path in sorted(inbox.defaults.get(folder, ()))]
        if unsettled := [path for path in paths if not inbox.still(path)]:
            # The manifest's own files follow when these have settled.
            return Contents(drop.look, [NamedFile(path, "") for path in unsettled], "", 1)
        looks = tuple(inbox.last_look(path) for path in paths)
        tables = tuple(map(self._look_of_table, known.tables)) if known else ()
        is_known = known is not None and self.is_read(drop) and not known.held
        if known is None or not is_known or known.defaults_looks != looks or known.tables_looks != tables:
            defaults: tuple[DefaultsFile, ...] = ()
            try:
                for path in paths:
                    defaults += (self._defaults(path),)
                documents = self._documents(drop, defaults)
            except Postponed as exc:
                if len(defaults) < len(paths):  # a manifest that is taken all the same must not do without them
                    error = JobError(exc.code, exc.message, exc.hint)
                    defaults += (DefaultsFile(paths[len(defaults)], error=error),)
                known = Contents(drop.look, [], "", 0, held=str(exc), defaults=defaults)
            else:
                base = os.path.dirname(drop.name)
                manifests = [document for document in documents if isinstance(document, Manifest)]
                able = [manifest for manifest in manifests if self._fits_settings(manifest)]  # the others fail at once
                files = dict.fromkeys(file for manifest in able for file in manifest.named_files(base))
                spoken = max(map(bytes_while_spoken, able), default=0)  # one text is spoken after the other
                outputs = [manifest.output for manifest in manifests if manifest.output]
                known = Contents(drop.look, list(files), next(iter(outputs), drop.stem), max(1, len(documents)), spoken)
                known = known._replace(defaults=defaults, defaults_looks=looks)
                known = self._with_rows(known, [one for one in able if one.kind_of_job.makes_jobs], base)
                self._results.expect(drop.name, [drop.stem, *outputs])
            self._known[drop.name] = known
        return known

    def _with_rows(self, contents: Contents, batches: Sequence[Manifest], folder: str) -> Contents:
        """Add the files that the rows of batches name, as far as their tables are there and whole."""
        inbox = self._inbox()
        tables = [inbox.spelled(one.companion_paths(folder)["rows"], "rows").name for one in batches]
        files = dict.fromkeys(contents.files)
        looks = tuple(map(self._look_of_table, tables))
        for batch, table, look in zip(batches, tables, looks, strict=True):
            if look is None:
                continue
            # Where it cannot be read, the batch fails, and is told why, when it is taken in.
            with contextlib.suppress(JobError, Postponed), open_inside(inbox.root, table) as fd:
                if os.fstat(fd).st_size <= self._settings.intake.max_file_bytes:
                    rows = BatchRows(batch, Path(f"/proc/self/fd/{fd}"), batch.inherited)
                    files |= dict.fromkeys(rows.files(folder))
        return contents._replace(files=list(files), tables=tuple(tables), tables_looks=looks)

    def _look_of_table(self, path: str) -> Look | None:
        """Return what a table of rows looks like; None while it is not there, or changes."""
        return self._inbox().last_look(path) if self._inbox().still(path) else None

    def _fits_settings(self, manifest: Manifest) -> bool:
        try:
            check_text_length(manifest, self._settings)
            check_notify(manifest.notify, self._settings.hooks)
        except JobError:
            return False
        return True

    def defaults(self, name: str) -> tuple[DefaultsFile, ...]:
        """Return the files of defaults that hold for a manifest, as they were when it was read."""
        return self._known[name].defaults if name in self._known else ()

    def _defaults(self, path: str) -> DefaultsFile:
        """Read a file of defaults, once as long as it does not change.

        Raises:
            Postponed: it changes, or somebody holds it.
        """
        look = self._inbox().last_look(path)
        known = self._defaults_read.get(path)
        if known is None or known[0] != look:
            root, limit = self._settings.paths.inbox, self._settings.intake.max_manifest_bytes
            file = read_defaults_file(root, path, limit)
            if self._inbox().at(path) != look:
                raise Postponed("file-changing", f"{path} is written to again.", "Close the program that writes it.")
            if len(self._defaults_read) >= KEPT_DEFAULTS:
                self._defaults_read.clear()
            known = self._defaults_read[path] = look, file
        return known[1]

    def _documents(self, drop: Drop, defaults: Sequence[DefaultsFile]) -> list[Manifest | JobError]:
        limits = self._settings.intake
        try:
            parsed = parsed_defaults(defaults)
            if is_table(drop.name):
                with open_inside(self._settings.paths.inbox, drop.name) as fd:
                    found = batch_of(Path(f"/proc/self/fd/{fd}"), os.path.basename(drop.name))
                return parse_untrusted(found, 1, parsed) if found is not None else []
            data = read_manifest(self._settings.paths.inbox, drop.name, limits.max_manifest_bytes)
        except Postponed:
            raise
        except (AvatarError, OSError):
            return []
        return parse_untrusted(data, limits.max_documents, parsed)
