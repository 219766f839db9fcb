"""Model files: how one is described, where it is looked for, whether it is whole. Loads none of them.

Which files an engine needs stands in its own folder, in `model_files`; `stages.model_list` has all of them by name.
Where no hash is known, structure and size are checked instead.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

State = Literal["good", "other", "damaged", "missing"]

MIT, APACHE = "MIT", "Apache-2.0"


@dataclass(frozen=True)
class Member:
    """A file inside a package of the Python registry: the requirement, the package's sha256, the path in it."""

    requirement: str
    sha256: str
    path: str


@dataclass(frozen=True)
class ModelFile:
    """One file. `repo` and `members` are empty for files nobody publishes (a conversion made by the operator).

    Attributes:
        path: below the models folder; the layout the model's own users have.
        repo, revision, remote: where it is published on Hugging Face.
        members: or the packages it lies in; several members, joined, are the file.
        archive: or the address of the zip file it lies in, under its own name.
        size: bytes, 0 where not known.
        sha256: empty where not known.
    """

    path: str
    repo: str = ""
    revision: str = ""
    remote: str = ""
    size: int = 0
    sha256: str = ""
    members: tuple[Member, ...] = ()
    archive: str = ""

    @property
    def source(self) -> str:
        """Where it is published, in words; empty where nowhere."""
        if self.repo:
            return f"https://huggingface.co/{self.repo}"
        return self.archive or ", ".join(member.requirement for member in self.members)


@dataclass(frozen=True)
class Part:
    """One thing an engine needs. Any of `files` will do; the first that is there is used, the first published fetched."""

    role: str
    what: str
    licence: str
    files: tuple[ModelFile, ...]

    def find(self, root: Path) -> ModelFile | None:
        """The file of this part that is there."""
        return next((file for file in self.files if (root / file.path).is_file()), None)

    @property
    def published(self) -> ModelFile:
        return next(file for file in self.files if file.source)


@dataclass(frozen=True)
class Found:
    """What is there of one part.

    Attributes:
        file: the one that is used, or, where none is there, the one to fetch.
        state: good; other (whole, but not the published file); damaged; missing.
        why: what is wrong or other, in words.
    """

    part: Part
    file: ModelFile
    state: State
    why: str = ""

    @property
    def usable(self) -> bool:
        return self.state in ("good", "other")


def survey(
    parts: Sequence[Part], root: Path, *, deep: bool = False, progress: Callable[[int], None] | None = None
) -> list[Found]:
    """Look at every file of an engine.

    Args:
        parts: what it needs.
        root: the models folder.
        deep: read the files whole and compare their sha256; otherwise only sizes and structure are looked at.
        progress: told how many bytes were read.
    """
    return [_look(part, root, deep, progress) for part in parts]


def _look(part: Part, root: Path, deep: bool, progress: Callable[[int], None] | None) -> Found:
    file = part.find(root)
    if file is None:
        return Found(part, part.published, "missing")
    path = root / file.path
    size = path.stat().st_size
    if file.members:  # no structure to look at, and nobody makes others of it
        if size != file.size:
            return Found(part, file, "damaged", f"{size:,} bytes; the published file has {file.size:,}")
    elif why := damage(path):
        return Found(part, file, "damaged", why)
    if file.size and size != file.size:
        return Found(part, file, "other", f"{size:,} bytes; the published file has {file.size:,}")
    if deep and file.sha256 and (digest := sha256_of(path, progress)) != file.sha256:
        return Found(part, file, "other", f"its sha256 is {digest}; the published file's is {file.sha256}")
    if not file.sha256:
        return Found(part, file, "other" if not file.source else "good", "no published hash is known; it is whole")
    return Found(part, file, "good")


def damage(path: Path) -> str:
    """Why a model file cannot be whole, by its structure alone; empty when nothing speaks against it. Cheap."""
    try:
        if path.suffix == ".json":
            return "" if isinstance(json.loads(path.read_bytes()), dict) else "it is not a JSON object"
        if path.suffix == ".safetensors":
            return _safetensors_damage(path)
        if not zipfile.is_zipfile(path):
            return "it is not a PyTorch file, or its end is missing"
    except (OSError, ValueError) as exc:
        return f"it cannot be read ({exc})"
    return ""


def _safetensors_damage(path: Path) -> str:
    """The header says how long the file must be."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            return "it is not a safetensors file, or its header is cut off"
        header = json.loads(stream.read(length))
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if size < 8 + length + end:
        return f"{8 + length + end - size:,} bytes are missing at its end"
    return "" if size == 8 + length + end else "it is longer than its header says"


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Hash a file in constant memory."""
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
        if progress:
            progress(len(block))
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            yield block
