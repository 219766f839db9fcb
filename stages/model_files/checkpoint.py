"""Reads PyTorch files without running any code in them."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from daemon.errors import MachineError


def read_checkpoint(path: Path, boxes: Sequence[str], hint: str) -> Any:
    """Read a PyTorch file that contains only tensors, plain values and objects of known classes.

    Tensors are memory-mapped from the file, except from one of PyTorch's format before 1.6.

    Args:
        path: the file.
        boxes: full names of classes whose objects it may contain; they become objects of empty classes of the same names.
        hint: advice for a file that cannot be read.

    Raises:
        MachineError: `model-damaged` if it cannot be read, `model-foreign` if it contains anything else.
    """
    known: list[Any] = [(type(name.rpartition(".")[2], (), {}), name) for name in boxes]
    try:
        with torch.serialization.safe_globals(known):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as exc:
        raise foreign_model_error(
            path, "it contains more than tensors, and code in model files is not run", hint
        ) from exc
    except (OSError, RuntimeError, ValueError, EOFError, KeyError) as exc:
        why = (str(exc).splitlines() or [type(exc).__name__])[0][:200].rstrip(".")
        raise MachineError("model-damaged", f"{path} cannot be read: {why}.", hint) from exc


def foreign_model_error(path: Path, why: str, hint: str) -> MachineError:
    """Make the `model-foreign` error for a file of another kind."""
    return MachineError("model-foreign", f"{path} is of another kind: {why}.", hint)
