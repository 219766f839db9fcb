"""Writes files into the cache of measured portraits, which only the service and its group may read, and reads their arrays."""

from __future__ import annotations

import ast
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from daemon.system.fs import artifact
from daemon.system.permissions import make_folder, remove_other_permissions

#: What precedes the name of an entry in a ZIP archive, and what precedes an array in version 1.0 of numpy's format.
_ENTRY, _ARRAY = struct.Struct("<4s22x2H"), struct.Struct("<8sH")
_ENTRY_MARK, _ARRAY_MARK = b"PK\x03\x04", b"\x93NUMPY\x01\x00"


@contextmanager
def cache_file(path: Path) -> Iterator[Path]:
    """Write a file of the cache under a temporary name, as `artifact` does; makes its folder, private, if it is missing."""
    make_folder(path.parent)
    remove_other_permissions(path.parent)
    with artifact(path) as temporary:
        yield temporary


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Read all arrays of a file that `np.savez` wrote, by their names.

    Takes a fraction of the time of `np.load`, which parses the header of each of a hundred arrays anew.

    Raises:
        FileNotFoundError, OSError: the file cannot be read.
        Exception: the file is damaged; of nearly any kind, since zipfile's and numpy's are among them.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        return {entry.filename.removesuffix(".npy"): _read_array(file, entry) for entry in archive.infolist()}


def _read_array(file: BinaryIO, entry: zipfile.ZipInfo) -> npt.NDArray[Any]:
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{entry.filename} is compressed")
    file.seek(entry.header_offset)
    mark, name_bytes, extra_bytes = _ENTRY.unpack(file.read(_ENTRY.size))
    file.seek(name_bytes + extra_bytes, 1)
    start = file.read(_ARRAY.size)
    array_mark, header_bytes = _ARRAY.unpack(start)
    header = file.read(header_bytes)
    kind, shape, by_columns = _parsed(header)
    values = np.empty(entry.file_size - len(start) - len(header), np.uint8)
    file.readinto(values)  # type: ignore[attr-defined]
    checksum = zlib.crc32(values.data, zlib.crc32(header, zlib.crc32(start)))
    if (mark, array_mark, checksum) != (_ENTRY_MARK, _ARRAY_MARK, entry.CRC):
        raise ValueError(f"{entry.filename} is damaged")
    return values.view(kind).reshape(shape, order="F" if by_columns else "C")


@lru_cache(maxsize=512)
def _parsed(header: bytes) -> tuple[np.dtype[Any], tuple[int, ...], bool]:
    """Parse the header of an array: its type, its shape, and whether its columns come one after the other."""
    found = ast.literal_eval(header.decode("latin-1"))
    kind = np.dtype(found["descr"])
    if kind.hasobject:
        raise ValueError("an array holds Python's objects")
    return kind, found["shape"], found["fortran_order"]
