"""Keeps on disk which ends of jobs have been seen, and what is still to be delivered: a SQLite database, `hooks.db`.

That an end was seen and what is delivered for it are written in one transaction, and an attempt is noted after it was made.
So whatever kills the process, no end is left out, and at worst a message is delivered twice, with the same id.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from daemon.errors import AvatarError, UnavailableError
from daemon.jobs.iso_time import iso
from daemon.system import fs

FILE: Final = "hooks.db"
VERSION: Final = 1
State = Literal["waiting", "delivered", "dead"]
#: How long a writer waits for another one, in s.
_PATIENCE_S: Final = 10.0
#: Longest note on the last attempt.
_NOTE_CHARS: Final = 500
#: No attempt is put off for longer than this, s.
LATEST_S: Final = 2 * 86_400.0
_SCHEMA: Final = """
CREATE TABLE seen (job TEXT PRIMARY KEY, ended INTEGER NOT NULL, changed INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE facts (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE deliveries (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL, hook TEXT NOT NULL, url TEXT NOT NULL, type TEXT NOT NULL, job TEXT, name TEXT NOT NULL,
  job_state TEXT NOT NULL, output TEXT NOT NULL, body BLOB NOT NULL, state TEXT NOT NULL, made REAL NOT NULL, due REAL NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0, tried REAL, note TEXT NOT NULL DEFAULT '',
  UNIQUE (id, hook)
);
CREATE INDEX due ON deliveries (due) WHERE state = 'waiting';
CREATE INDEX ended ON deliveries (state, made);
"""
_COLUMNS: Final = (
    "number, id, hook, url, type, job, name, job_state, output, body, state, made, due, attempts, tried, note"
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to one receiver. Times are seconds since the epoch.

    Attributes:
        id: of the message; the same at every attempt, and for every receiver.
        url: where it goes if the job itself said it; empty: where the hook of the configuration says.
        name, job_state, output: of the job; `output`: path of its main result below the outbox, or empty.
        due: when the next attempt is made.
        note: how the last attempt went.
    """

    number: int
    id: str
    hook: str
    url: str
    type: str
    job: str | None
    name: str
    job_state: str
    output: str
    body: bytes
    state: State
    made: float
    due: float
    attempts: int
    tried: float | None
    note: str

    def to_json(self) -> dict[str, Any]:
        """Return what is told of it: all but the body and the URL, which may hold secrets."""
        told = {key: value for key, value in asdict(self).items() if key not in ("body", "url")}
        due = iso(self.due) if self.state == "waiting" else None
        return {**told, "made": iso(self.made), "due": due, "tried": iso(self.tried)}


class Store:
    """The database in a folder (`paths.hooks`). Each call opens it anew, so that one object serves many threads."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE

    def create(self, now: float) -> None:
        """Make it where it is missing. Jobs that ended before are not told. Only whoever runs the hooks may call this.

        Raises:
            AvatarError: `hooks-unavailable`; also where it is of another version.
        """
        if not self.exists():
            new = Store(self.path.parent)
            new.path = self.path.with_name(f".{FILE}.new")  # so that nobody sees one without tables
            new.path.unlink(missing_ok=True)
            with new._connected(write=True, create=True) as db:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO facts VALUES ('since', ?)", (now,))
                db.execute(f"PRAGMA user_version = {VERSION}")
            new.path.chmod(0o660)  # members of the group may begin deliveries anew
            fs.rename(new.path, self.path)
            fs.OPS.sync_dir(self.path.parent)
        with self._connected() as db:
            found = db.execute("PRAGMA user_version").fetchone()[0]
        if found != VERSION:
            raise self._unusable(f"it is of version {found}, not {VERSION}")
        self.mend_since(now)

    def exists(self) -> bool:
        """Return whether the hooks have ever run here.

        Raises:
            PermissionError: whoever asks may not look.
        """
        try:
            self.path.stat()
        except FileNotFoundError:
            return False
        return True

    # -- the ends of jobs ------------------------------------------------------------------------------------------

    def since(self) -> float:
        """Return from when on the ends of jobs are told."""
        with self._connected() as db:
            return float(db.execute("SELECT value FROM facts WHERE name = 'since'").fetchone()[0])

    def mend_since(self, now: float) -> None:
        """Let all ends that were not seen be told, where a clock that was ahead noted from when on they are: those of before were
        seen when the hooks first looked, and some may have come since the clock was set right. Where that look was not finished,
        only those from now on are: else all of before would be.
        """
        with self._connected(write=True) as db:
            whole = db.execute("SELECT 1 FROM facts WHERE name = 'whole'").fetchone()
            db.execute("UPDATE facts SET value = ? WHERE name = 'since' AND value > ?", (0 if whole else now, now))

    def note_whole(self) -> None:
        """Note that all ends of before the hooks first ran were seen."""
        with self._connected(write=True) as db:
            db.execute("INSERT OR IGNORE INTO facts VALUES ('whole', 1)")

    def seen(self) -> dict[str, int]:
        """Return the jobs whose end was seen, each with the time of the last change of its folder in ns."""
        with self._connected() as db:
            return dict(db.execute("SELECT job, changed FROM seen").fetchall())

    def note_end(self, job: str, ended: int, changed: int, deliveries: Iterable[dict[str, Any]]) -> None:
        """Note the end of a job, with what is to be delivered for it; nothing is, if that very end was noted before.

        Args:
            ended: when, in ms since the epoch.
            changed: time of the last change of the job's folder, in ns.
            deliveries: keys of `Delivery`.
        """
        with self._connected(write=True) as db:
            known = db.execute("SELECT ended FROM seen WHERE job = ?", (job,)).fetchone()
            db.execute("INSERT OR REPLACE INTO seen VALUES (?, ?, ?)", (job, ended, changed))
            if known is None or known[0] != ended:
                for delivery in deliveries:
                    _add(db, delivery)

    def forget(self, jobs: Iterable[str], before: float) -> None:
        """Forget ends of jobs of which nothing is left, if they ended before a time (seconds since the epoch)."""
        with self._connected(write=True) as db:
            db.executemany("DELETE FROM seen WHERE job = ? AND ended < ?", ((job, before * 1000) for job in jobs))

    # -- deliveries ------------------------------------------------------------------------------------------------

    def due(self, now: float, limit: int, busy: Iterable[int], full: Iterable[str]) -> list[Delivery]:
        """Return what is to be delivered now, the longest due first, without those that are `busy` (by number) and those to
        hooks that are `full`. What is due later than any attempt can be was noted by a clock that was wrong, and is due now.
        """
        numbers, hooks = list(busy), list(full)
        marks = [", ".join("?" * len(part)) for part in (numbers, hooks)]
        query = (
            f"SELECT {_COLUMNS} FROM deliveries WHERE state = 'waiting' AND (due <= ? OR due > ?) "
            f"AND number NOT IN ({marks[0]}) AND hook NOT IN ({marks[1]}) ORDER BY due LIMIT ?"
        )
        with self._connected() as db:
            return [Delivery(*row) for row in db.execute(query, (now, now + LATEST_S, *numbers, *hooks, limit))]

    def note_attempt(self, number: int, state: State, due: float, note: str, now: float) -> None:
        """Note an attempt, and when the next one is made."""
        with self._connected(write=True) as db:
            db.execute(
                "UPDATE deliveries SET state = ?, due = ?, note = ?, tried = ?, attempts = attempts + 1 WHERE number = ?",
                (state, due, note[:_NOTE_CHARS], now, number),
            )

    def find(self, *, state: str = "", hook: str = "", wanted: str = "", limit: int = 100) -> list[Delivery]:
        """Return deliveries, the newest first.

        Args:
            wanted: number, message id, job id, or name of the results.
        """
        number = int(wanted) if wanted.isdecimal() and len(wanted) < 19 else -1
        query = (
            f"SELECT {_COLUMNS} FROM deliveries WHERE (?1 = '' OR state = ?1) AND (?2 = '' OR hook = ?2) "
            "AND (?3 = '' OR id = ?3 OR job = ?3 OR name = ?3 OR number = ?4) ORDER BY number DESC LIMIT ?5"
        )
        with self._connected() as db:
            return [Delivery(*row) for row in db.execute(query, (state, hook, wanted, number, limit))]

    def retry(self, numbers: Iterable[int], now: float) -> None:
        """Begin deliveries anew, whatever became of them."""
        with self._connected(write=True) as db:
            db.executemany(
                "UPDATE deliveries SET state = 'waiting', due = ?, attempts = 0 WHERE number = ?",
                ((now, number) for number in numbers),
            )

    def counts(self) -> dict[str, dict[str, Any]]:
        """Return for each hook: `waiting`, `delivered`, `dead`: how many; `failing`: of those that wait, how many were tried in
        vain; `oldest`: when the oldest that waits was made, or None; `note`: how the last attempt of one that was not delivered
        went.
        """
        with self._connected() as db:
            rows = db.execute(
                "SELECT hook, sum(state = 'waiting'), sum(state = 'delivered'), sum(state = 'dead'), "
                "sum(state = 'waiting' AND attempts > 0), min(CASE state WHEN 'waiting' THEN made END) "
                "FROM deliveries GROUP BY hook ORDER BY hook"
            ).fetchall()
            notes = dict(
                db.execute(
                    "SELECT hook, note FROM deliveries WHERE state != 'delivered' AND tried IS NOT NULL ORDER BY tried"
                ).fetchall()
            )
        keys = ("waiting", "delivered", "dead", "failing", "oldest")
        return {hook: {**dict(zip(keys, found, strict=True)), "note": notes.get(hook, "")} for hook, *found in rows}

    def clear(self, before: float) -> None:
        """Forget deliveries that have ended and were made before a time."""
        with self._connected(write=True) as db:
            db.execute("DELETE FROM deliveries WHERE state != 'waiting' AND made < ?", (before,))

    @contextlib.contextmanager
    def _connected(self, *, write: bool = False, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Yield a connection in a transaction, which is flushed at the end.

        Args:
            write: others who write are waited for at the beginning: who has read and then wants to write is refused at once where
                another one is about to.
            create: the file is made where it is missing.

        Raises:
            AvatarError: `hooks-unavailable`.
        """
        try:
            uri = f"{self.path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
            db = sqlite3.connect(uri, uri=True, timeout=_PATIENCE_S)
            with contextlib.closing(db):
                db.execute("PRAGMA synchronous = FULL")
                db.isolation_level = None  # so that `BEGIN` is ours, and holds for statements of every kind
                db.execute("BEGIN IMMEDIATE" if write else "BEGIN")
                yield db
                db.execute("COMMIT")
        except sqlite3.Error as exc:
            raise self._unusable(str(exc)) from exc

    def _unusable(self, why: str) -> AvatarError:
        return UnavailableError(
            "hooks-unavailable",
            f"The queue of the hooks cannot be used: {self.path}: {why}.",
            "Look at the disk and at the rights of that folder; members of the group avatard and root may use it.",
        )


def _add(db: sqlite3.Connection, delivery: dict[str, Any]) -> None:
    now = time.time()
    values = {"state": "waiting", "made": now, "due": now, **delivery}
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT OR IGNORE INTO deliveries ({names}) VALUES ({marks})", [*values.values()])
