"""Counts the scans of a JPEG without decoding it. A decoder works through the whole picture once for each scan, and a scan
that changes nothing takes 42 bytes, so that a small file can keep it busy for hours.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

#: Every marker that a length follows, and EOI; not 0xFF00 (a stuffed 0xFF), 0xFFFF (filling), TEM, RST0 to RST7, SOI.
_MARKER = re.compile(rb"\xff([\x02-\xcf\xd9-\xfe])", re.DOTALL)
_EOI, _SOS = 0xD9, 0xDA


def scans(path: Path, most: int) -> int:
    """How many scans a JPEG file has, up to `most` + 1; what comes after its end (EOI) is another picture's."""
    found = 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = 2
        while found <= most and (match := _MARKER.search(data, at)) is not None:
            marker, at = match[1][0], match.end()
            if marker == _EOI:
                break
            found += marker == _SOS
            at += int.from_bytes(data[at : at + 2])
    return found
