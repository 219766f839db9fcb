"""Names of results: paths below the outbox without ending: `hello`, or `anna/hello` for a job from the inbox's folder `anna`."""

from __future__ import annotations

import os
import re
import unicodedata

from daemon.jobs.kinds import KINDS

STATUS_ENDING = ".json"
#: What a batch says of the rows of its table that are wrong.
ERRORS_ENDING = ".errors.csv"
#: Endings of the files of one result; a name is taken if a file with any of them exists, but for the status of a job that ended
#: without results, and what that says of its rows.
ENDINGS = (STATUS_ENDING, *dict.fromkeys(ending for kind in KINDS.values() for _, ending in kind.results))
MAX_STEM_BYTES = 180  # leaves room for a version, a job id and an ending within the 255 bytes of a file name
#: The last version of a name that is tried; it bounds how many are looked at, and how long a name becomes.
LAST_VERSION = 10**6 - 1
#: Names that are devices to Windows, with any ending: it cannot open such a file.
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10))}
#: Most names, of which nothing is to be changed unless they are those of devices.
_CLEAN = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_STEM_BYTES}}}")
_VERSION = re.compile(r"(.+)-v([1-9]\d{0,5})")
_LONGEST_FIRST = sorted(ENDINGS, key=len, reverse=True)


def clean_stem(name: str) -> str:
    """Return a file name that is valid on every filesystem: composed Unicode, no control characters, bounded length."""
    if _CLEAN.fullmatch(name) and name.upper() not in _DEVICES:
        return name
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else "_" for c in text).strip(" .") or "job"
    if text.split(".")[0].rstrip().upper() in _DEVICES:
        text = f"_{text}"
    return text.encode()[:MAX_STEM_BYTES].decode("utf-8", "ignore")


def clean_path(source: str, stem: str) -> str:
    """Return the name of results in the folder that answers the folder of `source`, a path below the inbox."""
    return "/".join(map(clean_stem, [*(part for part in os.path.dirname(source).split("/") if part), stem]))


def version_of(stem: str) -> tuple[str, int]:
    """Return a name without its version, and the version: ("hello", 2) for hello-v2, ("hello", 1) for hello."""
    found = _VERSION.fullmatch(stem)
    return (found[1], int(found[2])) if found else (stem, 1)


def next_version(stem: str) -> str:
    """Return the name that the next result of a name gets, if no other has it: hello-v2 for hello, hello-v3 for hello-v2."""
    base, version = version_of(stem)
    return f"{base}-v{version + 1}"


def returned_names(name: str, job_id: str, ending: str = ".yaml") -> tuple[str, str]:
    """Return the names of a manifest that is given back: the usual one, and the one where that is taken."""
    return f"{name}{ending}", f"{name}-{job_id}{ending}"


def result_of(file: str) -> str | None:
    """Return the name of the result that a file belongs to; None for other files."""
    ending = next((one for one in _LONGEST_FIRST if file.lower().endswith(one)), None)
    return None if ending is None else file[: -len(ending)]


def without_ending(name: str) -> str:
    """Return the name of the result that a file or a manifest belongs to: hello for hello.mp4 and hello.yaml."""
    endings = (*_LONGEST_FIRST, ".yaml", ".yml")
    return next((name[: -len(one)] for one in endings if name.lower().endswith(one) and len(name) > len(one)), name)
