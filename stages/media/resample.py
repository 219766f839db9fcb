"""Sound of any length at another sample rate, block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from stages.media.wav import Samples

#: soxr's preset that keeps 91 % of the band and lets nothing above -120 dB fold back. librosa's usual one, too, so that a
#: network hears what its authors' programs gave it.
_QUALITY = "HQ"


def resample(blocks: Iterable[Samples], rate: int, wanted: int) -> Iterator[Samples]:
    """Mono sound at `rate` Hz as sound at `wanted` Hz, in blocks of other sizes; the first sample stays at time 0.

    All in all there are count * wanted / rate samples, rounded. Memory does not grow with the length of the sound.
    """
    if rate == wanted:
        yield from blocks
        return
    stream = soxr.ResampleStream(rate, wanted, 1, dtype="float32", quality=_QUALITY)
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
