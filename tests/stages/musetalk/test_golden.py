"""Every tensor of the public implementation, from the mel spectrogram to the pasted frame, and mistakes that it catches."""

from __future__ import annotations

import json
import wave
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from stages.musetalk import audio_windows, blend
from stages.musetalk import face_box as boxes
from stages.musetalk import mask as region
from stages.musetalk import painter as painting
from stages.musetalk.audio import SpeechReader
from stages.musetalk.device import Placement
from stages.musetalk.mel import log_mel
from stages.musetalk.networks import weights
from stages.musetalk.networks.layers import Resnet, Upsample
from stages.musetalk.networks.unet import UNet, UNetShape
from stages.musetalk.networks.vae import Vae, VaeShape
from stages.musetalk.networks.whisper import WhisperEncoder, WhisperShape
from stages.musetalk.painter import Painter
from tests.support.stages.musetalk_golden import INPUTS, MODELS, Array, arrays, box, distance, near, picture, tables

CPU = torch.device("cpu")
ENGINES = {"v15": "musetalk", "v1": "musetalk-v1"}
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FPS = Fraction(25)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def painters() -> dict[str, Painter]:
    return {name: Painter.load(engine, MODELS, Placement(CPU, torch.float32)) for name, engine in ENGINES.items()}


@pytest.fixture(scope="module")
def unets() -> dict[str, UNet]:
    paths = {name: weights.model_paths(engine, MODELS) for name, engine in ENGINES.items()}
    return {name: weights.load_unet(path["unet"], path["unet_config"]).float() for name, path in paths.items()}


@pytest.fixture(scope="module")
def hidden(painters: dict[str, Painter]) -> torch.Tensor:
    return painters["v15"].audio_encoder.hidden_states(next(SpeechReader(INPUTS / "audio.wav").pieces()))


@pytest.fixture(scope="module")
def tokens(painters: dict[str, Painter]) -> torch.Tensor:
    return torch.cat(list(painters["v15"].audio_encoder.tokens(SpeechReader(INPUTS / "audio.wav"), 30, FPS, 7)))


def samples() -> Array:
    with wave.open(str(INPUTS / "audio.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


# -- hearing ---------------------------------------------------------------------------------------------------


def test_spectrogram_hidden_states_windows_and_tokens(hidden: torch.Tensor, tokens: torch.Tensor) -> None:
    audio = arrays("audio")
    assert len(samples()) == audio["num_samples"]
    assert near("audio.mel", log_mel(torch.from_numpy(samples())[None]))
    path = weights.model_paths("musetalk", MODELS)
    with torch.inference_mode():
        states = weights.load_whisper(path["whisper"], path["whisper_config"]).float()(torch.from_numpy(audio["mel"]))
    assert near("audio.hidden", states[0, :64])
    assert len(hidden) == audio_windows.step_count(len(samples())) == 60
    # Of a spectrogram of our own, cut to the sound's length: near, as some processors round its last digits elsewhere.
    assert near("audio.hidden", hidden, audio["hidden"][:60])
    ids = audio["window_ids"]
    assert near("audio.windows", audio_windows.gather_windows(hidden, audio_windows.window_starts(0, 30, FPS))[ids])
    assert near("audio.tokens", tokens[ids])


@pytest.mark.parametrize(
    ("name", "lead"),
    # At 24 fps the reference begins two steps earlier than at 25, by a rounding that makes speech late: not copied.
    [("fps25_n19400", 4), ("fps30_n19400", 4), ("fps24_n19400", 6), ("fps25_n491200", 4)],
)
def test_windows_read_the_steps_of_the_reference(name: str, lead: int) -> None:
    fps, count = (int(part) for part in name[3:].split("_n"))
    want = arrays("windows")[name]
    steps = audio_windows.window_starts(0, len(want), Fraction(fps), lead)[:, None] + np.arange(audio_windows.WINDOW)
    steps[(steps < 0) | (steps >= audio_windows.step_count(count))] = -1
    assert np.array_equal(steps, want)


# -- boxes, masks, pasting -------------------------------------------------------------------------------------


def test_boxes_from_68_landmarks() -> None:
    landmarks = np.array(json.loads((INPUTS / "face.json").read_bytes())["landmarks68"])
    cases = [case for case in tables()["boxes"] if case["detector_box"]]
    assert len(cases) > 9
    for case in cases:
        anchors = boxes.box_landmarks_of_68(landmarks + np.array(case["landmarks_offset"]))
        got = boxes.face_box(anchors, case["bbox_shift"], box(np.array(case["detector_box"])))
        assert list(got) == case["box"], case["case"]


PARTS: dict[str, tuple[region.MaskMode, int]] = {
    "raw": ("raw", 90), "neck": ("neck", 90), "jaw": ("jaw", 90), "jaw_cheek80": ("jaw", 80)
}  # fmt: skip


@pytest.mark.parametrize("name", PARTS)
def test_painted_part_of_a_label_map(name: str) -> None:
    labels = picture(INPUTS / "parsing_labels.png")
    assert near(f"blend.mask512_{name}", region.painted_part(labels, *PARTS[name]))


def pasted(stem: str, suffix: str, mode: region.MaskMode, where: Array, patch: Array, feather: float) -> None:
    """Compare mask, region and result of one paste with the golden `mask…`, `roi…`, `out…`."""
    frame = picture(INPUTS / "frame.png")
    part = region.painted_part(picture(INPUTS / "parsing_labels.png"), mode)
    mask = region.soft_mask(part, box(where), feather)
    assert near(f"{stem}.mask{suffix}", mask)
    shown = region.cut_region(mask, box(where), (frame.shape[1], frame.shape[0]))
    assert near(f"{stem}.roi{suffix}", np.array(shown.roi))
    before = frame.copy()
    blend.paste_patch(frame, blend.resize_to_box(np.asarray(patch, np.uint8), box(where)), shown)
    x1, y1, x2, y2 = shown.roi
    want = arrays(stem)[f"out_roi{suffix}" if stem != "blend" else f"out{suffix}"]
    name = f"{stem}.out_roi{suffix}" if stem != "blend" else f"{stem}.out{suffix}"
    assert near(name, frame[y1:y2, x1:x2], want if want.ndim == 3 else want[0])
    frame[y1:y2, x1:x2] = before[y1:y2, x1:x2]
    assert np.array_equal(frame, before)


@pytest.mark.parametrize(("suffix", "mode", "feather"), [("_raw", "raw", 0.05), ("_neck", "neck", 0.05),
                                                         ("_realtime_jaw", "jaw", 0.10)])  # fmt: skip
def test_masks_and_pastes_of_each_mode(suffix: str, mode: region.MaskMode, feather: float) -> None:
    pasted("blend", suffix, mode, arrays("v15")["box"], arrays("blend")["face"], feather)


@pytest.mark.parametrize("edge", ["_edge_tl", "_edge_br"])
def test_pastes_at_the_edges_of_the_picture(edge: str) -> None:
    golden = arrays("blend")
    assert region.crop_square(box(golden[f"box{edge}"])) == box(golden[f"crop_box{edge}"])
    pasted("blend", edge, "jaw", golden[f"box{edge}"], golden["face"], 0.05)


# -- seeing and painting ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ENGINES)
def test_crop_and_latents(painters: dict[str, Painter], name: str) -> None:
    golden = arrays(name)
    crop = blend.crop_face(picture(INPUTS / "frame.png"), box(golden["box"]))
    assert near(f"{name}.crop256", crop)
    assert near(f"{name}.latents_mode", painters[name].latents(crop))
    assert near(f"{name}.latents_sampled", painters[name].latents(crop, seed=int(golden["noise_seed"])))


@pytest.mark.parametrize("name", ENGINES)
def test_predicted_latents(unets: dict[str, UNet], tokens: torch.Tensor, name: str) -> None:
    golden = arrays(name)
    latents = torch.from_numpy(golden["latents_mode"])
    with torch.inference_mode():
        predicted = torch.cat([unets[name](latents, part) for part in tokens.split(4)])
        each = torch.cat([unets[name](latents, tokens[frame, None]) for frame in golden["frame_ids"]])
    assert near(f"{name}.pred_latents_b4", predicted[golden["frame_ids"]])
    assert near(f"{name}.pred_latents_b1", each)
    if name == "v15":
        assert near("v15.pred_latents_all_f16", predicted)


# Both engines have the same layers, so one of them tells what a precision does.
@pytest.mark.parametrize(("name", "precision"), [("v1", "fp32"), *(("v15", precision) for precision in DTYPES)])
def test_painted_and_pasted_frames(
    painters: dict[str, Painter], tokens: torch.Tensor, matrix_units: None, name: str, precision: str
) -> None:
    # Given the engine in one precision, the golden sound and picture
    golden, frame = arrays(name), picture(INPUTS / "frame.png")
    painter = painters[name]
    if precision != "fp32":
        painter = Painter.load(ENGINES[name], MODELS, Placement(CPU, DTYPES[precision]))
    # When the frames that the golden data show are painted and pasted
    latents = painter.latents(golden["crop256"])
    ids = sorted({*golden["out_ids"].tolist(), *golden["recon_ids"].tolist()})
    made = np.concatenate(list(painter.patches(latents, [tokens[ids]])))
    patches = dict(zip(ids, made, strict=True))
    # Then patches, sizes and results are the reference's
    assert near(f"{name}.recon", np.stack([patches[int(i)] for i in golden["recon_ids"]]), precision=precision)
    face = blend.resize_to_box(patches[0], box(golden["box"]))
    assert near(f"{name}.face_resized0", face, precision=precision)
    part = region.painted_part(picture(INPUTS / "parsing_labels.png"), "jaw" if name == "v15" else "raw")
    mask = region.soft_mask(part, box(golden["box"]))
    assert near(f"{name}.mask", mask)
    assert region.crop_square(box(golden["box"])) == box(golden["crop_box"])
    shown = region.cut_region(mask, box(golden["box"]), (frame.shape[1], frame.shape[0]))
    assert near(f"{name}.roi", np.array(shown.roi))
    x1, y1, x2, y2 = shown.roi
    results = []
    for index in golden["out_ids"]:
        result = frame.copy()
        blend.paste_patch(result, blend.resize_to_box(patches[int(index)], box(golden["box"])), shown)
        results.append(result)
    assert near(f"{name}.out_roi", np.stack(results)[:, y1:y2, x1:x2], precision=precision)
    if name == "v15":
        assert near("v15.frame0", results[0], picture(INPUTS.parent / "golden" / "frame0_v15.png"), precision)


# -- mistakes --------------------------------------------------------------------------------------------------


def test_swapped_latents_are_caught(painters: dict[str, Painter], unets: dict[str, UNet], tokens: torch.Tensor) -> None:
    golden = arrays("v15")
    swapped = painters["v15"].latents(golden["crop256"])[:, [4, 5, 6, 7, 0, 1, 2, 3]]
    assert not near("v15.latents_mode", swapped)
    with torch.inference_mode():
        assert not near("v15.pred_latents_b4", unets["v15"](swapped, tokens[golden["frame_ids"]]))


@pytest.mark.parametrize("row", [127, 129])
def test_wrong_mask_row_is_caught(painters: dict[str, Painter], monkeypatch: pytest.MonkeyPatch, row: int) -> None:
    monkeypatch.setattr(painting, "_MASKED_FROM", row)
    assert not near("v15.latents_mode", painters["v15"].latents(arrays("v15")["crop256"]))


def test_missing_scale_is_caught(painters: dict[str, Painter], monkeypatch: pytest.MonkeyPatch) -> None:
    golden = arrays("v15")
    latents = painters["v15"].latents(golden["crop256"])
    monkeypatch.setattr(weights, "LATENT_SCALE", 1.0)
    assert not near("v15.latents_mode", painters["v15"].latents(golden["crop256"]))
    # and on the way back, where the scale is folded into the decoder's first convolution
    path = weights.model_paths("musetalk", MODELS)
    with monkeypatch.context() as patch:
        patch.setattr(weights, "_config", lambda *_: {**_config(path["vae_config"]), "scaling_factor": 1.0})
        vae = weights.load_vae(path["vae"], path["vae_config"]).float()
    unscaled = Painter(
        weights.load_unet(path["unet"], path["unet_config"]),
        vae,
        painters["v15"].audio_encoder,
        Placement(CPU, torch.float32),
        4,
    )
    tokens = painters["v15"].audio_encoder.tokens(SpeechReader(INPUTS / "audio.wav"), 1, FPS, 1)
    patch_ = np.concatenate(list(unscaled.patches(latents, tokens)))
    assert not near("v15.recon", patch_, golden["recon"][:1])


def _config(path: Any) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(path.read_bytes())
    return loaded


MISTAKES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "window one step late": lambda states: audio_windows.gather_windows(states, audio_windows.window_starts(0, 30, FPS, lead=3)),
    "window one step early": lambda states: audio_windows.gather_windows(states, audio_windows.window_starts(0, 30, FPS, lead=5)),
    "layers before time": lambda states: audio_windows.gather_windows(states, audio_windows.window_starts(0, 30, FPS))
    .unflatten(1, (10, 5)).transpose(1, 2).flatten(1, 2),
    "frame rate off by one": lambda states: audio_windows.gather_windows(states, audio_windows.window_starts(0, 30, FPS + 1)),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_wrong_windows_are_caught(hidden: torch.Tensor, mistake: str) -> None:
    wrong = MISTAKES[mistake](hidden)[arrays("audio")["window_ids"]]
    assert not near("audio.windows", wrong)
    assert not near("audio.tokens", wrong + audio_windows.position_table())


def test_missing_positions_are_caught(unets: dict[str, UNet], tokens: torch.Tensor) -> None:
    golden = arrays("v15")
    bare = tokens[golden["frame_ids"]] - audio_windows.position_table()
    with torch.inference_mode():
        predicted = unets["v15"](torch.from_numpy(golden["latents_mode"]), bare)
    assert not near("v15.pred_latents_b4", predicted)


def test_colours_in_the_other_order_are_caught(painters: dict[str, Painter]) -> None:
    golden = arrays("v15")
    assert not near("v15.latents_mode", painters["v15"].latents(golden["crop256"][..., ::-1]))
    assert distance(golden["recon"][..., ::-1], golden["recon"])["mean"] > 1


# -- the published size ----------------------------------------------------------------------------------------


def widened(network: torch.nn.Module) -> int:
    """Parameters that the kernels after a doubling of the size have more than in the file: 4 × 4 instead of 3 × 3."""
    return sum(7 * layer.conv.in_channels**2 for layer in network.modules() if isinstance(layer, Upsample))


def test_full_size_networks_have_the_published_number_of_parameters() -> None:
    with torch.device("meta"):
        unet = UNet(UNetShape(channels=(320, 640, 1280, 1280), heads=8, groups=32))
        vae, whisper = Vae(VaeShape(channels=(128, 256, 512, 512), groups=32)), WhisperEncoder(WhisperShape())
    # The time embedding is folded away; in the file it is two layers, and one more in each ResNet.
    resnets = [layer.conv1.out_channels for layer in unet.modules() if isinstance(layer, Resnet)]
    folded = 320 * 1280 + 1280 + 1280 * 1280 + 1280 + sum(1280 * width + width for width in resnets)
    assert len(resnets) == 22
    assert sum(part.numel() for part in unet.parameters()) + folded - widened(unet) == 849_947_844
    assert len(unet.state_dict()) + 4 + 2 * 22 == 686
    assert sum(part.numel() for part in vae.parameters()) - widened(vae) == 83_653_863
    assert len(vae.state_dict()) == 248
    assert round(sum(part.numel() for part in whisper.parameters()) / 1e6, 2) == 8.21
