"""Stands in for NVIDIA's library where there is no card: one card, at work. On the path of the daemon under test only."""

from __future__ import annotations

from types import SimpleNamespace

NVML_TEMPERATURE_GPU = 0


class NVMLError(Exception):
    """Raised by the real library."""


def nvmlInit() -> None: ...


def nvmlShutdown() -> None: ...


def nvmlDeviceGetCount() -> int:
    return 1


def nvmlDeviceGetHandleByIndex(index: int) -> int:
    return index


def nvmlDeviceGetMemoryInfo(handle: int) -> SimpleNamespace:
    return SimpleNamespace(used=2 << 30, free=6 << 30, total=8 << 30)


def nvmlDeviceGetUtilizationRates(handle: int) -> SimpleNamespace:
    return SimpleNamespace(gpu=50, memory=25)


def nvmlDeviceGetTemperature(handle: int, sensor: int) -> int:
    return 60


def nvmlDeviceGetUUID(handle: int) -> str:
    return "GPU-00000000"


def nvmlDeviceGetName(handle: int) -> str:
    return "A card of the tests"
