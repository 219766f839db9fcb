"""The check stage: refuses, before a job waits for anything else, what could not be made when its turn came. Loads no model."""

from __future__ import annotations

from stages.context import Context
from stages.facts import CheckFacts


def run(ctx: Context) -> CheckFacts:
    """Check the voice, language and text of a job, or that its recording can be decoded, that its pictures are pictures, and that
    a portrait can be generated; of a batch all rows.

    Writes nothing but the rows of a batch. The later stages check the same again, since voices can be removed meanwhile.

    Raises:
        JobError, LackingError: what `check_request`, `check_recording`, `check_pictures`, `check_rows` and
            `stages.generate.ready.check_ready` raise.
    """
    if ctx.manifest.kind_of_job.makes_jobs:
        from stages.check.rows import check_rows

        return check_rows(ctx)
    from stages.check.pictures import check_pictures
    from stages.check.speech import check_speech

    facts = check_speech(ctx)
    check_pictures(ctx)
    if "generate" in ctx.manifest.stages:
        from stages.generate.ready import ENGINE, check_ready

        check_ready(ctx.settings)
        facts["engines"] = {"generate": ENGINE}
    ctx.progress(1.0)
    return facts
