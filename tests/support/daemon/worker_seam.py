"""A way into the worker processes of a real daemon, at the outermost seam: a `sitecustomize.py` on their PYTHONPATH.

Each stage looks, before it runs, for a gate (a file of the stage's name in the folder of gates) and waits until it is taken
away; and the tts stage does what a magic word in the text says: stumble, wait, die, hang, grow or kill the daemon. The product
knows nothing of this.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.conftest import Installation, wait_for

SITECUSTOMIZE = """
import ctypes, functools, importlib, logging, os, pathlib, signal, sys, time, warnings

GATES = pathlib.Path(os.environ["TEST_GATES"])


def trap(stage, ctx):
    gate = GATES / stage
    if gate.exists():
        (GATES / (stage + ".reached")).touch()
        while gate.exists():
            time.sleep(0.005)
    text = ctx.manifest.text or ""
    if stage != "tts":
        return
    if "stumble" in text:
        logging.getLogger("stages.tts").info("a stone lies ahead")
        warnings.warn("the way is slippery")
        raise RuntimeError("fell over a stone")
    if "abort" in text:
        logging.getLogger("library").error("logged before the abort")
        print("last words before the abort", file=sys.stderr, flush=True)
        os.abort()
    if "segfault" in text:
        print("last words before the fault", flush=True)
        ctypes.string_at(0)
    if "patient" in text:
        while True:
            ctx.progress(0.5)
            time.sleep(0.01)
    if "forever" in text:
        time.sleep(10**6)
    if "silent" in text:
        os.kill(os.getpid(), signal.SIGSTOP)
    if "regicide" in text:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(10**6)
    if "unplugged" in text and not (GATES / "unplugged").exists():
        (GATES / "unplugged").write_text(str(os.getpid()))
        from stages.musetalk.device import device_errors
        import torch
        with device_errors():
            raise torch.AcceleratorError("CUDA error: unspecified launch failure")
    if "balloon" in text:
        hoard = []
        while True:
            hoard.append(bytearray(b"x" * 10**7))
            time.sleep(0.01)


def wrapped(stage, run):
    @functools.wraps(run)
    def trapped(ctx):
        trap(stage, ctx)
        return run(ctx)

    trapped.trapped = True
    return trapped


def import_module(name, package=None, real=importlib.import_module):
    module = real(name, package)
    stage = name.removeprefix("stages.")
    from daemon.jobs.stages import STAGES

    if stage in STAGES and not hasattr(module.run, "trapped"):
        module.run = wrapped(stage, module.run)
    return module


if "stages.worker" in sys.orig_argv:
    importlib.import_module = import_module
"""


class Gates:
    """Stops jobs in front of a stage, and lets them through."""

    def __init__(self, house: Installation, folder: Path) -> None:
        self.folder = folder / "gates"
        self.folder.mkdir(parents=True)
        (folder / "sitecustomize.py").write_text(SITECUSTOMIZE)
        path = os.pathsep.join(filter(None, [str(folder), house.environment.get("PYTHONPATH", "")]))
        house.environment |= {"PYTHONPATH": path, "TEST_GATES": str(self.folder)}

    def shut(self, *stages: str) -> None:
        """Let stages wait before they run."""
        for stage in stages:
            (self.folder / stage).touch()

    def reached(self, stage: str) -> None:
        """Wait until a job stands in front of the gate."""
        wait_for(f"a job at {stage}'s gate", (self.folder / f"{stage}.reached").exists)

    def open(self, stage: str) -> None:
        """Let a stage run on."""
        (self.folder / stage).unlink()
