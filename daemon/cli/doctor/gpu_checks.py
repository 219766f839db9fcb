"""Checks of the GPU: what the driver knows of it, and whether PyTorch computes on it, tried in another process."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator

import pynvml

from daemon.cli.doctor.engine_imports import TIMEOUT_S
from daemon.cli.doctor.finding import Finding, Verdict
from daemon.config import Settings

_NO_GPU = "Nothing to do: the default engines run on the processor."
_SEE_DRIVER = "See `nvidia-smi` and `dmesg`; restart the machine."
#: A state of `stages.gpu.probe.GpuState` where the driver knows a GPU; one that others use serves again later.
_VERDICTS: dict[str, Verdict] = {"usable": "good", "busy": "note", "absent": "note", "unusable": "bad"}


def check_gpu(settings: Settings) -> Iterator[Finding]:
    """Yield each GPU that the driver knows, and whether PyTorch can use one if it is installed."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as exc:
        if exc.value in (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED):
            yield Finding("gpu", "note", "none", _NO_GPU)
        else:  # such as a driver that was updated and waits for a restart
            yield Finding("gpu", "bad", f"the driver does not answer: {exc}", _SEE_DRIVER)
        return
    try:
        count = pynvml.nvmlDeviceGetCount()
        for index in range(count):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            yield Finding(
                f"gpu {index}",
                "good",
                f"{pynvml.nvmlDeviceGetName(handle)}, {memory.free / 1e9:.1f} of {memory.total / 1e9:.1f} GB free",
            )
    except pynvml.NVMLError as exc:  # it fell off the bus
        yield Finding("gpu", "bad", f"it does not answer: {exc}", _SEE_DRIVER)
        return
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    if not count:
        yield Finding("gpu", "note", "none", _NO_GPU)
    elif importlib.util.find_spec("torch"):
        yield _try_cuda()


def _try_cuda() -> Finding:
    """Try CUDA in a process of its own: a driver may crash, or never answer."""
    try:
        tried = subprocess.run(
            [sys.executable, "-m", "stages.gpu.probe"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        found = json.loads(tried.stdout)
        return Finding("cuda", _VERDICTS[found["state"]], found["words"], found["remedy"])
    except subprocess.TimeoutExpired:
        return Finding("cuda", "bad", f"a trial on the GPU took longer than {TIMEOUT_S:.0f} s", _SEE_DRIVER)
    except (ValueError, KeyError):
        said = tried.stderr.decode(errors="replace").strip().splitlines() or [f"code {tried.returncode}"]
        return Finding("cuda", "bad", f"a trial on the GPU failed: {said[-1][:200].rstrip('.')}", _SEE_DRIVER)
