"""PyTorch files, read without running anything in them."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from daemon.errors import MachineError


def read_checkpoint(path: Path, boxes: Sequence[str], hint: str) -> Any:
    """What a PyTorch file holds, where that is nothing but tensors, plain values and objects of known classes.

    Tensors are mapped from the file, which stays as it is.

    Args:
        boxes: full names of classes whose objects may be in it; they become empty objects of that name.
        hint: what to do about a file that cannot be read.

    Raises:
        MachineError: `model-damaged` or `model-foreign`.
    """
    known: list[Any] = [(type(name.rpartition(".")[2], (), {}), name) for name in boxes]
    try:
        with torch.serialization.safe_globals(known):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as exc:
        raise foreign(path, "it holds more than tensors, and code in model files is not run", hint) from exc
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as exc:
        why = (str(exc).splitlines() or [type(exc).__name__])[0][:200].rstrip(".")
        raise MachineError("model-damaged", f"{path} cannot be read: {why}.", hint) from exc


def foreign(path: Path, why: str, hint: str) -> MachineError:
    """The error for a file of another kind."""
    return MachineError("model-foreign", f"{path} is of another kind: {why}.", hint)
