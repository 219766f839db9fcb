"""Checks that the pictures of a job are pictures, by their headers: nobody waits for a turn to hear that a portrait is a PDF."""

from __future__ import annotations

from daemon.errors import JobError
from stages.context import Context
from stages.face.decode import check_header


def check_pictures(ctx: Context) -> None:
    """Check the portrait and the picture behind it. The face stage decodes them, and finds what is wrong beyond their headers.

    Raises:
        JobError: what `check_header` raises; for the background with "background: " before the message, as the face stage has it.
    """
    most = ctx.settings.stages.face.max_pixels
    if ctx.manifest.image is not None and "face" in ctx.manifest.stages:
        check_header(ctx.source("image"), most)
    if ctx.manifest.background_file is not None and "face" in ctx.manifest.stages:
        try:
            check_header(ctx.source("background"), most)
        except JobError as exc:
            raise JobError(exc.code, f"background: {exc.message}", exc.hint) from exc
