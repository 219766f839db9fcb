"""Chooses the GPU on which ffmpeg encodes, of several: the one with the most free memory."""

from __future__ import annotations

import os

from daemon.system.bounded_calls import BoundedCall
from daemon.system.gpu import Card, read_cards

#: The variable of CUDA that limits the GPUs which a process sees, and says in which order it counts them.
_VISIBLE = "CUDA_VISIBLE_DEVICES"
#: The beginning of a whole GPU's name. Beside a slice of one (MIG) CUDA opens no whole GPU, so that their order says too much.
_WHOLE = "GPU-"


def environment_for_gpu() -> dict[str, str] | None:
    """Return the environment of an ffmpeg that encodes on a GPU; None: that of this process.

    ffmpeg takes the first GPU that it sees on which a session opens (nvenc_setup_device in libavcodec/nvenc.c): on the others
    nothing would be encoded. Those that this process sees are named to it, the one with the most free memory first.
    """
    named = os.environ.get(_VISIBLE)
    wanted = None if named is None else named.split(",")
    if wanted is not None and not all(name.startswith(_WHOLE) for name in wanted):
        return None
    cards = [card for card in _cards_that_answer() if wanted is None or card.uuid in wanted]
    if len(cards) < 2 or not all(card.uuid.startswith(_WHOLE) for card in cards):
        return None
    cards.sort(key=lambda card: -(card.free or 0))
    return {**os.environ, _VISIBLE: ",".join(card.uuid for card in cards)}


def _cards_that_answer() -> list[Card]:
    try:
        return BoundedCall(read_cards).ask()
    except TimeoutError:  # a driver that hangs: ffmpeg then waits for it, within the stage's time limit
        return []
