"""A mistake in a document, and the one error that tells all mistakes of a document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import NamedTuple

from daemon.errors import JobError
from daemon.jobs.yaml_positions import Position

#: Most mistakes that are told beside the first.
_MOST_TOLD = 8


class Mistake(NamedTuple):
    """What is wrong in a document.

    Attributes:
        place: where; None where something is missing.
        message: a sentence that names the place.
        hint: what to do.
        key: the key of the manifest that is wrong; empty where one is missing.
    """

    place: Position | None
    message: str
    hint: str
    is_unknown_key: bool = False
    key: str = ""
    is_empty_text: bool = False

    @property
    def order(self) -> tuple[bool, bool, int, int]:
        """Unknown keys come first, what is missing last, the others by place."""
        return not self.is_unknown_key, self.place is None, *(astuple(self.place) if self.place else (0, 0))


def error_of_document(mistakes: Sequence[Mistake], lost: Sequence[str]) -> JobError:
    """Combine the mistakes of a document into one error. The first gives the code: unknown keys come before other mistakes.

    Args:
        lost: sentences about words that YAML takes for comments.
    """
    first, *others = sorted(mistakes, key=lambda mistake: mistake.order)
    code = (
        "manifest-unknown-key" if first.is_unknown_key else "text-empty" if first.is_empty_text else "manifest-invalid"
    )
    hints = [first.hint]
    if others:
        hints.append(f"{len(others)} more mistake{'s' if len(others) > 1 else ''}:")
    for mistake in others[:_MOST_TOLD]:
        hints += [mistake.message, mistake.hint if mistake.hint not in hints else ""]
    hints += [f"Further ones ({len(others) - _MOST_TOLD}) are not shown."] if len(others) > _MOST_TOLD else []
    return JobError(code, " ".join([first.message, *lost]), " ".join(filter(None, hints)))


def error_with_defaults(mistakes: Sequence[Mistake], lost: Sequence[str], inherited: Mapping[str, str]) -> JobError:
    """Combine the mistakes of a document with defaults into one error: `defaults-wrong` where all are in one file of those.

    Args:
        inherited: the keys that only defaults give: key → file.
    """
    files = {inherited.get(mistake.key) for mistake in mistakes}
    told = [
        one._replace(message=one.message.replace(f"({one.place})", f"(in {inherited[one.key]})"))
        if one.key in inherited
        else one
        for one in mistakes
    ]
    error = error_of_document(told, lost)
    if len(files) != 1 or (file := files.pop()) is None:
        return error
    keys = ", ".join(f"`{key}`" for key in dict.fromkeys(mistake.key for mistake in mistakes))
    error = defaults_error(file, error)
    return JobError(
        error.code, error.message, f"{error.hint} What a manifest says itself of {keys} goes first.".strip()
    )


def defaults_error(path: str, error: JobError) -> JobError:
    """Return the error of a manifest whose folder has defaults that cannot be used. `path`: of their file, below the inbox."""
    what = error.message.replace("The manifest", "The file")
    return JobError("defaults-wrong", f"The folder's defaults in {path} cannot be used. {what}", error.hint)
