"""Finds the files that manifests name also where their names are written otherwise in the inbox."""

from __future__ import annotations

import contextlib
import difflib
import heapq
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from daemon.errors import JobError, Postponed
from daemon.intake.inbox_names import HAVE_IT_BROUGHT, MANIFESTS, PLACEHOLDER, REQUEST_ENDINGS, ignored, stands_for
from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.untrusted import printable
from daemon.jobs.yaml_positions import DocumentError
from daemon.system.safe_open import open_below, open_inside, opened_root
from daemon.system.spelling import composed, folded

#: Most files that are named to people because one of them may be meant.
SIMILAR = 10
#: For mistyped names: most names that are proposed, their least similarity (difflib's ratio), and most files of a folder.
CLOSE, CLOSE_RATIO, COMPARED = 3, 0.75, 500
#: Key of a manifest → what people call the file.
_FILES = {"image": "picture", "audio": "sound file", "video": "video", "subtitles": "file of subtitles"}


class Spelled(NamedTuple):
    """A file that a manifest names.

    Attributes:
        asked: its path below the inbox as the manifest has it.
        name: the path as it is there; `asked` where it is not there.
        similar: names of files one of which may be meant, where it is not there.
        is_placeholder: whether a synchroniser has put a placeholder in its place.
        others: names of files of that kind in the folder that was looked in, where none is like it.
    """

    asked: str
    name: str
    similar: tuple[str, ...] = ()
    is_placeholder: bool = False
    others: tuple[str, ...] = ()

    @property
    def warning(self) -> str | None:
        """What to say where a file was taken whose name differs in capital letters, or whose ending is not written."""
        if composed(self.name) == composed(self.asked):
            return None
        if folded(self.name) != folded(self.asked):
            return (
                f"{_shown(self.asked)} has no ending; {_shown(self.name)} was taken, the only such file of that name. Write its "
                "whole name in the manifest."
            )
        return (
            f"{_shown(self.asked)} is not there; {_shown(self.name)} was taken, the only file of that name but for capital "
            "letters."
        )

    def hint(self, manifest: str) -> str | None:
        """Return what to say where the file is not there, None where that says nothing. `manifest`: the path of the manifest
        that needs it, below the inbox.
        """
        if self.is_placeholder:
            return f"{_shown(self.asked)} is not there yet: {PLACEHOLDER}. {HAVE_IT_BROUGHT}"
        if not self.similar:
            there = ", ".join(map(_shown, self.others))
            folder = os.path.dirname(self.asked)
            if folder != os.path.dirname(manifest):
                place = f"the inbox's folder {printable(folder)}" if folder else "the inbox"
                lie = f" There {'is' if len(self.others) == 1 else 'are'} {there}." if there else ""
                return (
                    f"{_shown(self.asked)} is looked for in {place}, not next to the manifest.{lie} To use one that lies next to "
                    f"the manifest, write {_shown(self.asked)} there."
                )
            if not there:  # it has not come yet, as nothing has
                return None
            return (
                f"{_shown(self.asked)} is not there; there {'is' if len(self.others) == 1 else 'are'} {there}. If that is meant, "
                "write its name instead."
            )
        others = ", ".join(map(_shown, self.similar[:SIMILAR]))
        return (
            f"{_shown(self.asked)} is not there, but {others} {'is' if len(self.similar) == 1 else 'are'}. Write the name of the "
            "file as it is."
        )


def _shown(path: str) -> str:
    return printable(os.path.basename(path))


class CompanionNames:
    """Looks names up in the folders of the inbox; each folder is read once.

    Args:
        root: the inbox.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        #: What lies in folders that names were looked up in, by the form in which names are compared.
        self._listings: dict[str, dict[str, list[str]]] = {}
        #: Files in these folders that only have a placeholder, in the same form.
        self._placeholders: dict[str, set[str]] = {}

    def find(self, name: str, key: str) -> Spelled:
        """Find a file that a manifest names, also where its name is written otherwise: with letters composed or not, or, where
        only one such file is there, with other capitals or without its ending.

        Args:
            name: path below the inbox.
            key: the key of the manifest that names it.
        """
        folder = ""
        *above, last = name.split("/")
        for part in above:
            found = self._like(folder, part)
            if len(found) != 1:
                return Spelled(name, name)
            folder = os.path.join(folder, found[0])
        found = self._like(folder, last)
        if len(found) == 1:
            return Spelled(name, os.path.join(folder, found[0]))
        if folded(last) in self._placeholders.get(folder, ()):
            return Spelled(name, name, is_placeholder=True)
        similar = tuple(found) or self._of_other_kinds(folder, last)
        if not os.path.splitext(last)[1]:
            meant = [one for one in similar if one.lower().endswith(COMPANIONS[key].endings)]
            if len(meant) == 1:
                return Spelled(name, os.path.join(folder, meant[0]))
            similar = tuple(meant) or similar
        return Spelled(name, name, similar, others=() if similar else self._of_this_kind(folder, last))

    def _like(self, folder: str, part: str) -> list[str]:
        """Return the names in a folder that stand for this one: itself, or else its letters, or else all but its capitals."""
        found = self._listing(folder).get(folded(part), [])
        for same in (part.__eq__, lambda name: composed(name) == composed(part)):
            if exact := [name for name in found if same(name)]:
                return exact
        return found

    def _of_other_kinds(self, folder: str, name: str) -> tuple[str, ...]:
        """Return files of the same name with another ending, of which one may be meant."""
        stem = folded(os.path.splitext(name)[0])
        names = (one for found in self._listing(folder).values() for one in found)
        return tuple(
            sorted(
                one
                for one in names
                if folded(one.split(".")[0]) == stem and not one.lower().endswith((*MANIFESTS, *REQUEST_ENDINGS))
            )
        )

    def _of_this_kind(self, folder: str, name: str) -> tuple[str, ...]:
        """Return a few files with the ending of a name, one of which may be meant."""
        ending = os.path.splitext(name)[1].lower()
        names = (one for found in self._listing(folder).values() for one in found)
        return tuple(heapq.nsmallest(CLOSE, (one for one in names if ending and one.lower().endswith(ending))))

    def resembling(self, name: str) -> tuple[str, ...]:
        """Return names of files in the folder of `name` that resemble it, the most alike first: it may be mistyped. It takes
        long, so it is called once for each job that fails, and gives nothing for folders with very many files.
        """
        folder, last = os.path.split(name)
        listing = self._listing(folder)
        if len(listing) > COMPARED:
            return ()
        close = difflib.get_close_matches(folded(last), listing, CLOSE, CLOSE_RATIO)
        names = (one for like in close for one in listing[like])
        return tuple(one for one in names if not one.lower().endswith((*MANIFESTS, *REQUEST_ENDINGS)))

    def _listing(self, folder: str) -> dict[str, list[str]]:
        known = self._listings.get(folder)
        if known is None:
            known = self._listings[folder] = {}
            with contextlib.suppress(OSError, ValueError), self._opened_folder(folder) as fd, os.scandir(fd) as entries:
                for entry in entries:
                    if (real := stands_for(entry.name)) is not None:
                        self._placeholders.setdefault(folder, set()).add(folded(real))
                    elif not ignored(entry.name):
                        known.setdefault(folded(entry.name), []).append(entry.name)
        return known

    @contextlib.contextmanager
    def _opened_folder(self, folder: str) -> Iterator[int]:
        with opened_root(self._root) as root:
            fd = open_below(root, folder or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd
        finally:
            os.close(fd)


@contextlib.contextmanager
def opened_companion(
    inbox: Path, found: Spelled, resembling: Callable[[str], tuple[str, ...]], folder: str, beside: str = ""
) -> Iterator[int]:
    """Open a file that a manifest names.

    Args:
        folder: of the manifest, below the inbox.
        beside: the file of folder defaults that names it, below the inbox; empty where the manifest does.
        resembling: gives the names of files that may be meant, for a name that is not there.

    Raises:
        JobError: what `open_inside` raises; `file-missing` names the files that may be meant.
        Postponed: somebody holds it.
    """
    with contextlib.ExitStack() as stack:
        try:
            fd = stack.enter_context(open_inside(inbox, found.name))
        except JobError as exc:
            if exc.code != "file-missing":
                raise
            meant = found._replace(similar=found.similar or resembling(found.asked))
            told = meant.hint("")
            if told is None or not (meant.similar or meant.is_placeholder):
                raise (
                    missing_file(exc, beside) if beside else _missing_beside(exc, inbox, found.asked, folder)
                ) from exc
            way = "Then drop the manifest again." if meant.is_placeholder else "Mend the manifest, and drop it again."
            raise JobError(exc.code, told, way) from exc
        yield fd


def missing_file(error: JobError, beside: str) -> JobError:
    """Return the error of a file that is not there, with the place where it belongs. `beside`: as for `opened_companion`."""
    if not beside or error.code != "file-missing":
        return error
    hint = f"Put it next to {printable(beside)}, which names it, or name another file in the manifest."
    return JobError(error.code, error.message, hint)


def _missing_beside(error: JobError, inbox: Path, asked: str, folder: str) -> JobError:
    """Return the error of a file that a manifest in `folder` names and that is not there, with what was meant where it shows.

    Args:
        asked: path of the file below the inbox.
    """
    name, inner = _shown(asked), os.path.relpath(os.path.dirname(asked) or ".", folder or ".")
    if inner != ".":
        written = f"{printable(inner)}/{name}"
        with (
            contextlib.suppress(JobError, Postponed),
            open_inside(inbox, os.path.join(folder, os.path.basename(asked))),
        ):
            what = f"{written} is not there, but {name} lies next to the manifest."
            return JobError(error.code, what, f"Write {name} without a folder. Mend the manifest, and drop it again.")
        hint = f"Put {name} next to the manifest, and write its name without a folder."
        return JobError(error.code, f"{written} is not there.", hint)
    if "." in name:
        return error
    words = " Words that are to be said stand in `text`." if " " in name else ""
    return JobError(
        error.code, error.message, f"Write the whole name of the file, with its ending such as .png.{words}"
    )


def with_missing_files(
    error: JobError,
    inbox: Path,
    folder: str,
    spelled: Callable[[str, str], Spelled],
    resembling: Callable[[str], tuple[str, ...]],
) -> JobError:
    """Return the error of a manifest with mistakes, with the files that it names and that are not there either.

    Args:
        folder: of the manifest, below the inbox.
        spelled: finds a file as it is there.
        resembling: as for `opened_companion`.
    """
    if not isinstance(error, DocumentError):
        return error
    hints = [error.hint]
    for key, name in error.named.items():
        found = spelled(os.path.join(folder, name), key)
        with contextlib.suppress(Postponed):
            try:
                with open_inside(inbox, found.name):
                    continue
            except JobError as exc:
                if exc.code != "file-missing":
                    continue
            meant = [*map(_shown, found.similar or resembling(found.asked))][:CLOSE]
            but = f", but {', '.join(meant)} {'was' if len(meant) == 1 else 'were'}" if meant else ""
            what = f"{_FILES.get(key, 'file')} {printable(name)}"
            hints.append(f"When the manifest was read, its {what} was not there either{but}.")
    return JobError(error.code, error.message, " ".join(filter(None, hints)))
