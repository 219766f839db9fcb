"""Puts a driver in the place of what torch and pynvml call."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import pynvml
import pytest
import torch

from stages.musetalk import forward
from tests.support.cuda.driver import Driver
from tests.support.cuda.driver_classes import event_base, graph_base, stream_base
from tests.support.cuda.tensor import CardMode


def _module_anew(name: str) -> types.ModuleType:
    """Run a module of torch's again, with the base classes that `torch._C` has now; the one in use stays as it is."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextlib.contextmanager
def install(driver: Driver) -> Iterator[Driver]:
    """Make torch and pynvml see the driver's GPU until the block ends. A test is skipped where this build of torch has CUDA."""
    if torch.backends.cuda.is_built():
        pytest.skip("this PyTorch has CUDA; the stand-in replaces none")
    # Dispatch modes import it when they are first used, and it asks then what this build of torch has.
    importlib.import_module("torch._dynamo")
    functions = {
        "_cuda_getDeviceCount": driver.device_count,
        "_cuda_init": driver.init,
        "_cuda_getDevice": lambda: driver.device,
        "_cuda_setDevice": driver.set_device,
        "_cuda_getArchFlags": lambda: driver.archs,
        "_cuda_setMemoryFraction": driver.set_fraction,
        "_cuda_getMemoryFraction": driver.get_fraction,
        "_cuda_memoryStats": driver.memory_stats,
        "_cuda_resetPeakMemoryStats": driver.reset_peak,
        "_cuda_emptyCache": driver.empty_cache,
        "_cuda_getCurrentStream": driver.current_stream,
        "_cuda_getDefaultStream": lambda device: (0, 0, 1),
        "_cuda_setStream": driver.set_stream,
        "_cuda_synchronize": driver.synchronize,
        "_cuda_isCurrentStreamCapturing": lambda: driver.card.recording is not None,
        "_cuda_getDriverVersion": lambda: 13000,
        "_CudaStreamBase": stream_base(driver),
        "_CudaEventBase": event_base(driver),
        "_CUDAGraph": graph_base(driver),
        "_graph_pool_handle": driver.new_pool,
        "_cuda_endAllocateToPool": driver.end_pool,
        "_cuda_releasePool": driver.release_pool,
        "_host_emptyCache": lambda: None,
        "_cuda_isInBadFork": False,
    }

    class Runtime:
        """`torch.cuda.cudart()`."""

        class cudaError:  # noqa: N801 (its name in torch)
            success = 0

        @staticmethod
        def cudaMemGetInfo(device: int) -> tuple[int, int]:
            return driver.mem_get_info(device)

    with contextlib.ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ))
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # with which tests hide the GPUs of the machine

        def set_in(module: Any, **values: Any) -> None:
            for name, value in values.items():
                stack.enter_context(patch.object(module, name, value, create=True))

        set_in(torch._C, **functions)
        set_in(
            torch.cuda,
            _cudart=Runtime,
            _initialized=False,
            _queued_calls=[],
            _lazy_seed_tracker=type(torch.cuda._lazy_seed_tracker)(),
            default_generators=(torch.Generator(),),
            _cached_device_count=None,
            _tls=threading.local(),
            _get_device_properties=driver.get_properties,
            _exchange_device=driver.exchange_device,
            _maybe_exchange_device=driver.exchange_device,
        )
        set_in(torch.backends.cuda, is_built=lambda: True)
        streams = _module_anew("torch.cuda.streams")
        set_in(torch.cuda, Stream=streams.Stream, Event=streams.Event)
        stack.enter_context(patch.dict(sys.modules, {"torch.cuda.streams": streams}))
        graphs = _module_anew("torch.cuda.graphs")
        set_in(torch.cuda, CUDAGraph=graphs.CUDAGraph, graph=graphs.graph, graph_pool_handle=graphs.graph_pool_handle)
        set_in(
            pynvml,
            nvmlInit=lambda: None,
            nvmlShutdown=lambda: None,
            nvmlDeviceGetCount=lambda: driver.count,
            nvmlDeviceGetHandleByUUID=lambda uuid: _nvml_handle(driver, uuid),
            nvmlDeviceGetHandleByIndex=lambda index: index,
            nvmlDeviceGetName=lambda handle: driver.properties.name,
            nvmlDeviceGetUUID=lambda handle: f"GPU-{driver.get_properties(handle).uuid}",
            nvmlDeviceGetMemoryInfo=lambda handle: _NvmlMemory(driver, handle),
            nvmlDeviceGetComputeRunningProcesses=lambda handle: [
                types.SimpleNamespace(pid=pid, usedGpuMemory=held) for pid, held in driver.held_by.items() if not handle
            ],
            nvmlSystemGetDriverVersion=lambda: "580.95.05",
            nvmlSystemGetCudaDriverVersion_v2=lambda: 13000,
        )
        set_in(forward, _WARM_UP=1)  # libraries that choose their kernels at the first call are not there
        # Otherwise `Module.to` puts the wrapper into the old parameter's C++ part, which has no `numbers`.
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, False)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.enter_context(CardMode(driver.card))
        yield driver


class _NvmlMemory:
    def __init__(self, driver: Driver, index: int) -> None:
        memory = driver.memories[index]
        self.total = memory.total if index else driver.nvml_total
        self.used = memory.reserved + memory.others
        self.free = self.total - self.used


def _nvml_handle(driver: Driver, uuid: str) -> int:
    for index in range(len(driver.memories)):
        if uuid == f"GPU-{driver.get_properties(index).uuid}":
            return index
    raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
