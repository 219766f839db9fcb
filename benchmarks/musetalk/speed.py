"""MuseTalk's speed: the published architecture with random weights, which costs what the true one costs.

    python -m benchmarks.musetalk.speed [--parts network,steps,after,end] [--batches 1,4] [--precisions float32,bfloat16]
                                  [--seconds 10] [--device cpu] [--out FILE] [--tiny]

Prints a JSON line for each measurement. The networks are loaded as the product loads them, from files that are written first
(1.9 GB in --models, or in a temporary folder); no published file is needed. Parts:
  network  s/frame of UNet, decoder and the whole step, beside plain diffusers modules in the same run where diffusers is
           installed (diffusers_baseline.py); on a GPU also the measured matmul ceiling, how much of it is reached, and memory
  steps    what each speed step brings by itself
  after    CPU time for each frame of 1920 × 1080 after the network: mask, paste, motion, x264
  end      frames/s of whole jobs, drawn by the processor and by the GPU, with x264; only on a GPU, unless it is asked for
With --tiny all parts run with a tiny network and a small picture, to try the benchmark itself: the figures mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from benchmarks.musetalk.diffusers_baseline import Plain
from benchmarks.musetalk.random_models import PUBLISHED, TINY, Architecture, write_random_models
from benchmarks.musetalk.whole_job import FULL_HD, SMALL, Scene, after_network, end_to_end
from daemon.errors import MachineError
from stages.gpu.device import empty_cache
from stages.gpu.errors import meaning_of
from stages.musetalk.device import Placement, Precision, choose_placement, network_switches
from stages.musetalk.forward import ForwardPass
from stages.musetalk.networks.group_norm import GroupNorm
from stages.musetalk.painter import Painter
from stages.musetalk.stream_pipeline import StreamPipeline

#: 2 × multiply-adds of one frame through UNet and decoder at 256 × 256, as they are computed here.
GFLOP = 177.8 + 525.6
#: First row of a patch that is shown: that of the picture in the golden data.
SHOWN_FROM = 117


#: Folder of the model files, and the shape of the networks in them.
models = Path()
shapes: Architecture = PUBLISHED


def painter(placement: Placement, batch: int) -> Painter:
    """Load the full network by the product's own door, with all memory of a GPU."""
    return Painter.load("musetalk", write_random_models(models, shapes), placement, budget_mb=10**6, batch=batch)


def clock(work: Callable[[], object], seconds: float, placement: Placement) -> float:
    """Least seconds of a call, after one to warm up, over at least `seconds` and two calls; noise only ever adds."""

    def once() -> float:
        start = time.perf_counter()
        work()
        if placement.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    once()
    times = [once(), once()]
    while sum(times) < seconds:
        times.append(once())
    return min(times)


def spans(work: Callable[[], object], placement: Placement) -> tuple[float, float]:
    """Return seconds of one call by the clock, and of the processor."""
    start, used = time.perf_counter(), time.process_time()
    work()
    if placement.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start, time.process_time() - used


def ceiling(placement: Placement, seconds: float) -> float:
    """TFLOP/s of one large matrix product in this precision."""
    a, b = (torch.randn(8192, 8192, device=placement.device, dtype=placement.dtype) for _ in range(2))
    return 2 * 8192**3 / clock(lambda: a @ b, seconds, placement) / 1e12


def inputs(placement: Placement, batch: int) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], Tensor]:
    """Return random inputs: a crop [256, 256, 3] uint8 and a batch of audio tokens [batch, 50, 384]."""
    crop = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    return crop, torch.randn(batch, 50, 384, device=placement.device)


@torch.inference_mode()
def ours(placement: Placement, batch: int, seconds: float) -> dict[str, Any]:
    """Measure the product's painter: s for each frame of the whole step, s for the portrait, which is done once, and GPU memory.

    `seconds`: least time of the measurement.
    """
    cuda = placement.device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    engine = painter(placement, batch)
    crop, tokens = inputs(placement, batch)
    start = time.perf_counter()
    latents = engine.latents(crop)
    portrait_s = time.perf_counter() - start
    groups = [tokens] * (16 if cuda else 1)
    step_s = clock(lambda: list(engine.patches(latents, groups)), seconds, placement) / len(groups)
    result = {
        "measured": "ours",
        "place": placement.description,
        "recorded": engine.recorded,
        "norm": engine.norm,
        "batch": engine.batch,  # less than was asked for where memory does not suffice
        "portrait_once_s": round(portrait_s, 3),
        "s_per_frame": round(step_s / batch, 5),
        "frames_per_s": round(batch / step_s, 2),
        "rss_peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        **engine.memory(),
    }
    if cuda:
        tflops = ceiling(placement, 0.5)
        result |= {"matmul_tflops": round(tflops), "of_ceiling": round(GFLOP * batch / step_s / tflops / 1000, 3)}
    # Not exact, and off by default: `stages.lipsync.musetalk.partial_rows`.
    shown_s = clock(lambda: list(engine.patches(latents, groups, SHOWN_FROM)), seconds, placement) / len(groups)
    result |= {
        "partial_rows_frames_per_s": round(batch / shown_s, 2),
        "partial_rows_times_faster": round(step_s / shown_s, 2),
        "repainted": engine.repainted,  # more than 0: float32 was measured
    }
    batch = engine.batch
    engine._discard_pipeline()  # the whole pass's memory is needed for its parts
    # In the number type that they have now, see "repainted".
    latents, typed = (values.to(engine.placement.dtype) for values in (latents, tokens[:batch]))
    unet, vae = engine._unet, engine._vae
    with network_switches():  # else cuDNN tries out no convolution, as it does in the whole step
        predicted = unet(latents, typed)
        result["unet_s_per_frame"] = round(clock(lambda: unet(latents, typed), seconds / 2, placement) / batch, 5)
        result["decoder_s_per_frame"] = round(clock(lambda: vae.decode(predicted), seconds / 2, placement) / batch, 5)
    engine.unload()
    return result


@torch.inference_mode()
def beside(placement: Placement, batch: int, seconds: float) -> dict[str, Any]:
    """Ours and the baseline by turns, so that what else the machine does meets both.

    The baseline has the precision that its users have: float32 on a processor, float16 on a GPU.
    """
    cuda = placement.device.type == "cuda"
    modules = Plain(Placement(placement.device, torch.float16 if cuda else torch.float32), shapes)
    engine = painter(placement, batch)
    crop, tokens = inputs(placement, batch)
    latents = engine.latents(crop)
    typed = tokens.to(modules.placement.dtype)
    repeated = torch.randn(batch, 8, 32, 32, device=placement.device, dtype=modules.placement.dtype)
    many = 8 if cuda else 1

    def theirs() -> None:
        for _ in range(many):
            modules.paint(repeated, typed)

    def mine() -> None:
        for _ in engine.patches(latents, [tokens] * many):
            pass

    rounds: list[list[float]] = []
    spent = 0.0
    for work in (theirs, mine):
        work()
    while spent < 2 * seconds or len(rounds) < 3:
        taken = [span for work in (theirs, mine) for span in spans(work, placement)]
        rounds.append([span / many / batch for span in taken])
        spent += sum(taken[::2])
    plain_s, plain_cpu_s, ours_s, ours_cpu_s = np.min(rounds, axis=0)
    result = {
        "measured": "beside plain diffusers",
        "places": [modules.placement.description, placement.description],
        "batch": batch,
        "ours_batch": engine.batch,
        "rounds": len(rounds),
        "plain_s_per_frame": round(plain_s, 5),
        "ours_s_per_frame": round(ours_s, 5),
        "times_faster": round(plain_s / ours_s, 2),
    }
    if not cuda:  # where others use the processor too, its time says more than the clock's
        result |= {"plain_cpu_s": round(plain_cpu_s, 3), "ours_cpu_s": round(ours_cpu_s, 3)}
        result["times_less_cpu"] = round(plain_cpu_s / ours_cpu_s, 2)
    engine.unload()
    return result


@torch.inference_mode()
def steps(placement: Placement, batch: int, seconds: float) -> dict[str, Any]:
    """s/frame with each step left out, the others in place."""
    engine = painter(placement, batch)
    crop, tokens = inputs(placement, batch)
    latents = engine.latents(crop)
    unet, vae, typed = engine._unet, engine._vae, tokens.to(placement.dtype)

    def whole(portrait: Tensor) -> float:
        with network_switches():  # as in the pass that the belt adds to
            return clock(lambda: vae.decode(unet(portrait, typed)), seconds, placement) / batch

    result = {"measured": "steps", "place": placement.description, "batch": batch, "all": whole(latents)}
    result["portrait for each frame of the batch"] = whole(latents.expand(batch, -1, -1, -1).contiguous())
    norms = [part for net in (unet, vae) for part in net.modules() if isinstance(part, GroupNorm) and part.kernel]
    kernels = [norm.kernel for norm in norms]
    for norm in norms:
        norm.kernel = None
    if norms:
        result["norms by PyTorch's functions"] = whole(latents)
    for norm, kernel in zip(norms, kernels, strict=True):
        norm.kernel = kernel
    pipeline = StreamPipeline(ForwardPass(unet, vae, latents, batch))
    result["belt, replay and pixels added"] = clock(lambda: pipeline.put(tokens).get(), seconds, placement) / batch
    unet.to(memory_format=torch.contiguous_format)
    vae.to(memory_format=torch.contiguous_format)
    result["channels first"] = whole(latents.contiguous())
    with network_switches():
        result["not padded: a batch of one"] = clock(lambda: vae.decode(unet(latents, typed[:1])), seconds, placement)
    engine.unload()
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in result.items()}


def main() -> None:
    """Run the wanted parts, and print one line of JSON for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="", help="default: network, steps, after; on a GPU end, too")
    parser.add_argument("--batches", default="", help="default: 1,4 on a processor, 1,4,8,16,32,64 on a GPU")
    parser.add_argument("--precisions", default="", help="default: float32 and auto on a processor, auto on a GPU")
    parser.add_argument("--seconds", type=float, default=2.0, help="least time of each measurement")
    parser.add_argument("--device", help="default: the GPU where there is one")
    parser.add_argument("--threads", type=int, default=0, help="of a processor; 0: all")
    parser.add_argument("--models", type=Path, help="folder to write the model files to, and to keep them in")
    parser.add_argument("--tiny", action="store_true", help="try the benchmark itself with a tiny network")
    parser.add_argument("--out", type=Path, help="append the lines to this file as well")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    cuda = choose_placement("auto", args.device).device.type == "cuda"
    precisions = cast("list[Precision]", (args.precisions or ("auto" if cuda else "float32,auto")).split(","))
    places = [choose_placement(precision, args.device) for precision in precisions]
    batches = [int(text) for text in (args.batches or ("1,4,8,16,32,64" if cuda else "1,4")).split(",")]

    def tell(work: Callable[[], dict[str, Any]]) -> None:
        try:
            line = json.dumps(work())
        except ImportError as exc:
            line = json.dumps({"left out": str(exc)})
        except RuntimeError as exc:  # libraries have words of their own for too little memory
            if meaning_of(exc) != "memory":
                raise
            line = json.dumps({"no memory": str(exc).splitlines()[0]})
        except MachineError as exc:
            if exc.code != "gpu-memory":
                raise
            line = json.dumps({"no memory": exc.message})
        gc.collect()
        if cuda:
            empty_cache()  # what one part leaves would count for the peak of the next
        print(line, flush=True)
        if args.out:
            with args.out.open("a") as file:
                file.write(line + "\n")

    global models, shapes
    scene: Scene = FULL_HD
    sentences = 5 if cuda and not args.tiny else 1
    if args.tiny:
        shapes, scene = TINY, SMALL
    with tempfile.TemporaryDirectory() as folder:
        models = args.models or Path(folder) / "models"
        for part in (args.parts or ("network,steps,after,end" if cuda else "network,steps,after")).split(","):
            if part == "network":
                for placement in places:
                    for batch in batches:
                        tell(lambda: beside(placement, batch, args.seconds))  # noqa: B023 (called at once)
                        tell(lambda: ours(placement, batch, args.seconds))  # noqa: B023
            elif part == "steps":
                tell(lambda: steps(places[-1], batches[-1] if not cuda else 16, args.seconds))
            elif part == "after":
                tell(lambda: after_network(Path(folder) / "after", scene))
            elif part == "end":
                tell(lambda: end_to_end(Path(folder) / "end", painter(places[-1], 16 if cuda else 4), scene, sentences))


if __name__ == "__main__":
    main()
