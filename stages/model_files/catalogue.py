"""Describes model files, finds them in the models folder and verifies them. Loads none of them.

The files that an engine needs are listed in its own package, in `model_files`; `stages.model_list` has all of them by name.
If no hash is known, structure and size are checked instead.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stages.model_files.wire_format import read_fields

#: A PyTorch file of the format before 1.6 begins so: the pickled number 0x1950a86a20f9469cfc6c. Source: torch.serialization
_OLD_PYTORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
FileState = Literal["good", "other", "damaged", "missing"]

MIT, APACHE = "MIT", "Apache-2.0"
#: Name of the text file beside a model that states its origin and licence.
MODEL_CARD = "MODEL_CARD"
#: Number of the field of ONNX's outermost message that contains the network (onnx.proto3).
_ONNX_GRAPH = 7


@dataclass(frozen=True)
class PackageMember:
    """A file inside a package of the Python registry.

    Attributes:
        requirement: name and version of the package, NAME==VERSION.
        sha256: hash of the package.
        path: path of the file inside the package.
    """

    requirement: str
    sha256: str
    path: str


@dataclass(frozen=True)
class ModelFile:
    """One model file. It has no source if nobody publishes it (for example a conversion made by the operator).

    Attributes:
        path: path below the models folder, in the layout that the model's authors use.
        repo, revision, remote: source on Hugging Face: repository, revision, path in it.
        size: bytes; 0 if not known.
        sha256: hash of the file; empty if not known.
        members: source in the Python registry: the files in packages that are joined to this file.
        archive: source on a web server: URL of a zip file that contains it under its own name.
    """

    path: str
    repo: str = ""
    revision: str = ""
    remote: str = ""
    size: int = 0
    sha256: str = ""
    members: tuple[PackageMember, ...] = ()
    archive: str = ""

    @property
    def source(self) -> str:
        """Where it is published, in words; empty if it is not published."""
        if self.repo:
            return f"https://huggingface.co/{self.repo}"
        return self.archive or ", ".join(member.requirement for member in self.members)


@dataclass(frozen=True)
class ModelPart:
    """One part of an engine's model.

    Attributes:
        role: name by which the engine asks for it.
        what: description for people.
        licence: licence of the files.
        files: alternatives; the first existing one is used, and the first published one is fetched.
        unread: path that others keep it at, in a format that is not read → what is to be said of such a file.
    """

    role: str
    what: str
    licence: str
    files: tuple[ModelFile, ...]
    unread: tuple[tuple[str, str], ...] = ()

    def find_file(self, root: Path) -> ModelFile | None:
        """Return the first of `files` that exists below the folder `root`, or None."""
        return next((file for file in self.files if (root / file.path).is_file()), None)

    @property
    def published(self) -> ModelFile:
        """The first of `files` that is published."""
        return next(file for file in self.files if file.source)


@dataclass(frozen=True)
class PartStatus:
    """The state of one part on this machine.

    Attributes:
        part: the part.
        file: the file that is used, or, if none exists, the one to fetch.
        state: good; other (intact, but not the published file); damaged; missing.
        why: what is damaged or different, in words; of a missing file, what is there in its place.
    """

    part: ModelPart
    file: ModelFile
    state: FileState
    why: str = ""

    @property
    def usable(self) -> bool:
        """True if the file can be loaded: it is good or other."""
        return self.state in ("good", "other")


def check_model_files(
    parts: Sequence[ModelPart], root: Path, *, deep: bool = False, progress: Callable[[int], None] | None = None
) -> list[PartStatus]:
    """Check every file of an engine, and return the states in the order of `parts`.

    Args:
        parts: the parts that the engine needs.
        root: the models folder.
        deep: read the files completely and compare their sha256; otherwise only sizes and structure are checked.
        progress: receives the number of bytes read since the last call.
    """
    return [_check_part(part, root, deep, progress) for part in parts]


def _check_part(part: ModelPart, root: Path, deep: bool, progress: Callable[[int], None] | None) -> PartStatus:
    file = part.find_file(root)
    if file is None:
        others = [f"{path} {what}" for path, what in part.unread if (root / path).is_file()]
        return PartStatus(part, part.published, "missing", "; ".join(others))
    path = root / file.path
    size = path.stat().st_size
    if file.members:  # its format has no structure to check, and there are no other versions of it
        if size != file.size:
            return PartStatus(part, file, "damaged", f"it has {size:,} bytes; the published file has {file.size:,}")
    elif why := find_damage(path):
        return PartStatus(part, file, "damaged", why)
    if file.size and size != file.size:
        return PartStatus(part, file, "other", f"it has {size:,} bytes; the published file has {file.size:,}")
    if deep and file.sha256 and (digest := sha256_of(path, progress)) != file.sha256:
        return PartStatus(part, file, "other", f"its sha256 is {digest}; the published file's is {file.sha256}")
    if not file.sha256:
        own = f"; its sha256 is {sha256_of(path, progress)}" if deep else ""
        return PartStatus(
            part, file, "other" if not file.source else "good", f"it is intact; no published hash is known{own}"
        )
    return PartStatus(part, file, "good")


def find_damage(path: Path) -> str:
    """Check the structure of a model file, without reading all of it. Returns what is damaged; empty if nothing is."""
    try:
        if path.suffix == ".json":
            return "" if isinstance(json.loads(path.read_bytes()), dict) else "it is not a JSON object"
        if path.suffix == ".safetensors":
            return _safetensors_damage(path)
        if path.suffix == ".onnx":
            return _onnx_damage(path)
        if path.suffix == ".txt" or path.name.endswith(MODEL_CARD):  # it has a prefix while it is being copied
            return "" if path.read_text(encoding="utf-8").strip() else "it is empty"
        if not zipfile.is_zipfile(path) and not _is_old_pytorch_file(path):
            return "it is not a PyTorch file, or it is truncated"
    except (OSError, ValueError) as exc:
        return f"it cannot be read ({exc})"
    return ""


def _is_old_pytorch_file(path: Path) -> bool:
    """True for PyTorch's format before 1.6, which has no directory: whether it is whole is seen when it is read."""
    with path.open("rb") as stream:
        return stream.read(len(_OLD_PYTORCH)) == _OLD_PYTORCH


def _onnx_damage(path: Path) -> str:
    """Check that the file's outermost fields end where the file ends, without reading their content."""
    with path.open("rb") as stream:
        whole = memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))
    found = [number for number, _ in read_fields(whole)]
    return "" if _ONNX_GRAPH in found else "it contains no ONNX network"


def _safetensors_damage(path: Path) -> str:
    """Compare the file's length with the one that its header gives."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            return "it is not a safetensors file, or its header is truncated"
        header = json.loads(stream.read(length))
    end = max((entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"), default=0)
    if size < 8 + length + end:
        return f"{8 + length + end - size:,} bytes are missing at its end"
    return "" if size == 8 + length + end else "it is longer than its header says"


def sha256_of(path: Path, progress: Callable[[int], None] | None = None) -> str:
    """Compute the sha256 of a file in constant memory; `progress` receives the bytes read since the last call."""
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
