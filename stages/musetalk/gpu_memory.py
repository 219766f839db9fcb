"""Memory of MuseTalk on the GPU: chooses a budget, and the batch that fits into it."""

from __future__ import annotations

import torch

from stages.gpu.memory import CONTEXT_BYTES, MB, GpuMemory

#: Memory per frame of the batch, in numbers of the network's type. The peak is in the decoder's last level: three maps of 256
#: channels and 256 × 256 positions (a test counts it from every allocation of the published network), and a quarter more for the
#: workspace of convolutions.
FRAME_NUMBERS = 3 * 256 * 256 * 256 * 5 // 4
#: Whisper's weights and activations for half a minute, in float32; encoding a portrait takes less.
_AUDIO_ENCODER_BYTES = 200 * MB
#: Budget without a setting: so many bytes, or this part of the GPU's memory where that is more.
_LEAST_BUDGET, _BUDGET_PART = 5_600_000_000, 0.4
#: Maximum batch on a CPU and on a GPU: more frames per pass are hardly faster.
_MOST_CPU, _MOST_CUDA = 4, 64


def choose_budget(memory: GpuMemory | None) -> int:
    """Choose how many bytes of a GPU to use at most where the settings leave it open: on a large GPU more frames fit into a pass.

    The rest is for the other networks of this process, such as XTTS's 4 GB, and for other programs.
    """
    return max(_LEAST_BUDGET, int(_BUDGET_PART * memory.total)) if memory else _LEAST_BUDGET


def choose_batch(dtype: torch.dtype, weight_numbers: int, budget: int, memory: GpuMemory | None) -> int:
    """Choose the number of frames per pass, a power of two.

    Args:
        dtype: number type of weights and activations.
        weight_numbers: number of parameters of UNet and autoencoder.
        budget: maximum number of bytes to use on the GPU, including the driver's context.
        memory: memory of the GPU before the networks are loaded; None on a CPU.
    """
    if memory is None:
        return _MOST_CPU
    room = min(memory.free, budget) - CONTEXT_BYTES - _AUDIO_ENCODER_BYTES - weight_numbers * dtype.itemsize
    frames = max(1, room // (FRAME_NUMBERS * dtype.itemsize))
    return int(min(_MOST_CUDA, 2 ** (frames.bit_length() - 1)))
