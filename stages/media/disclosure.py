"""Makes the tags of a finished file: its title, and a label that says how it came to be; and finds such labels in files."""

from __future__ import annotations

import mmap
from pathlib import Path

#: IPTC's terms for how a picture or a sound came to be (cv.iptc.org/newscodes/digitalsourcetype).
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"
#: What is of a trained model, whole or in part.
_OF_TRAINED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")


def file_tags(title: str | None, label: str, source_type: str) -> dict[str, str]:
    """Return the metadata of a generated file, by ffmpeg's names.

    Args:
        title: of the manifest; None: none.
        label: in the operator's words.
        source_type: the last word of IPTC's term, such as "algorithmicMedia".
    """
    words = f"{label}. Digital source type: {SOURCE_TYPE}{source_type}"
    return {**title_tag(title), "comment": words, "description": words}


def title_tag(title: str | None) -> dict[str, str]:
    """Return the metadata for a title alone."""
    return {} if title is None else {"title": title}


def declares_trained(path: Path) -> bool:
    """Return whether a file says, in its metadata, that a trained model made it or a part of it. False for one that is missing.

    Files have the term as it is, in a comment, in XMP or in a C2PA manifest, and in UTF-16 in ID3; a text that is compressed is
    not read.
    """
    terms = [f"{SOURCE_TYPE}{term}".encode(code) for term in _OF_TRAINED for code in ("ascii", "utf-16-le")]
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return any(content.find(term) >= 0 for term in terms)
    except (FileNotFoundError, ValueError):  # an empty file cannot be mapped
        return False
