"""The file of the index: where it is, how it is opened, and when it is thrown away.

The index is never the truth. It is a SQLite database with a rollback journal, since whoever may only read the folder cannot open
one with a write-ahead log. Nothing is flushed while the daemon works: a killed daemon loses nothing that the kernel has. After a
power cut, which the boot id tells, the file is thrown away and made again.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from daemon.errors import AvatarError
from daemon.history.freshness import is_held
from daemon.system import fs
from daemon.system.permissions import make_folder

FILE = "jobs.db"
#: Layout of the tables. A file of another one is thrown away and made again, be it older or newer.
VERSION = 1
_APPLICATION = 0x41564A48  # "AVJH", in the header of the file
#: How long whoever reads waits for the daemon, and the daemon for them, in s. A transaction of ours takes milliseconds.
WAIT_S = 2.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
#: Columns of a job, in the order of its row.
COLUMNS = (
    "place, job, name, state, stage, kind, by, source, document, accepted, finished, priority, error, waiting_for, tags, text, "
    "audio_s, work_s"
)
#: The search only tells which jobs have which runs of three letters, in any place: a third of the size. What it finds is read.
#: The state leads every index: one that asks for no state asks for each of them, and every answer comes in the order of places.
_TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE jobs (
  place INTEGER PRIMARY KEY, job TEXT NOT NULL UNIQUE, name TEXT NOT NULL, state TEXT NOT NULL, stage TEXT, kind TEXT,
  by TEXT NOT NULL, source TEXT NOT NULL, document INTEGER NOT NULL, accepted INTEGER NOT NULL, finished INTEGER,
  priority INTEGER NOT NULL, error TEXT, waiting_for TEXT, tags TEXT, text TEXT NOT NULL, audio_s REAL NOT NULL,
  work_s REAL NOT NULL);
CREATE INDEX jobs_state ON jobs (state, place, audio_s, work_s);
CREATE INDEX jobs_state_kind ON jobs (state, kind);
CREATE INDEX jobs_state_by ON jobs (state, by);
CREATE INDEX jobs_state_kind_by ON jobs (state, kind, by);
CREATE INDEX jobs_name ON jobs (name);
CREATE TABLE tags (tag TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (tag, place)) WITHOUT ROWID;
CREATE VIRTUAL TABLE search USING fts5 (name, words, detail = none, tokenize = 'trigram case_sensitive 1');
CREATE VIRTUAL TABLE terms USING fts5vocab (search, row);
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {VERSION};
"""


class HistoryError(AvatarError):
    """`history-unavailable`: there is no index that can be used. What it would tell is in the folders."""

    def __init__(self, message: str, hint: str = "The daemon makes it again; until then the folders are read.") -> None:
        super().__init__("history-unavailable", message, hint)


class UnfinishedError(HistoryError):
    """Not all jobs are in the index yet."""


class DamagedError(Exception):
    """The file is damaged, or has another version; it is to be thrown away."""


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """Open the index for one question. Nothing is written, so that its owner's right is not needed.

    Raises:
        HistoryError: it is missing, may not be read, is being built, is damaged, or has another version.
    """
    path = folder / FILE
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True, timeout=WAIT_S)
    except sqlite3.Error as exc:
        raise HistoryError(_why(path, exc)) from exc
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        _check_version(connection)
        meta = dict(connection.execute("SELECT key, value FROM meta"))
        if not meta.get("complete"):
            raise UnfinishedError("The index of jobs is still being built.")
        if not meta.get("closed") and meta.get("boot") != boot_id() and not is_held(folder):
            raise HistoryError("The machine stopped while the index of jobs was written.")
        yield connection
    except DamagedError as exc:
        raise HistoryError(f"{path}: {exc}.") from exc
    except sqlite3.Error as exc:
        raise HistoryError(_why(path, exc)) from exc
    finally:
        connection.close()


def was_left_open(folder: Path) -> bool:
    """Return whether a daemon writes the index now, or was killed when it did.

    Raises:
        HistoryError: as `reading`.
    """
    with reading(folder) as connection:
        return not _meta(connection, "closed")


def open_to_write(folder: Path) -> sqlite3.Connection:
    """Open the index for changes, in transactions that the caller begins; a missing one is made.

    Raises:
        DamagedError: the file is not usable: `discard` it.
        sqlite3.Error, OSError: the disk, or somebody who reads, is in the way.
    """
    make_folder(folder)
    path = folder / FILE
    connection = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create(connection)
        _check_version(connection)
        connection.execute("PRAGMA journal_mode = TRUNCATE")
        closed, boot = (_meta(connection, key) for key in ("closed", "boot"))
        if not closed and boot != boot_id():
            raise DamagedError("the machine stopped while it was written")
        if closed:
            _note_open(connection)
    except BaseException as exc:
        connection.close()
        if isinstance(exc, sqlite3.DatabaseError) and is_damage(exc):
            raise DamagedError(str(exc)) from exc
        raise
    return connection


def _create(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("BEGIN IMMEDIATE")
    for statement in filter(str.strip, _TABLES.split(";")):
        connection.execute(statement)
    notes = {"complete": 0, "closed": 0, "boot": boot_id(), "made": secrets.token_hex(8)}
    connection.executemany("INSERT INTO meta VALUES (?, ?)", notes.items())
    connection.execute("COMMIT")


def _note_open(connection: sqlite3.Connection) -> None:
    """Note durably, before anything is written without a flush, that the file is only whole while this machine runs."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("BEGIN IMMEDIATE")
    set_meta(connection, "boot", boot_id())
    set_meta(connection, "closed", 0)
    connection.execute("COMMIT")
    connection.execute("PRAGMA synchronous = OFF")


def is_complete(connection: sqlite3.Connection) -> bool:
    """Return whether every job has been written into it once."""
    return bool(_meta(connection, "complete"))


def identity(connection: sqlite3.Connection) -> object:
    """Tells one file from the one that was made after it was thrown away."""
    return _meta(connection, "made")


def _check_version(connection: sqlite3.Connection) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION:
        raise DamagedError("it is no index of jobs")
    if version != VERSION:
        raise DamagedError(f"it has version {version}, and this program writes version {VERSION}")


def _meta(connection: sqlite3.Connection, key: str) -> object:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return row[0] if row else None


def set_meta(connection: sqlite3.Connection, key: str, value: object) -> None:
    """Write one of the notes on the index itself: `complete`, `closed`, `boot`."""
    connection.execute("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", (key, value))


def close_cleanly(folder: Path) -> None:
    """Flush the index, and note that it is whole, also for the next start of the machine.

    Raises:
        DamagedError, sqlite3.Error, OSError: as `open_to_write`.
    """
    if not (folder / FILE).exists():
        return
    connection = open_to_write(folder)
    try:
        fs.OPS.sync_file(folder / FILE)
        connection.execute("PRAGMA synchronous = FULL")
        set_meta(connection, "closed", 1)
    finally:
        connection.close()


def discard(folder: Path) -> None:
    """Remove the file of the index with its journals; a new one is made at the next change."""
    for ending in ("-journal", "-wal", "-shm", ""):
        fs.remove(folder / f"{FILE}{ending}")


def check_file(folder: Path) -> str | None:
    """Read the whole file; returns what is wrong with it, None where nothing is, or where it is still being built."""
    try:
        with reading(folder) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            return None if found == "ok" else found
    except UnfinishedError:
        return None
    except HistoryError as exc:
        return exc.message


def is_damage(exc: sqlite3.DatabaseError) -> bool:
    """Return whether the file itself is at fault, not the disk or another process."""
    return exc.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def boot_id() -> str:
    """Tells one run of the kernel from the next."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def give_to_readers(folder: Path, outbox: Path) -> None:
    """Let the group that reads the outbox read the index, as far as this process may give it away, and nobody write to it."""
    with contextlib.suppress(OSError):
        info, group = os.lstat(folder), os.stat(outbox).st_gid
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
            return
        mode = stat.S_IMODE(info.st_mode) & stat.S_ISGID | 0o750
        if stat.S_IMODE(info.st_mode) != mode:
            os.chmod(folder, mode)
        if info.st_gid != group:
            os.chown(folder, -1, group, follow_symlinks=False)
        if not mode & stat.S_ISGID:
            os.chmod(folder, mode | stat.S_ISGID)  # a unit of systemd may forbid it


def _why(path: Path, exc: sqlite3.Error) -> str:
    if not os.path.exists(path):
        return f"There is no index of jobs at {path}."
    return f"{path}: {exc}."
