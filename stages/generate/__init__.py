"""The generate stage: makes the portrait of a person who does not exist, from a prompt.

Writes `source.image`, as if somebody had handed it in, and `generated.json`, which says what it was made from.
"""

from __future__ import annotations

import sys

from stages.context import Context, Facts
from stages.facts import GeneratedFacts


def run(ctx: Context) -> GeneratedFacts:
    """Run the stage and return its facts. What can be refused without a GPU is refused first, in the lane that needs none.

    Raises:
        JobError, MachineError, ResultError: see `check_ready` in `ready` and `generate_portrait` in `portrait`.
    """
    from stages.face.avatars.create import check_avatar_request
    from stages.generate.ready import ENGINE, check_ready

    check_avatar_request(ctx)
    check_ready(ctx.settings)
    ctx.use_engine(ENGINE)
    from stages.generate.portrait import generate_portrait

    return generate_portrait(ctx)


def release() -> Facts:
    """Unload the model. Returns the memory held and free afterwards, empty if it was not loaded."""
    portrait = sys.modules.get("stages.generate.portrait")  # if it was never imported, nothing is loaded
    return portrait.unload() if portrait else {}
