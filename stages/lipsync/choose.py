"""Which engine moves the mouth, and why: the choice, and what is known of the machine when it is made."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.system.installation import how_to_install_extra
from stages.lipsync.engines.base import LipsyncEngine
from stages.lipsync.registry import ENGINES
from stages.model_files.catalogue import survey


@dataclass(frozen=True)
class Machine:
    """What there is for an engine's network.

    Attributes:
        packages: the engine's packages are installed.
        gpu: CUDA can be used; not asked where the rest is missing.
        lacking: its first model file that is missing or damaged, with what is wrong; empty where all are usable.
    """

    packages: bool
    gpu: bool
    lacking: str


@dataclass(frozen=True)
class Choice:
    """An engine, and the reason in words for the status."""

    engine: LipsyncEngine
    why: str


def choose(asked: str, look: Callable[[LipsyncEngine], Machine]) -> Choice:
    """The engine for the next job.

    Args:
        asked: a key of `ENGINES`, or "auto".
        look: tells what the machine has for an engine.

    Raises:
        MachineError: `engine-not-installed` where an engine is asked for by name and cannot be imported. (Model files
            that are missing are named by its loader.)
    """
    if asked != "auto":
        return _asked_for(ENGINES[asked], look)
    unfit = []
    for engine in ENGINES.values():
        if engine.models:
            if not (why := _unfit(engine, look(engine))):
                return Choice(engine, "its model files are complete and a CUDA GPU can be used")
            unfit.append(why)
    plain = next(engine for engine in ENGINES.values() if not engine.models)
    return Choice(plain, "; ".join(["it needs no model file", *unfit]))


def _asked_for(engine: LipsyncEngine, look: Callable[[LipsyncEngine], Machine]) -> Choice:
    if not engine.models:
        return Choice(engine, "config.yaml asks for it")
    machine = look(engine)
    if not machine.packages:
        raise MachineError(
            "engine-not-installed",
            f"config.yaml asks for the engine {engine.name}, but {' or '.join(engine.packages)} is not installed.",
            f"{how_to_install_extra(engine.extra)} Or set `stages.lipsync.engine: auto`.",
        )
    where = "on the GPU" if machine.gpu else "on the processor, which is slow: no CUDA GPU can be used"
    return Choice(engine, f"config.yaml asks for it; it runs {where}")


def _unfit(engine: LipsyncEngine, machine: Machine) -> str:
    """Why an engine is not taken by itself; empty where it is."""
    if machine.lacking:
        return f"{engine.name}'s are not complete ({machine.lacking})"
    if not machine.packages:
        return f"for {engine.name} {' or '.join(engine.packages)} is not installed"
    if not machine.gpu:
        return f"{engine.name}'s are here, but no CUDA GPU can be used, and it is slow without"
    return ""


def look_at(engine: LipsyncEngine, settings: Settings) -> Machine:
    """Look at the machine; torch is imported only where all else is there."""
    lacking = next(
        (
            f"{found.file.path}: {found.why or found.state}"
            for found in survey(engine.models[engine.model(settings)], settings.paths.models)
            if not found.usable
        ),
        "",
    )
    packages = all(importlib.util.find_spec(name) for name in engine.packages)
    return Machine(packages, gpu=packages and not lacking and _cuda(), lacking=lacking)


def _cuda() -> bool:
    import torch

    return torch.cuda.is_available()
