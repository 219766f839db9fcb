"""Remembers between processes that our own GroupNorm kernels lost the GPU: a process that lost it ends, and the next one would
try them again and lose it again, without end."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pynvml
import torch

from daemon.errors import MachineError
from daemon.system.json_files import replace_json

log = logging.getLogger(__name__)

#: So many losses one after the other, without a video between them, are no chance: the kernels are not tried again. One in the
#: trial itself is enough.
_MOST_LOSSES = 2
#: A file for each GPU, by its UUID: the slots of several GPUs try the kernels at the same time, and in a file that all of them
#: share each would read the others' trials as ones that did not end.
_NAME = "musetalk/fused-norm-{}.json"


class NormRecord:
    """What became of the kernels in earlier processes, in a small file for each GPU. It holds for one driver, PyTorch and Triton.

    A file that cannot be read or written is logged and does without the memory; nothing else depends on it.
    """

    def __init__(self, cache: Path, device: torch.device) -> None:
        """Take the folder of the cache, and the GPU."""
        self._name = _NAME.format(torch.cuda.get_device_properties(device).uuid)
        self.path = cache / self._name
        self._machine = describe_machine(device)

    def refusal(self) -> str:
        """Return why the kernels must not be tried; empty if they may."""
        losses, why = self._read()
        if losses < _MOST_LOSSES:
            return ""
        return f"{why} in an earlier process; they are tried again without `{self._name}` in `paths.cache`"

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Note that a trial has begun, and take the note back when the block ends: a process that a trial ends leaves it."""
        losses, why = self._read()
        self._write(losses + 1, "the trial did not end")
        try:
            yield
        finally:
            self._write(losses, why)

    def lost_in_trial(self, words: str) -> None:
        """Note that the trial lost the GPU, with the first words of the error."""
        self._write(_MOST_LOSSES, f"the trial lost the GPU ({words})")

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Count a loss of the GPU in the block, whose work uses the kernels; forget earlier ones if it ends well."""
        losses, _ = self._read()
        try:
            yield
        except MachineError as exc:
            if exc.code == "gpu-lost":
                self._write(losses + 1, "the GPU was lost while they were in use")
            raise
        self._write(0, "")

    def _read(self) -> tuple[int, str]:
        """Return the number of losses on this machine as it is now, and the reason of the last one."""
        try:
            noted = json.loads(self.path.read_bytes())
            return (int(noted["losses"]), str(noted["why"])) if noted["machine"] == self._machine else (0, "")
        except FileNotFoundError:
            return 0, ""
        except (OSError, ValueError, KeyError, TypeError) as exc:
            log.warning("%s cannot be read, and is taken for empty: %s", self.path, exc)
            return 0, ""

    def _write(self, losses: int, why: str) -> None:
        try:
            if losses:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                replace_json(self.path, {"machine": self._machine, "losses": losses, "why": why})
            else:
                self.path.unlink(missing_ok=True)
        except OSError as exc:
            log.warning("%s cannot be written; a loss of the GPU would be forgotten: %s", self.path, exc)


def describe_machine(device: torch.device) -> str:
    """Name what decides whether the kernels work: the GPU, its driver, PyTorch and Triton."""
    try:
        triton = importlib.metadata.version("triton")
    except importlib.metadata.PackageNotFoundError:
        triton = "none"
    name = torch.cuda.get_device_name(device)
    return f"{name}, driver {_driver_version()}, torch {torch.__version__}, triton {triton}"


def _driver_version() -> str:
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            return str(pynvml.nvmlSystemGetDriverVersion())
        finally:
            pynvml.nvmlShutdown()
    return "unknown"
