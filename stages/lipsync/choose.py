"""Chooses the lip-sync engine by the settings and by what the machine has, and says why."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.system.installation import how_to_install_extra
from stages.lipsync.engines.base import LipsyncEngine
from stages.lipsync.registry import ENGINES
from stages.model_files.catalogue import PartStatus, check_model_files

if TYPE_CHECKING:
    from stages.gpu.probe import CudaProbe


@dataclass(frozen=True)
class EngineAvailability:
    """What the machine has of an engine's requirements.

    Attributes:
        packages: whether the engine's packages are installed.
        gpu: what a trial of the GPU gave, or a look at it if that says enough; None if anything else is missing.
        model_problem: the first model file that is missing or damaged, and what is wrong; empty if all are usable.
    """

    packages: bool
    gpu: CudaProbe | None
    model_problem: str


@dataclass(frozen=True)
class EngineChoice:
    """The chosen engine, and the reason in words, for the status."""

    engine: LipsyncEngine
    why: str


def choose_engine(asked: str, check: Callable[[LipsyncEngine], EngineAvailability]) -> EngineChoice:
    """Choose the engine for the next job.

    Args:
        asked: a key of `ENGINES`, or "auto".
        check: returns what the machine has of an engine's requirements.

    Raises:
        MachineError: `engine-not-installed`: the named engine's packages are not installed. (Its loader reports missing
            model files.) `gpu-memory`: with "auto", other programs or stages hold the memory that an engine needs; no file of it
            is read then.
    """
    if asked != "auto":
        return _choose_named(ENGINES[asked], check)
    unfit = []
    for engine in ENGINES.values():
        if engine.models:
            availability = check(engine)
            if not (why := _reason_against(engine, availability)):
                if availability.gpu is not None and availability.gpu.state == "busy":
                    words = availability.gpu.words
                    raise MachineError("gpu-memory", f"{words[:1].upper()}{words[1:]}.", availability.gpu.remedy)
                found = availability.gpu.words if availability.gpu else "nothing is missing"
                return EngineChoice(engine, f"its model files are complete, and there is a CUDA GPU: {found}")
            unfit.append(why)
    return choose_without_gpu(*unfit)


def choose_without_gpu(*why: str) -> EngineChoice:
    """Choose the engine that needs neither a GPU nor model files. `why`: what speaks against the others."""
    plain = next(engine for engine in ENGINES.values() if not engine.models)
    return EngineChoice(plain, "; ".join(["it needs no model files", *why]))


def _choose_named(engine: LipsyncEngine, check: Callable[[LipsyncEngine], EngineAvailability]) -> EngineChoice:
    if not engine.models:
        return EngineChoice(engine, "config.yaml asks for it")
    availability = check(engine)
    if not availability.packages:
        raise MachineError(
            "engine-not-installed",
            f"config.yaml asks for the engine {engine.name}, but {' or '.join(engine.packages)} is not installed.",
            f"{how_to_install_extra(engine.extra)} Or set `stages.lipsync.engine: auto`.",
        )
    if availability.gpu is None or _is_there(availability.gpu):
        return EngineChoice(engine, "config.yaml asks for it")
    return EngineChoice(
        engine, f"config.yaml asks for it; it runs on the CPU, which is slow, because {availability.gpu.words}"
    )


def _reason_against(engine: LipsyncEngine, availability: EngineAvailability) -> str:
    """Return why "auto" does not choose an engine; empty if it does."""
    if availability.model_problem:
        return f"the model files of {engine.name} are not complete ({availability.model_problem})"
    if not availability.packages:
        return f"{engine.name} needs {' or '.join(engine.packages)}, which is not installed"
    if availability.gpu is not None and not _is_there(availability.gpu):
        return f"{engine.name} would be slow, because {availability.gpu.words}"
    return ""


def _is_there(gpu: CudaProbe) -> bool:
    """True if it is usable, or busy: the models of other stages are unloaded for it."""
    return gpu.state in ("usable", "busy")


def check_availability(
    engine: LipsyncEngine, settings: Settings, use_engine: Callable[[str], None] = lambda _: None
) -> EngineAvailability:
    """Check what the machine has of an engine's requirements; imports torch only if everything else is there.

    Args:
        engine: the engine.
        settings: of the daemon.
        use_engine: is called before a GPU is opened, which takes memory there until the process ends; see `Context`.
    """
    model_problem = next(
        (
            f"{found.file.path}: {_wrong_with(found)}"
            for found in check_model_files(engine.models[engine.model(settings)], settings.paths.models)
            if not found.usable
        ),
        "",
    )
    packages = all(importlib.util.find_spec(name) for name in engine.packages)
    gpu = _try_gpu(lambda: use_engine(engine.name)) if packages and not model_problem else None
    return EngineAvailability(packages, gpu, model_problem)


def _wrong_with(found: PartStatus) -> str:
    """Return in words why the file of a part cannot be used."""
    return f"missing; {found.why}" if found.state == "missing" and found.why else found.why or found.state


def _try_gpu(before: Callable[[], None]) -> CudaProbe:
    from stages.gpu.probe import look_at_all, probe_cuda

    if (looked := look_at_all()).state != "usable":
        return looked
    before()
    return probe_cuda()
