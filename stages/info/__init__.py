"""The info stage: says what is in a media file.

Reads `source.video`, `source.audio` or `source.image`; writes `info.json`.
"""

from __future__ import annotations

from stages.context import Context
from stages.facts import MediaFacts


def run(ctx: Context) -> MediaFacts:
    """Run the stage and return its facts: see `stages.info.report.report_file`.

    Raises:
        JobError: the file cannot be read at all.
    """
    from stages.info.report import report_file

    return report_file(ctx)
