"""Reads the state of NVIDIA GPUs through NVML, which loads no CUDA and uses no GPU memory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml


@dataclass(frozen=True)
class Card:
    """One GPU. `used`, `total`: memory of all programs together, in bytes. `busy`: utilization, 0 to 1, or NaN."""

    index: str
    uuid: str
    name: str
    used: int
    total: int
    busy: float
    celsius: float


def read_cards() -> list[Card]:
    """Return the GPUs that respond; an empty list without driver or GPU.

    NVML is initialised and shut down each time, since an open one stays invalid after a driver update or the loss of a GPU.
    """
    cards: list[Card] = []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return cards
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            with contextlib.suppress(pynvml.NVMLError):
                cards.append(_card(index))
    except pynvml.NVMLError:
        pass
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    return cards


def _card(index: int) -> Card:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    busy = celsius = float("nan")
    with contextlib.suppress(pynvml.NVMLError):  # not all GPUs and MIG slices report these
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    with contextlib.suppress(pynvml.NVMLError):
        celsius = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
    uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    return Card(str(index), str(uuid), str(name), int(memory.used), int(memory.total), busy, celsius)
