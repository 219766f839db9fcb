"""Which engine moves the mouth, and why: the choice, and what is known of the machine when it is made."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Literal

from daemon.config.settings import LipsyncStage, Settings
from daemon.errors import MachineError
from daemon.system.installation import bring_extra
from stages.model_files import catalogue

Engine = Literal["warp", "musetalk"]


@dataclass(frozen=True)
class Machine:
    """What there is for the network.

    Attributes:
        packages: torch and safetensors are installed.
        gpu: CUDA can be used; not asked where the rest is missing.
        lacking: its first model file that is missing or damaged, with what is wrong; empty where all are usable.
    """

    packages: bool
    gpu: bool
    lacking: str


@dataclass(frozen=True)
class Choice:
    """An engine, and the reason in words for the status."""

    engine: Engine
    why: str


def choose(asked: Literal["auto", "warp", "musetalk"], machine: Machine) -> Choice:
    """The engine for the next job.

    Raises:
        MachineError: `engine-not-installed` where musetalk is asked for by name and cannot be imported. (Model files
            that are missing are named by its loader.)
    """
    if asked == "warp":
        return Choice("warp", "config.yaml asks for it")
    if asked == "musetalk":
        if not machine.packages:
            raise MachineError(
                "engine-not-installed",
                "config.yaml asks for the engine musetalk, but torch or safetensors is not installed.",
                f"{bring_extra('musetalk')} Or set `stages.lipsync.engine: auto`.",
            )
        where = "on the GPU" if machine.gpu else "on the processor, which is slow: no CUDA GPU can be used"
        return Choice("musetalk", f"config.yaml asks for it; it runs {where}")
    if machine.lacking:
        return Choice("warp", f"it needs no model file; musetalk's are not complete ({machine.lacking})")
    if not machine.packages:
        return Choice("warp", "it needs no model file; for musetalk torch or safetensors is not installed")
    if not machine.gpu:
        return Choice("warp", "musetalk's files are here, but no CUDA GPU can be used, and it is slow without")
    return Choice("musetalk", "its model files are complete and a CUDA GPU can be used")


def look(settings: Settings) -> Machine:
    """Look at the machine; torch is imported only where all else is there."""
    lacking = next(
        (
            f"{found.file.path}: {found.why or found.state}"
            for found in catalogue.survey(catalogue_name(settings.stages.lipsync), settings.paths.models)
            if not found.usable
        ),
        "",
    )
    packages = all(importlib.util.find_spec(name) for name in ("torch", "safetensors"))
    return Machine(packages, gpu=packages and not lacking and _cuda(), lacking=lacking)


def catalogue_name(settings: LipsyncStage) -> str:
    """What `avatar models` calls the files of the configured version."""
    return "musetalk" if settings.musetalk.version == "1.5" else "musetalk-v1"


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
