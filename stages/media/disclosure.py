"""Makes the tags of a finished file: its title, and a label that says how it came to be."""

from __future__ import annotations

#: IPTC's terms for how a picture or a sound came to be (cv.iptc.org/newscodes/digitalsourcetype).
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/"


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
