"""Only the rows of a patch that are shown are decoded, where the operator wants it."""

from __future__ import annotations

import functools
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.lipsync.painted_mouth import first_row
from stages.musetalk import blend
from stages.musetalk import mask as region
from stages.musetalk.audio import SpeechReader
from stages.musetalk.device import choose_placement
from stages.musetalk.mask import MaskRegion
from stages.musetalk.networks.lower_rows import LowerRowsDecoder
from stages.musetalk.networks.vae import Vae, VaeShape
from stages.musetalk.painter import Painter
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory
from tests.support.stages.musetalk_golden import INPUTS, MODELS, arrays, box, load_painter, near, picture

pytestmark = pytest.mark.usefixtures("one_thread")

Picture = npt.NDArray[np.uint8]
GB = 1 << 30
#: Frames of one batch; two of the golden ones are among them: its first, whose rows are exact, and one whose rows are not.
FRAMES = 8


def tokens() -> torch.Tensor:
    return torch.from_numpy(arrays("audio")["tokens"])


def crop() -> Picture:
    return np.asarray(arrays("v15")["crop256"], np.uint8)


def paint(painter: Painter, portrait: Picture, row: int) -> Picture:
    return np.concatenate(list(painter.patches(painter.latents(portrait), [tokens()], row)))


@pytest.mark.parametrize("row", [117, 200])
def test_pictures_decoded_as_a_whole_and_those_like_their_neighbours_have_exact_rows(row: int) -> None:
    # Given the latents of three pictures that differ, and a decoder for their lower rows
    painter = load_painter()
    with torch.inference_mode():
        predicted = painter._unet(painter.latents(crop()), tokens())
        want = painter._vae.decode(predicted)[:, :, row:]
        decoder = LowerRowsDecoder(painter._vae, row)
        for order, exact in (
            ([0, 1, 2], [0, 2]),
            ([1, 1, 1, 0, 2], [0, 1, 2, 4]),  # of the same three, to which each norm and each row at a cut contributes
            ([0, 1, 2, 1], [0, 2, 3]),
            ([2, 2, 2, 1, 1, 0], [0, 1, 2, 4, 5]),
        ):
            # When they are decoded in an order
            got = decoder.decode(predicted[order])
            # Then those at even places, the last one, and those between two of their own kind are exact; others are not
            apart = (got - want[order]).abs().amax(dim=(1, 2, 3)).tolist()
            assert got.shape == (len(order), 3, 256 - row, 256)
            assert [place for place, far in enumerate(apart) if far < 1e-4] == exact
            assert all(far > 1e-3 for place, far in enumerate(apart) if place not in exact)


def test_rows_from_high_up_are_cut_from_whole_pictures() -> None:
    # Given a row on which the first rows of some layer depend
    painter = load_painter()
    assert not LowerRowsDecoder.can_leave_out(painter._vae, 32, pictures=4)
    # When patches are painted from a row of the same step on, then nothing is left out of the computation
    assert np.array_equal(paint(painter, crop(), 40), paint(painter, crop(), 0)[:, 32:])


@functools.cache
def sound() -> torch.Tensor:
    """The tokens of the golden sound's first frames."""
    heard = load_painter().audio_encoder.tokens(SpeechReader(INPUTS / "audio.wav"), 30, Fraction(25), 30)
    return torch.cat(list(heard))[:FRAMES]


@functools.cache
def whole_frames() -> Picture:
    """What float32 paints of them, computed as a whole."""
    painter = load_painter(batch=4)
    return np.concatenate(list(painter.patches(painter.latents(crop()), [sound()])))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_partial_patches_are_within_the_golden_tolerances_and_the_picture_above_them_is_its_own(
    dtype: torch.dtype, matrix_units: None
) -> None:
    # Given the golden picture's mask and sound
    golden, frame = arrays("v15"), picture(INPUTS / "frame.png")
    mask = region.soft_mask(region.painted_part(picture(INPUTS / "parsing_labels.png")), box(golden["box"]))
    where = region.cut_region(mask, box(golden["box"]), (frame.shape[1], frame.shape[0]))
    row, painter = first_row(where), load_painter(dtype, batch=FRAMES)
    # When frames are painted without what the rows above need alone, and as a whole
    made = np.concatenate(list(painter.patches(painter.latents(crop()), [sound()], row)))
    assert made.shape == (FRAMES, 256 - row // 16 * 16, 256, 3)
    assert row > 112
    x1, y1, x2, y2 = where.roi
    got, exact = (np.stack([pasted(frame, patch, where) for patch in all_]) for all_ in (made, whole_frames()))
    # Then the golden frames are within float16's tolerance of the reference, and so are all frames of what float32 paints
    ids = [number for number in golden["out_ids"].tolist() if number < FRAMES]
    assert near("v15.out_roi", got[ids, y1:y2, x1:x2], golden["out_roi"][: len(ids)], precision="fp16")
    assert near("v15.out_roi", got[:, y1:y2, x1:x2], exact[:, y1:y2, x1:x2], precision="fp16")
    # And above the painted region the picture is its own
    assert np.array_equal(got[:, :y1], np.broadcast_to(frame[:y1], got[:, :y1].shape))


def test_an_eighth_of_all_products_is_left_out_at_the_published_size() -> None:
    with torch.device("meta"):
        vae, latents = Vae(VaeShape(channels=(128, 256, 512, 512), groups=32)), torch.zeros(64, 4, 32, 32)
    counted = []
    with torch.inference_mode():
        for decode in (vae.decode, LowerRowsDecoder(vae, 112).decode):
            with FlopCounterMode(display=False) as counter:
                decode(latents)
            counted.append(counter.get_total_flops() / 64e9)
    # Of the decoder's 526 GFLOP for a frame 442 are left, and the UNet has 178 more
    assert counted == [pytest.approx(525.6, abs=0.1), pytest.approx(442.2, abs=0.1)]


def pasted(frame: Picture, patch: Picture, where: MaskRegion) -> Picture:
    whole = np.zeros((256, 256, 3), np.uint8)
    whole[-len(patch) :] = patch
    result = frame.copy()
    blend.paste_patch(result, blend.resize_to_box(whole, where.box), where)
    return result


def test_a_recorded_pass_leaves_out_the_same_for_each_portrait() -> None:
    # Given what the processor paints for two portraits, and an engine on a GPU
    portraits = crop(), np.ascontiguousarray(crop()[:, ::-1])
    want = [paint(load_painter(batch=3), portrait, 117) for portrait in portraits]
    with install(Driver(CardMemory(10 * GB))) as driver:
        painter = Painter.load("musetalk", MODELS, choose_placement("float32"), 5600, 3)
        # When it paints them one after the other
        got = [paint(painter, portrait, 117) for portrait in portraits]
        # Then one recording painted both, and no kernel copied its input to another layout first
        assert painter.recorded == "CUDA graph"
        assert driver.card.copies == []
        painter.unload()
    for ours, theirs in zip(got, want, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1
