"""Checks of the GPU: what the driver knows of it, and whether PyTorch computes on it, tried in another process."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pynvml

from daemon.cli.doctor.engine_imports import TIMEOUT_S
from daemon.cli.doctor.finding import Finding, Verdict
from daemon.config import Settings
from daemon.errors import ConfigError, MachineError
from daemon.system.gpu import cards_of
from daemon.workers.devices import NOTHING, Device, cards_that_answer, find_devices
from daemon.workers.process import VISIBLE

_NO_GPU = "Nothing to do: the default engines run on the processor."
_INSTALL_DRIVER = (
    "To use it, install NVIDIA's driver for this kernel, and restart; until then, the processor does all work."
)
_SHOW_NVML = "In a container, set NVIDIA_DRIVER_CAPABILITIES=compute,utility; without NVML all GPUs share one slot."
_MAKE_SLICES = "Make slices (`nvidia-smi mig -cgi PROFILE -C`), or have it whole (`nvidia-smi -i NUMBER -mig 0`)."
_SEE_DRIVER = "See `nvidia-smi` and `dmesg`; restart the machine."
#: A state of `stages.gpu.probe.GpuState` where the driver knows a GPU; one that others use serves again later.
_VERDICTS: dict[str, Verdict] = {"usable": "good", "busy": "note", "absent": "note", "unusable": "bad"}
#: Where the system lists device nodes and PCI devices.
_DEV, _PCI = Path("/dev"), Path("/sys/bus/pci/devices")
#: Nodes of NVIDIA's driver for Linux, and of the one that Windows shares with its Linux guests.
_NODES = ("nvidia[0-9]*", "dxg")
#: NVIDIA's number, and the beginnings of the classes of graphics cards and computing cards, as the system writes them.
_NVIDIA, _GPU_CLASSES = "0x10de", ("0x03", "0x12")


def check_gpu(settings: Settings) -> Iterator[Finding]:
    """Yield each GPU that the driver knows, the slots of the gpu lane, and whether PyTorch can use their GPUs."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as exc:
        if exc.value in (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED):
            yield from _look_without_nvml()
        else:  # such as a driver that was updated and waits for a restart
            yield Finding("gpu", "bad", f"the driver does not answer: {exc}", _SEE_DRIVER)
        return
    try:
        count = pynvml.nvmlDeviceGetCount()
        for index in range(count):
            yield from _look_at(index)
    except pynvml.NVMLError as exc:
        yield Finding("gpu", "bad", f"the driver does not answer: {exc}", _SEE_DRIVER)
        return
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    if not count:
        yield Finding("gpu", "note", "none", _NO_GPU)
        return
    try:
        devices = find_devices(settings.lanes.gpu.devices, os.environ, cards_that_answer())
    except (ConfigError, MachineError) as exc:
        yield Finding("gpu lane", "bad", exc.message.rstrip("."), exc.hint)
        return
    for device in devices:
        if device.label:
            yield Finding(f"gpu lane, GPU {device.label}", "good", f"one slot, for {', '.join(sorted(device.stages))}")
        if importlib.util.find_spec("torch") and device.visible != NOTHING:
            yield _try_cuda(device)
    if devices[0].visible == NOTHING:
        yield Finding("gpu lane", "note", "uses no GPU", "lanes.gpu.devices and CUDA_VISIBLE_DEVICES say so.")


def _look_without_nvml() -> Iterator[Finding]:
    """Yield what the system shows of a GPU where NVML cannot be asked."""
    if any(node for pattern in _NODES for node in _DEV.glob(pattern)):
        yield Finding("gpu", "note", "a driver is here, but not NVML (libnvidia-ml.so.1), which names GPUs", _SHOW_NVML)
        if importlib.util.find_spec("torch"):
            yield _try_cuda(Device())
    elif any(_is_nvidia_gpu(card) for card in _PCI.glob("*")):
        yield Finding("gpu", "note", "an NVIDIA GPU is in this machine, and its driver is not loaded", _INSTALL_DRIVER)
    else:
        yield Finding("gpu", "note", "none", _NO_GPU)


def _is_nvidia_gpu(device: Path) -> bool:
    """Tell whether a device on the PCI bus is a GPU of NVIDIA's; their sound and USB parts are of other classes."""
    try:
        return (device / "vendor").read_text().strip() == _NVIDIA and (device / "class").read_text().startswith(
            _GPU_CLASSES
        )
    except OSError:
        return False


def _look_at(index: int) -> Iterator[Finding]:
    """Yield what the driver knows of one GPU or its slices; one that fell off the bus keeps the others from nothing."""
    try:
        cards = cards_of(index)
        if not cards:
            words = "it is in the mode for slices (MIG) and has none, so that nothing can compute on it"
            yield Finding(f"gpu {index}", "note", words, _MAKE_SLICES)
        for card in cards:
            free = (
                "it does not tell its memory"
                if card.free is None or card.total is None
                else f"{card.free / 1e9:.1f} of {card.total / 1e9:.1f} GB free"
            )
            yield Finding(f"gpu {card.index}", "good", f"{card.name}, {card.uuid}, {free}")
    except pynvml.NVMLError as exc:
        yield Finding(f"gpu {index}", "bad", f"it does not answer: {exc}", _SEE_DRIVER)


def _try_cuda(device: Device) -> Finding:
    """Try CUDA on the GPU of a slot in a process of its own: a driver may crash, or never answer."""
    what = f"cuda on GPU {device.label}" if device.label else "cuda"
    try:
        tried = subprocess.run(
            [sys.executable, "-m", "stages.gpu.probe"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            env=None if device.visible is None else {**os.environ, VISIBLE: device.visible},
        )
        found = json.loads(tried.stdout)
        return Finding(what, _VERDICTS[found["state"]], found["words"], found["remedy"])
    except subprocess.TimeoutExpired:
        return Finding(what, "bad", f"a trial on the GPU took longer than {TIMEOUT_S:.0f} s", _SEE_DRIVER)
    except (ValueError, KeyError):
        said = tried.stderr.decode(errors="replace").strip().splitlines() or [f"code {tried.returncode}"]
        return Finding(what, "bad", f"a trial on the GPU failed: {said[-1][:200].rstrip('.')}", _SEE_DRIVER)
