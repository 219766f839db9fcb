"""MuseTalk's speed: the published architecture with random weights, which costs what the true one costs.

    python benchmarks/musetalk.py [--batches 1,4] [--precisions float32,bfloat16] [--seconds 10] [--device cpu]

Prints JSON: seconds to load, seconds a frame of UNet, decoder and the whole step, and memory; on a GPU also the measured
matmul ceiling and how much of it is reached. No model file is needed.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from stages.lipsync.musetalk.device import Place, choose_place
from stages.lipsync.musetalk.painter import Painter
from stages.lipsync.musetalk.speech import Ear
from stages.lipsync.musetalk.unet import UNet, UNetShape
from stages.lipsync.musetalk.vae import Vae, VaeShape
from stages.lipsync.musetalk.whisper import WhisperEncoder, WhisperShape

UNET = UNetShape(channels=(320, 640, 1280, 1280), heads=8, groups=32)
VAE = VaeShape(channels=(128, 256, 512, 512), groups=32)
#: 2 × multiply-adds of one frame through UNet and decoder at 256 × 256.
GFLOP = 177.8 + 622.2


def painter(place: Place, batch: int) -> Painter:
    """The full network, its weights drawn at random; PyTorch's own initialisation keeps the numbers small."""
    torch.manual_seed(0)
    unet, vae, encoder = UNet(UNET), Vae(VAE), WhisperEncoder(WhisperShape())
    for network in (unet, vae, encoder):
        network.requires_grad_(False).eval()
    return Painter(unet, vae, Ear(encoder, place.device), place, batch)


def clock(work: Callable[[], object], seconds: float, cuda: bool) -> float:
    """Median seconds of a call, after one to warm up, over at least `seconds` and three calls."""
    times: list[float] = []
    work()
    while len(times) < 3 or sum(times) < seconds:
        if cuda:
            torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        if cuda:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def ceiling(place: Place, seconds: float) -> float:
    """TFLOP/s of one large matrix product in this precision."""
    a, b = (torch.randn(8192, 8192, device=place.device, dtype=place.dtype) for _ in range(2))
    return 2 * 8192**3 / clock(lambda: a @ b, seconds, True) / 1e12


@torch.inference_mode()
def measure(place: Place, batch: int, seconds: float) -> dict[str, Any]:
    cuda = place.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    engine = painter(place, batch)
    made_s = time.perf_counter() - start
    crop = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    start = time.perf_counter()
    latents = engine.latents(crop)
    portrait_s = time.perf_counter() - start
    tokens = torch.randn(batch, 50, 384, device=place.device)
    groups = [tokens] * (8 if cuda else 1)
    step_s = clock(lambda: list(engine.patches(latents, groups)), seconds, cuda) / len(groups)
    unet, vae, typed = engine._unet, engine._vae, tokens.to(place.dtype)
    predicted = unet(latents, typed)
    result = {
        "place": place.words,
        "batch": batch,
        "make_s": round(made_s, 2),
        "portrait_s": round(portrait_s, 3),
        "unet_s_per_frame": round(clock(lambda: unet(latents, typed), seconds, cuda) / batch, 5),
        "decoder_s_per_frame": round(clock(lambda: vae.decode(predicted), seconds, cuda) / batch, 5),
        "step_s_per_frame": round(step_s / batch, 5),
        "frames_per_s": round(batch / step_s, 2),
        "rss_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        **engine.memory(),
    }
    if cuda:
        tflops = ceiling(place, 0.5)
        result |= {"matmul_tflops": round(tflops), "of_ceiling": round(GFLOP * batch / step_s / tflops / 1000, 3)}
    engine.unload()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="", help="default: 1,4 on a processor, 1,4,8,16,32,64 on a GPU")
    parser.add_argument("--precisions", default="auto", help="auto, float32, bfloat16, float16; several with commas")
    parser.add_argument("--seconds", type=float, default=2.0, help="least time of each measurement")
    parser.add_argument("--device", help="default: the GPU where there is one")
    parser.add_argument("--threads", type=int, default=0, help="of a processor; 0: all")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    for precision in args.precisions.split(","):
        place = choose_place(precision, args.device)
        cuda = place.device.type == "cuda"
        for batch in map(int, (args.batches or ("1,4,8,16,32,64" if cuda else "1,4")).split(",")):
            print(json.dumps(measure(place, batch, args.seconds)), flush=True)


if __name__ == "__main__":
    main()
