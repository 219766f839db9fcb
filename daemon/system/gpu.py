"""Reads the state of NVIDIA GPUs through NVML, which loads no CUDA and uses no GPU memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pynvml

#: What NVML answers where it tells no memory: of a GPU that has none of its own, such as GB10; to all but root, of one in slices.
_NOT_TOLD = (pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_NO_PERMISSION)


@dataclass(frozen=True)
class Card:
    """One GPU, or one slice of a GPU (MIG).

    Attributes:
        index: its number, as in `nvidia-smi`; of a slice, that of its GPU, a dot, and its own.
        uuid: by which CUDA and NVML know it.
        name: of its model.
        used, total: memory of all programs together, in bytes; None where NVML does not tell.
        busy: utilization, 0 to 1, or NaN.
        celsius: temperature, or NaN.
    """

    index: str
    uuid: str
    name: str
    used: int | None
    total: int | None
    busy: float
    celsius: float

    @property
    def free(self) -> int | None:
        """Memory that no program holds, in bytes; None where NVML does not tell."""
        return None if self.used is None or self.total is None else self.total - self.used


def read_cards(only: int | None = None) -> list[Card]:
    """Return the GPUs that respond; an empty list without driver or GPU. In place of a GPU in slices (MIG), each of its slices.

    NVML is initialised and shut down each time, since an open one stays invalid after a driver update or the loss of a GPU.

    Args:
        only: the number of a GPU, to read that one and open no other: "GPUs are discovered and initialized in
            nvmlDeviceGetHandleBy* functions" (NVML, nvmlInit_v2).
    """
    cards: list[Card] = []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return cards
    try:
        for index in range(pynvml.nvmlDeviceGetCount()) if only is None else (only,):
            with contextlib.suppress(pynvml.NVMLError):
                cards += cards_of(index)
    except pynvml.NVMLError:
        pass
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    return cards


def cards_of(index: int) -> list[Card]:
    """Return a GPU, or its slices; nothing of a GPU that is to have slices and has none, since CUDA does not open it. NVML is
    initialised.

    Raises:
        pynvml.NVMLError: it does not respond.
    """
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    if not _is_in_slices(handle):
        return [_card(str(index), handle)]
    return [_card(f"{index}.{number}", part) for number, part in enumerate(_slices(handle))]


def _is_in_slices(handle: Any) -> bool:
    with contextlib.suppress(pynvml.NVMLError):  # a GPU that cannot have any, or a driver from before there were slices
        now, _ = pynvml.nvmlDeviceGetMigMode(handle)
        return bool(now == pynvml.NVML_DEVICE_MIG_ENABLE)
    return False


def _slices(handle: Any) -> Iterator[Any]:
    """Yield the handles of a GPU's slices, in the order of `nvidia-smi -L`."""
    for place in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        with contextlib.suppress(pynvml.NVMLError):  # a place without a slice
            yield pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)


def _card(index: str, handle: Any) -> Card:
    used = total = None
    try:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        used, total = int(memory.used), int(memory.total)
    except pynvml.NVMLError as exc:
        if exc.value not in _NOT_TOLD:
            raise
    busy = celsius = float("nan")
    with contextlib.suppress(pynvml.NVMLError):  # not all GPUs and no slices report these
        busy = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
    with contextlib.suppress(pynvml.NVMLError):
        celsius = float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
    uuid, name = pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle)
    return Card(index, str(uuid), str(name), used, total, busy, celsius)
