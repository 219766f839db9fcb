"""The fields of the form for a new job, what was typed into them, and the manifest that comes of it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from daemon.doors.http.body import UPLOAD
from daemon.doors.page.new.movement import EXPRESSIONS, MOTION, movement_fields, movement_of

#: Fields that are keys of a manifest, with what a form says for them at first.
KEYS: Final = dict.fromkeys(
    (
        "text", "voice", "avatar", "aspect", "fit", "background", "captions", "quality", "format", "title", "priority", "base",
    ),
    "",
)  # fmt: skip
#: What a manifest means that says nothing of a key, where a job that is made again can be given that anew.
USUAL: Final = {
    "voice": "default", "fit": "auto", "background": "keep", "captions": "none", "quality": "medium", "format": "mp4",
}  # fmt: skip
#: The table of a batch.
ROWS: Final = "rows"
#: Fields for files, and the field that says which upload is kept for each.
FILES: Final = ("image", "audio", ROWS)
#: What of a field is no key.
BACKGROUND_COLOUR: Final = "background_colour"
_EXTRA: Final = {"name": "", "key": "", BACKGROUND_COLOUR: "#ffffff", **dict.fromkeys((*MOTION, EXPRESSIONS), "")}
#: Fields below “More”.
MORE: Final = (
    "name", "title", "aspect", "fit", "background", "captions", "quality", "priority", "format", *MOTION, EXPRESSIONS,
)  # fmt: skip
#: Fields that an error may be about, and those that are called otherwise than their keys.
FIELDS: Final = frozenset({*KEYS, *FILES, *MORE} - {"base"})
ASKED_AS: Final = {"motion": "head", "template": "text", "output": "name", "size": "aspect"}
#: What a video has and a sound has not.
_OF_VIDEOS: Final = ("aspect", "fit", "background", "captions", "quality", "format", "motion", "expressions")


@dataclass
class KeptFile:
    """A file that is with the server already. `ref`: `upload:ID`; `name`: as it is shown."""

    ref: str
    name: str


@dataclass
class NewForm:
    """What a form holds.

    Attributes:
        values: field → text.
        kept: field of a file → the upload.
    """

    values: dict[str, str] = field(default_factory=lambda: {**KEYS, **_EXTRA, "key": secrets.token_hex(16)})
    kept: dict[str, KeptFile] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> NewForm:
        """Return a form from the fields of a request."""
        form = cls()
        form.values |= {name: str(given[name]).replace("\r\n", "\n") for name in form.values if given.get(name)}
        for name in FILES:
            ref = str(given.get(f"kept_{name}") or "")
            if ref.startswith(UPLOAD):
                form.kept[name] = KeptFile(ref, str(given.get(f"kept_{name}_name") or "file")[:80])
        return form

    @classmethod
    def again(cls, status: Mapping[str, Any], manifest: Mapping[str, Any]) -> NewForm:
        """Return a form that makes a job again: its keys, and `base` for its files."""
        form = cls()
        form.values |= {
            name: _text(manifest[name]) for name in KEYS if manifest.get(name) not in (None, "", USUAL.get(name))
        }
        form.values |= movement_fields(manifest)
        form.values["base"] = str(status["job"])
        form.values["priority"] = ""
        if form.values["background"].startswith("#"):
            form.values[BACKGROUND_COLOUR], form.values["background"] = form.values["background"], "colour"
        return form

    def manifest(self, before: NewForm | None = None) -> dict[str, Any]:
        """Return the manifest, without its files: of one job, or of a batch where there is a table.

        Args:
            before: the form that made the job which is made again. What it said, and this one does not, is as usual again.
        """
        found: dict[str, Any] = {name: self.values[name] for name in KEYS if self.values[name].strip()}
        if before is not None:
            reset = (name for name in USUAL if before.values[name] and not self.values[name].strip())
            found |= {name: USUAL[name] for name in reset}
        if found.get("background") == "colour":
            found["background"] = self.values[BACKGROUND_COLOUR]
        found |= movement_of(self.values, None if before is None else before.values)
        order = {"priority": _number(found.pop("priority"))} if "priority" in found else {}
        for name, kept in self.kept.items():
            found[name] = kept.ref
        if ROWS in found:
            return {"kind": "batch", ROWS: found.pop(ROWS), "template": found, **order}
        if not {"image", "avatar", "base"} & found.keys():
            make_speech(found)
        return {**found, **order}

    @property
    def first_sentence(self) -> str:
        """The beginning of the text, for a look at the voice."""
        text = self.values["text"].strip() or "This is how I sound."
        for at, sign in enumerate(text):
            if sign in ".!?。！？\n" and at > 12:
                return text[: at + 1].strip()
        return text[:200]

    @property
    def has_words(self) -> bool:
        """Whether anything says what is to be heard."""
        return bool(self.values["text"].strip() or self.values["base"] or {"audio", ROWS} & self.kept.keys())

    @property
    def more(self) -> bool:
        """Whether anything below “More” is filled in."""
        return any(self.values[name] for name in MORE)


def make_speech(manifest: dict[str, Any]) -> None:
    """Have a manifest ask for a sound alone."""
    manifest["kind"] = "speech"
    for name in _OF_VIDEOS:
        manifest.pop(name, None)


def _text(value: Any) -> str:
    return "" if isinstance(value, dict | list) else str(value)


def _number(text: str) -> int | str:
    try:
        return int(text)
    except ValueError:
        return text
