"""Answers files in the inbox that were surely meant to become a video, but of which no job is made.

Each is answered once, by a text file in the outbox; the file itself stays, since it is its owner's.
"""

from __future__ import annotations

import codecs
import difflib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from daemon.intake.fair_queue import Turn
from daemon.intake.inbox_names import (
    HAVE_IT_BROUGHT,
    MANIFESTS,
    PLACEHOLDER,
    REQUEST_ENDINGS,
    is_conflict_copy,
    is_defaults,
    stands_for,
)
from daemon.intake.scanner import InboxScanner
from daemon.jobs.batch.alone import is_table
from daemon.jobs.batch.table import TABLE_ENDINGS
from daemon.jobs.untrusted import printable
from daemon.outbox.outbox import Outbox
from daemon.system.json_files import replace_json
from daemon.system.safe_open import open_below, opened_root
from daemon.system.subfolders import INBOX_DEPTH

log = structlog.get_logger()

#: A table that nothing names is answered after so long, s.
TABLE_S = 60.0
#: Answers that are flushed together.
BATCH = 64

_MISSPELT = (".yam", ".yalm", ".ymal", ".yaml_", ".yml_")
#: A name with the letters of a manifest's ending behind something else than a point, or with a blank after them.
_WITHOUT_POINT = re.compile(r"(.*?\w)(?:[\s,;_-]*ya?ml|[\s.]*ya?ml\s+)", re.IGNORECASE)
_TEXTS = (".txt", ".text", ".md", ".rtf", ".doc", ".docx", ".odt", ".pages", ".pdf", ".pptx", ".html", ".htm")
_OTHER_MARKUP = (".toml", ".xml", ".ini")
_TABLES = (".xls", ".xlsx", ".xlsm", ".ods", ".numbers")
_SHORTCUTS = (".lnk", ".url", ".webloc", ".desktop")
_CLOUD_TEXTS = (".gdoc", ".gsheet", ".gslides", ".textclipping", ".webarchive")
#: What people call a request → the request that does it.
_REQUESTS = {
    name: request
    for request, names in {
        ".cancel": ".stop .abort .delete .remove .kill .canceled .cancelled .abbrechen .annuler .cancelar",
        ".hold": ".pause .wait .halt",
        ".release": ".resume .continue .unpause .go .unhold",
        ".retry": ".restart .again .rerun .redo .repeat",
    }.items()
    for name in names.split()
}
#: Such a word alone, as the name of a file → the request that is meant.
_REQUEST_ALONE = {
    name.lstrip("."): request for name, request in {**_REQUESTS, **{one: one for one in REQUEST_ENDINGS}}.items()
}
#: Bytes of a file without an ending that tell whether it is text.
_BEGINNING = 512
#: Least likeness (difflib's ratio) of a mistyped request.
_LIKENESS = 0.8
_HIDDEN_ENDING = (
    'Windows hides the last ending: switch on "File name extensions" in the menu "View" of the Explorer to see it.'
)
_PACKED = (".zip", ".rar", ".7z", ".tar", ".gz")
_EXAMPLE = """
    image: portrait.jpg
    text: |
      What is to be said.
"""
_BATCH_EXAMPLE = """
    kind: batch
    rows: {name}
    template:
      image: portrait.jpg
      text: Hello {{{{name}}}}, welcome.

{{{{name}}}} stands for the cell in the column of that name.
"""


def remark(name: str) -> str | None:
    """Return what the owner of a file in the inbox should know; None where there is nothing to say.

    Args:
        name: the file's name, without its folder.
    """
    shown = printable(name)
    stem, ending = os.path.splitext(name)
    ending = ending.lower()
    inner = os.path.splitext(stem)[1].lower()
    if is_conflict_copy(name):
        return (
            f"{shown} is a copy that a synchroniser made because a file was changed in two places, so no job was made of it. "
            "Remove it, or give it a name of its own if it is wanted."
            if ending in MANIFESTS
            else None
        )
    if (real := stands_for(name)) is not None:
        return (
            f"{printable(real)} is not downloaded yet: {PLACEHOLDER} ({shown}). {HAVE_IT_BROUGHT}"
            if real.lower().endswith((*MANIFESTS, *REQUEST_ENDINGS))
            else None
        )
    if (request := _REQUEST_ALONE.get(name.lower().lstrip("."))) is not None:
        return (
            f"Nothing was done with {shown}, because it does not say which job is meant. Rename it to the name of the job's "
            f"result and {request}, such as hello{request} for hello.mp4."
        )
    if name.lower() in MANIFESTS:
        return f"No job was made of {shown}, because its name is only an ending. Rename it, for example to hello{ending or name}."
    if ending in _SHORTCUTS:
        return f"{shown} is a shortcut, which leads nowhere from here. Put the file itself into the inbox."
    if inner in REQUEST_ENDINGS and ending in (".txt", ".text"):
        return (
            f"{shown} is no request, because its name ends in {ending}. Rename it to {printable(stem)} in the inbox. "
            f"{_HIDDEN_ENDING}"
        )
    if (request := _request_meant(ending)) is not None:
        return (
            f"Nothing was done with {shown}: there is no request {ending}. Rename it to {printable(_stem(stem))}{request} in the "
            f"inbox. Requests are {', '.join(REQUEST_ENDINGS)}."
        )
    if inner in MANIFESTS and ending in _TEXTS:
        return (
            f"{shown} is no manifest, because its name ends in {ending}. Rename it to {printable(stem)} in the inbox. "
            f"{_HIDDEN_ENDING}"
        )
    if (meant := _WITHOUT_POINT.fullmatch(name)) is not None:
        return (
            f"{shown} is no manifest, because its name does not end in .yaml. Rename it to {printable(meant[1])}.yaml."
        )
    if ending in _MISSPELT or ending == ".json":
        why = "what JSON can say is valid YAML" if ending == ".json" else "manifests end in .yaml or .yml"
        return f"{shown} is no manifest, because its name ends in {ending}. Rename it to {printable(_stem(stem))}.yaml; {why}."
    if stem.lower().strip("_") in ("default", "defaults") and ending in (*_TEXTS, *_OTHER_MARKUP):
        return (
            f"{shown} does not count for this folder, because of its name. If it holds the defaults of its folder, rename it to "
            "_defaults.yaml."
        )
    if ending in (*_TEXTS, *_CLOUD_TEXTS, *_OTHER_MARKUP):
        what = "A text alone is no job" if ending in (*_TEXTS, *_CLOUD_TEXTS) else "A manifest is a YAML file"
        return (
            f"Nothing was made of {shown}. {what}. Put the picture and a file {printable(stem)}.yaml into the inbox, which "
            f"says:\n{_EXAMPLE}"
        )
    if ending in TABLE_ENDINGS:
        return (
            f"Nothing was made of {shown}: no manifest in the inbox names it, and its columns are not all keys of a manifest. "
            f"Put a file {printable(stem)}.yaml beside it, which says what each row becomes:\n{_BATCH_EXAMPLE.format(name=shown)}"
        )
    if ending in _TABLES:
        return (
            f"Nothing was made of {shown}, because workbooks are not read. Save it as {printable(stem)}.csv (in "
            "Excel: CSV UTF-8), and put it into the inbox with a file "
            f"{printable(stem)}.yaml, which says what each row becomes:\n"
            f"{_BATCH_EXAMPLE.format(name=f'{printable(stem)}.csv')}"
        )
    if ending in _PACKED:
        return f"Nothing was made of {shown}, because packed files are not opened. Put the files in it into the inbox."
    return None


def remark_on_folder(name: str) -> str | None:
    """Return what the owner of a folder should know whose name is that of a file; None for any other.

    Args:
        name: the folder's name, without those above.
    """
    shown = printable(name)
    if is_defaults(name):
        return (
            f"{shown} is a folder, so it gives no defaults. Defaults stand in a file {shown}: rename the folder, and put the "
            "file in its place."
        )
    if name.lower().endswith(MANIFESTS):
        return (
            f"{shown} is a folder, so no job was made of it. Manifests are files; those in the folder are taken, and answered in "
            "a folder of the same name."
        )
    if name.lower().endswith(REQUEST_ENDINGS):
        return f"{shown} is a folder, so nothing was done. A request is an empty file of this name."
    return None


def remark_on_text_without_ending(name: str) -> str:
    """Return what the owner of a text file should know whose name has no ending, such as `hello`."""
    shown = printable(name)
    return (
        f"Nothing was made of {shown}, because its name has no ending. If it is a manifest, rename it to {shown}.yaml in the "
        "inbox."
    )


def _request_meant(ending: str) -> str | None:
    """Return the ending of the request that is meant by another one, or by a mistyped one; None where there is none."""
    alike = [one for one in REQUEST_ENDINGS if one[:2] == ending[:2] and one != ending]  # .old is no .hold
    near = difflib.get_close_matches(ending, alike, 1, _LIKENESS)
    return _REQUESTS.get(ending) or (near[0] if near else None)


def _stem(stem: str) -> str:
    """`hello.yaml.json` is to be hello.yaml."""
    return os.path.splitext(stem)[0] if stem.lower().endswith(MANIFESTS) else stem


def _too_deep(name: str, *, is_batch: bool) -> str:
    folder = printable(name)
    why = f"The folder {folder} was not looked into, because it lies more than {INBOX_DEPTH} folders deep in the inbox."
    if not is_batch:
        return f"{why} Move its files up."
    above, batch = os.path.split(folder)
    return (
        f"{why} It is called like a batch. One row of that is asked for by a command, such as `avatar jobs hold {folder}/ROW`, "
        f"the whole batch by a file {batch}.hold in {above}. Move other files up."
    )


def _is_text(root: Path, name: str) -> bool:
    """Return whether a file below the inbox begins as text. One that cannot be read counts as none."""
    try:
        with opened_root(root) as root_fd:
            file = open_below(root_fd, name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(file).st_mode):
                    return False
                beginning = os.read(file, _BEGINNING)
            finally:
                os.close(file)
        codecs.getincrementaldecoder("utf-8")().decode(beginning)  # a sign may be cut off at the end
    except (OSError, UnicodeDecodeError):
        return False
    return b"\0" not in beginning and bool(beginning.strip())


class Strays:
    """Answers what the last look has found, each file once as long as it lies there.

    Args:
        inbox: gives the inbox.
        memory: file in the spool with the names of those that were answered.
        is_used: whether a table is read, or waits to be.
    """

    def __init__(
        self,
        outbox: Outbox,
        inbox: Callable[[], InboxScanner],
        memory: Path,
        is_used: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._outbox = outbox
        self._inbox = inbox
        self._memory = memory
        self._is_used = is_used
        self._told: set[str] | None = None
        #: Files that manifests have named which were taken.
        self._read: set[str] = set()
        #: Whether the last turn ended before all were answered.
        self.unfinished = False

    def were_read(self, names: Iterable[str]) -> None:
        """Say nothing of these files, by their path below the inbox: a manifest that names them is taken."""
        self._read.update(names)

    def answer(self) -> None:
        """Answer the files that are whole, as far as one turn goes.

        Raises:
            MachineError: `outbox-missing`.
        """
        inbox = self._inbox()
        told = self._told = self._remembered() if self._told is None else self._told
        folders = {name for name in inbox.folders if remark_on_folder(os.path.basename(name))}
        present = {*inbox.others, *inbox.too_deep, *folders}
        new = [
            name for name in sorted(present - told) if name in folders or name in inbox.too_deep or inbox.still(name)
        ]
        tables = [name for name in new if is_table(name)]
        used = {name for name in tables if name in self._read or self._is_used(name)}
        self._read.clear()
        told |= used
        # The manifest that names a table may come after it.
        used.update(name for name in tables if inbox.still_s(name) < TABLE_S)
        new = [name for name in new if name not in used]
        turn = Turn(inbox.clock)
        while new and turn.has_room():
            batch, new = new[:BATCH], new[BATCH:]
            self._tell(inbox, batch, folders)
            told.update(batch)
            turn.jobs += len(batch)
        self.unfinished = bool(new)
        if turn.jobs or used or told - present:
            told &= present
            replace_json(self._memory, sorted(told), durable=False)

    def _tell(self, inbox: InboxScanner, names: list[str], folders: set[str]) -> None:
        notes = []
        for name in names:
            base = os.path.basename(name)
            if name in inbox.too_deep:
                status = self._outbox.read_status(printable(name)) or {}
                said: str | None = _too_deep(name, is_batch=status.get("kind") == "batch")
            elif name in folders:
                said = remark_on_folder(base)
            else:
                said = remark(base)
            if said is None and "." not in base and name not in folders and _is_text(inbox.root, name):
                said = remark_on_text_without_ending(base)
            if said:
                notes.append((self._outbox.name_for(name, stands_for(base) or base), said))
                log.info("stray file", name=base, answer=said)
        if notes:
            self._outbox.publish_notes(notes)

    def _remembered(self) -> set[str]:
        try:
            names = json.loads(self._memory.read_bytes())
        except (OSError, ValueError):
            return set()
        return {str(name) for name in names} if isinstance(names, list) else set()
