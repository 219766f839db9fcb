"""Only the rows of a patch that are shown are decoded, where the operator wants it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from stages.lipsync.painted_mouth import first_row
from stages.musetalk import blend
from stages.musetalk import mask as region
from stages.musetalk.device import choose_placement
from stages.musetalk.mask import MaskRegion
from stages.musetalk.networks.lower_rows import LowerRowsDecoder
from stages.musetalk.networks.vae import Vae, VaeShape
from stages.musetalk.painter import Painter
from tests.support.cuda.driver import Driver, install
from tests.support.cuda.memory import CardMemory
from tests.support.stages.musetalk_golden import INPUTS, MODELS, arrays, box, load_painter, near, picture

pytestmark = pytest.mark.usefixtures("one_thread")

Picture = npt.NDArray[np.uint8]
GB = 1 << 30


def tokens() -> torch.Tensor:
    return torch.from_numpy(arrays("audio")["tokens"])


def crop() -> Picture:
    return np.asarray(arrays("v15")["crop256"], np.uint8)


def paint(painter: Painter, portrait: Picture, row: int) -> Picture:
    return np.concatenate(list(painter.patches(painter.latents(portrait), [tokens()], row)))


@pytest.mark.parametrize("row", [96, 117, 200])
def test_with_a_pictures_own_statistics_its_lower_rows_are_those_of_the_whole_picture(row: int) -> None:
    # Given the latents of two pictures
    painter = load_painter()
    with torch.inference_mode():
        predicted = painter._unet(painter.latents(crop()), tokens()[:2])
        want = painter._vae.decode(predicted)[:, :, row:]
        decoder = LowerRowsDecoder(painter._vae, row)
        for number in range(2):
            # When the statistics of one of them are kept, and both are decoded
            decoder.measure(predicted[number, None])
            got = decoder.decode(predicted)
            # Then its rows are exact, to which each norm and each row at a cut contributes, and the other's are not
            apart = (got - want).abs().amax(dim=(1, 2, 3))
            assert got.shape == (2, 3, 256 - row, 256)
            assert float(apart[number]) < 1e-4
            assert float(apart[1 - number]) > 1e-3


def test_rows_from_high_up_are_cut_from_whole_pictures() -> None:
    # Given a row on which the first rows of some layer depend
    painter = load_painter()
    assert not LowerRowsDecoder.can_leave_out(painter._vae, 32)
    # When patches are painted from a row of the same step on, then nothing is left out of the computation
    assert np.array_equal(paint(painter, crop(), 40), paint(painter, crop(), 0)[:, 32:])


def test_partial_patches_are_within_the_golden_tolerances_and_the_picture_above_them_is_its_own() -> None:
    # Given the golden picture's mask
    golden, frame = arrays("v15"), picture(INPUTS / "frame.png")
    mask = region.soft_mask(region.painted_part(picture(INPUTS / "parsing_labels.png")), box(golden["box"]))
    where = region.cut_region(mask, box(golden["box"]), (frame.shape[1], frame.shape[0]))
    row = first_row(where)
    # When the golden frames 0, 15 and 29 are painted without the rows above
    sound = tokens()
    made = np.concatenate(list(load_painter().patches(load_painter().latents(crop()), [sound], row)))
    assert made.shape == (3, 256 - row // 16 * 16, 256, 3)
    assert row > 112
    results = np.stack([pasted(frame, patch, where) for patch in made])
    # Then the first frame, whose statistics are used, is the reference's; the others differ as in bfloat16:
    # the tiny network's random weights let the sound change the upper half, too
    x1, y1, x2, y2 = where.roi
    shown = results[:, y1:y2, x1:x2]
    ids = golden["out_ids"].tolist()
    want = golden["out_roi"][[ids.index(int(i)) for i in arrays("audio")["window_ids"]]]
    assert near("v15.out_roi", shown[:1], want[:1])
    assert near("v15.out_roi", shown, want, precision="bf16")
    assert not near("v15.out_roi", shown, want)
    # And above the painted region the picture is its own
    assert np.array_equal(results[:, :y1], np.broadcast_to(frame[:y1], results[:, :y1].shape))


def test_a_quarter_of_all_products_is_left_out_at_the_published_size() -> None:
    with torch.device("meta"):
        vae, latents = Vae(VaeShape(channels=(128, 256, 512, 512), groups=32)), torch.zeros(1, 4, 32, 32)
    decoder = LowerRowsDecoder(vae, 112)
    counted = []
    with torch.inference_mode():
        decoder.measure(latents)
        for decode in (vae.decode, decoder.decode):
            with FlopCounterMode(display=False) as counter:
                decode(latents)
            counted.append(counter.get_total_flops() / 1e9)
    # Of the decoder's 526 GFLOP 353 are left, and the UNet has 178 more
    assert counted == [pytest.approx(525.6, abs=0.1), pytest.approx(353.5, abs=0.1)]


def pasted(frame: Picture, patch: Picture, where: MaskRegion) -> Picture:
    whole = np.zeros((256, 256, 3), np.uint8)
    whole[-len(patch) :] = patch
    result = frame.copy()
    blend.paste_patch(result, blend.resize_to_box(whole, where.box), where)
    return result


@pytest.mark.skipif(torch.backends.cuda.is_built(), reason="this PyTorch has CUDA; the stand-in replaces none")
def test_a_recorded_pass_takes_the_statistics_of_each_video() -> None:
    # Given what the processor paints for two portraits, and an engine on a GPU
    portraits = crop(), np.ascontiguousarray(crop()[:, ::-1])
    want = [paint(load_painter(), portrait, 117) for portrait in portraits]
    with install(Driver(CardMemory(10 * GB))) as driver:
        painter = Painter.load("musetalk", MODELS, choose_placement("float32"), 5600, 2)
        # When it paints them one after the other
        got = [paint(painter, portrait, 117) for portrait in portraits]
        # Then one recording painted both, and no kernel copied its input to another layout first
        assert painter.recorded == "CUDA graph"
        assert driver.card.copies == []
        painter.unload()
    for ours, theirs in zip(got, want, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 1
