"""What is asked about jobs, and a row of the answer."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from daemon.history.folding import fold, words_of
from daemon.history.places import LAST, start_of
from daemon.jobs.iso_time import iso
from daemon.outbox import looks

if TYPE_CHECKING:
    from daemon.history.entry import Entry

#: Those of `daemon.jobs.record`, which takes long to import; the first four are not finished.
STATES: Final = ("waiting", "queued", "running", "held", "done", "failed", "cancelled")
#: State words of other systems, and the states that they mean.
STATE_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "pending": ("waiting", "queued", "held"),
    "processing": ("running",),
    "completed": ("done",),
}


@dataclass(frozen=True, slots=True)
class Query:
    """What jobs are asked for; what is not given does not count. Empty filters let all through.

    Attributes:
        search: words of the name, the text, the manifest's path and the tags, all of which must be there, each anywhere in a
            word; case does not count; words in double quotes are one.
        name, text: the same, in the name or in the rest alone.
        state: states, or words of `STATE_WORDS`; `kind`, `by`: kinds and owners; `tag`: tags, all of which it must have;
            `without_tag`: tags of which it must have none.
        since, until: of the acceptance, in seconds since the epoch; `until` itself is not included.
    """

    search: str = ""
    name: str = ""
    text: str = ""
    state: Sequence[str] = ()
    kind: Sequence[str] = ()
    by: Sequence[str] = ()
    tag: Sequence[str] = ()
    without_tag: Sequence[str] = ()
    since: float | None = None
    until: float | None = None

    def unknown_word(self) -> tuple[str, str] | None:
        """Return what is wrong with a state or kind that there is none of, and what to use; None where all are known."""
        for state in self.state:
            if state not in STATES and state not in STATE_WORDS:
                return f"There is no state {state!r}.", f"Use one of {', '.join((*STATES, *STATE_WORDS))}."
        if self.kind:
            from daemon.jobs.kinds import KINDS  # `avatar jobs list` rarely needs it

            for kind in self.kind:
                if kind not in KINDS:
                    return f"There is no kind {kind!r}.", f"Use one of {', '.join(KINDS)}."
        return None

    @property
    def states(self) -> tuple[str, ...]:
        """The states that are meant, each once."""
        return tuple(dict.fromkeys(itertools.chain.from_iterable(STATE_WORDS.get(s, (s,)) for s in self.state)))

    @property
    def words(self) -> list[tuple[str | None, str]]:
        """Folded words, each with where it must be: in `name`, in `words`, or, with None, in one of them."""
        parts = ((None, self.search), ("name", self.name), ("words", self.text))
        return [(column, word) for column, given in parts for word in words_of(given)]

    @property
    def places(self) -> tuple[int, int]:
        """The first place of the time asked for, and the last."""
        first = 0 if self.since is None else start_of(round(self.since * 1000))
        return first, LAST if self.until is None else start_of(round(self.until * 1000)) - 1

    @property
    def without_looks(self) -> Query:
        """The same without the page's own short jobs (`daemon.outbox.looks`), which nobody handed in, unless their tag is asked
        for.
        """
        return self if looks.TAG in self.tag else replace(self, without_tag=(*self.without_tag, looks.TAG))

    def fits(self, entry: Entry) -> bool:
        """Return whether a job is asked for: the same answer as that of the index, for whoever reads the folders."""
        name, (first, last) = fold(entry.name), self.places
        return (
            first <= entry.place <= last
            and (not self.state or entry.state in self.states)
            and (not self.kind or entry.kind in self.kind)
            and (not self.by or entry.by in self.by)
            and all(tag in entry.tags for tag in self.tag)
            and not any(tag in entry.tags for tag in self.without_tag)
            and all(
                (column != "words" and word in name) or (column != "name" and word in entry.words)
                for column, word in self.words
            )
        )


class Row(NamedTuple):
    """One job of an answer. Times are seconds since the epoch; the others are as in `Entry`.

    Attributes:
        cursor: goes on after this row: `find(…, after=row.cursor)`.
    """

    cursor: int
    job: str
    name: str
    state: str
    stage: str | None
    kind: str | None
    by: str
    source: str
    document: int
    accepted: float
    finished: float | None
    priority: int
    error: dict[str, Any] | None
    waiting_for: tuple[str, ...]
    tags: tuple[str, ...]
    text: str
    audio_s: float
    work_s: float

    @classmethod
    def of_entry(cls, entry: Entry) -> Row:
        """Return the row of a job that was read from the folders."""
        return cls(
            cursor=entry.place,
            accepted=entry.accepted / 1000,
            finished=None if entry.finished is None else entry.finished / 1000,
            **{key: getattr(entry, key) for key in _SAME},
        )

    @classmethod
    def of_columns(cls, values: Sequence[Any]) -> Row:
        """Return the row of `COLUMNS` of the index."""
        row = list(values)
        row[9] /= 1000
        row[10] = None if row[10] is None else row[10] / 1000
        row[12] = _decode(row[12])[0] if row[12] else None
        row[13] = tuple(_decode(row[13])[0]) if row[13] else ()
        row[14] = tuple(_decode(row[14])[0]) if row[14] else ()
        return cls._make(row)

    def to_json(self) -> dict[str, Any]:
        """Return it with the keys of a status file (docs/status.md) and its times; of the text there is the beginning."""
        found: dict[str, Any] = {
            "job": self.job or None,
            "name": self.name,
            "state": self.state,
            "stage": self.stage,
            "kind": self.kind,
            "by": self.by or None,
            "source": self.source,
            "document": self.document,
            "priority": self.priority,
            "accepted": iso(self.accepted),
            "finished": iso(self.finished),
        }
        if self.error:
            found["error"] = self.error
        if self.waiting_for:
            found["waiting_for"] = list(self.waiting_for)
        if self.tags:
            found["tags"] = list(self.tags)
        if self.text:
            found["text"] = self.text
        if self.audio_s:
            found["audio_s"] = self.audio_s
        if self.work_s:
            found["work_s"] = self.work_s
        return found


_decode = json.JSONDecoder().raw_decode  # half the time of `json.loads`, which ten thousand rows notice
_SAME = [name for name in Row._fields if name not in ("cursor", "accepted", "finished")]
