"""What NVIDIA's management library tells about the cards. It loads no CUDA and takes no GPU memory."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml


@dataclass(frozen=True)
class Card:
    """`used`, `total`: bytes, of all programs together. `busy`: 0 to 1."""

    index: str
    uuid: str
    name: str
    used: int
    total: int
    busy: float
    celsius: float


def read_cards() -> list[Card]:
    """The cards that answer; none where there is no driver, no card, or it is lost.

    The library is opened and closed each time: one that was opened before a driver's update or a card's loss stays wrong.
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
    with contextlib.suppress(pynvml.NVMLError):  # not every card, nor every slice of one, has these
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    with contextlib.suppress(pynvml.NVMLError):
        celsius = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
    uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    return Card(str(index), str(uuid), str(name), int(memory.used), int(memory.total), busy, celsius)
