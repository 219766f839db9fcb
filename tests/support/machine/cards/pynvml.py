"""Stands in for NVIDIA's library where there is no card. On the path of the daemon under test only.

One card, at work; or those whose numbers stand in the file that TEST_CARDS names, one a line. A number that is taken out of the
file is a card that fell off the bus.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

NVML_TEMPERATURE_GPU = 0
NVML_ERROR_LIBRARY_NOT_FOUND, NVML_ERROR_DRIVER_NOT_LOADED = 12, 9
NVML_DEVICE_MIG_ENABLE = 1
NVML_ERROR_NOT_SUPPORTED, NVML_ERROR_NO_PERMISSION = 3, 4
#: Cards that the machine has, lost ones included.
COUNT = 2


class NVMLError(Exception):
    """Raised by the real library."""

    value = 15  # NVML_ERROR_GPU_IS_LOST


def nvmlInit() -> None: ...


def nvmlShutdown() -> None: ...


def nvmlDeviceGetCount() -> int:
    return COUNT if "TEST_CARDS" in os.environ else 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    if "TEST_CARDS" in os.environ and str(index) not in Path(os.environ["TEST_CARDS"]).read_text().split():
        raise NVMLError("GPU is lost")
    return index


def nvmlDeviceGetMigMode(handle: int) -> list[int]:
    return [0, 0]


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:
    return SimpleNamespace(used=2 << 30, free=6 << 30, total=8 << 30)


def nvmlDeviceGetUtilizationRates(handle: int) -> SimpleNamespace:
    return SimpleNamespace(gpu=50, memory=25)


def nvmlDeviceGetTemperature(handle: int, sensor: int) -> int:
    return 60


def nvmlDeviceGetUUID(handle: int) -> str:
    return f"GPU-0000000{handle}"


def nvmlDeviceGetName(handle: int) -> str:
    return "A card of the tests"
