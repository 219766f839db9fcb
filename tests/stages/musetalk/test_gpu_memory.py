"""Memory on the GPU: what a frame needs is counted, the batch follows from what is free, and it is given back."""

from __future__ import annotations

import gc
import importlib
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from daemon.config import Settings
from daemon.errors import MachineError
from daemon.jobs.stages import STAGES
from daemon.wire import Message, RunRequest
from stages import lipsync, worker
from stages.gpu.memory import CONTEXT_BYTES, MB, GpuMemory
from stages.musetalk import gpu_memory, paint
from stages.musetalk.gpu_memory import choose_batch, choose_budget
from stages.musetalk.networks.unet import UNet, UNetShape
from stages.musetalk.networks.vae import Vae, VaeShape
from tests.support.cuda.driver import Driver
from tests.support.cuda.install import install
from tests.support.cuda.memory import CardMemory

pytestmark = pytest.mark.usefixtures("models")

BF16 = torch.bfloat16
#: Parameters of the published UNet, its time embedding folded away, and autoencoder.
WEIGHTS = 823_000_000 + 83_653_863


class Allocations(TorchDispatchMode):
    """Follows every allocation: what is held at most, in bytes."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now, self.most = 0, 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._known:
                    self._known.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.most = max(self.most, self.now)
                    weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return made

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@torch.inference_mode()
def most(run: Callable[[], object]) -> int:
    with Allocations() as counted:
        run()
    return int(counted.most)


def test_a_frame_needs_what_the_batch_is_chosen_by() -> None:
    # Given the published network, without its weights: nothing is computed, but everything is allocated
    with torch.device("meta"):
        unet = UNet(UNetShape(channels=(320, 640, 1280, 1280), heads=8, groups=32)).to(BF16)
        vae = Vae(VaeShape(channels=(128, 256, 512, 512), groups=32)).to(BF16)
        latents, tokens = torch.empty(1, 8, 32, 32, dtype=BF16), torch.empty(16, 50, 384, dtype=BF16)
        predicted = torch.empty(16, 4, 32, 32, dtype=BF16)
    # When all allocations of a pass are followed, then a frame needs no more than is set aside, and not much less
    painting, deciding = most(lambda: vae.decode(predicted)) / 16, most(lambda: unet(latents, tokens)) / 16
    assert deciding < painting  # so that the decoder's need is the whole's
    assert 0.75 < painting / (gpu_memory.FRAME_NUMBERS * BF16.itemsize) <= 0.85


@pytest.mark.parametrize(
    ("dtype", "budget_mb", "free_mb", "batch"),
    [
        (BF16, 5600, 80_000, 16),  # a large GPU, the default budget
        (BF16, 80_000, 138_000, 64),
        (BF16, 5600, 4000, 8),  # a 4 GB card, or one that others use
        (BF16, 5600, 2900, 2),
        (BF16, 5600, 100, 1),  # too little for the weights as well: loading will say so
        (torch.float32, 5600, 80_000, 4),
    ],
)
def test_the_batch_follows_from_free_memory_and_budget(
    dtype: torch.dtype, budget_mb: int, free_mb: int, batch: int
) -> None:
    chosen = choose_batch(dtype, WEIGHTS, budget_mb * MB, GpuMemory(free_mb * MB, 141_000 * MB))
    assert chosen == batch
    if batch > 1:  # and then all of it is within the budget
        used = WEIGHTS * dtype.itemsize + chosen * gpu_memory.FRAME_NUMBERS * dtype.itemsize
        assert used < min(budget_mb, free_mb) * MB - 700 * MB


@pytest.mark.parametrize(("total_mb", "batch"), [(10_000, 16), (24_000, 32), (80_000, 64), (141_000, 64)])
def test_a_large_gpu_is_given_a_large_batch_without_a_setting(total_mb: int, batch: int) -> None:
    memory = GpuMemory(total_mb * MB - 500 * MB, total_mb * MB)
    assert choose_batch(torch.float16, WEIGHTS, choose_budget(memory), memory) == batch


def test_the_least_setting_holds_the_network_and_a_frame() -> None:
    settings = Settings.model_validate({"stages": {"lipsync": {"musetalk": {"memory_mb": 3000}}}})
    budget = settings.stages.lipsync.musetalk.memory_mb * 10**6
    rest = budget - WEIGHTS * 2 - CONTEXT_BYTES - gpu_memory._AUDIO_ENCODER_BYTES
    assert rest > gpu_memory.FRAME_NUMBERS * 2
    with pytest.raises(ValueError, match="at least 3000"):
        Settings.model_validate({"stages": {"lipsync": {"musetalk": {"memory_mb": 2999}}}})


def test_on_a_processor_the_batch_does_not_depend_on_a_gpu() -> None:
    assert choose_batch(torch.float32, WEIGHTS, 5600 * MB, None) == 4


# -- making room -----------------------------------------------------------------------------------------------


class Unheard(worker.Wire):
    """The line to a daemon that is not there; the real one takes the process's standard output."""

    def __init__(self) -> None:
        return None

    def send(self, message: Message) -> None:
        return None


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """MuseTalk, loaded, as far as making room is concerned."""
    calls: list[str] = []

    class Painter:
        def unload(self) -> dict[str, int]:
            calls.append("unloaded")
            return {"vram_mb": 0}

    monkeypatch.setattr(paint, "_loaded_engine", paint._LoadedEngine((), Painter(), None, 0.0, {}))  # type: ignore[arg-type]
    yield calls
    paint._loaded_engine = None


def test_a_stage_that_does_not_fit_is_tried_again_when_the_other_gave_way(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    # Given a stage for whose model there is room only without the other's, and that fails with a large array in its hands
    first_try: list[weakref.ref[Tensor]] = []

    def run(ctx: object) -> dict[str, object]:
        if not loaded:
            array = torch.zeros(10)
            first_try.append(weakref.ref(array))
            try:
                raise RuntimeError("no room")
            except RuntimeError as exc:
                raise MachineError("gpu-memory", "full", "") from exc
        return {"engine": "large", "held": first_try[0]() is not None}

    stage = ModuleType("stages.tts")
    stage.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stages.tts", stage)
    request = RunRequest(job="job-1", name="a", stage="tts", dir=tmp_path, manifest={"text": "a", "kind": "speech"})
    # When it runs, then MuseTalk gives its memory back, once, and the stage does its work with all the room there is
    facts = cast(dict[str, Any], worker.run_stage(request, Settings(), Unheard()).facts)
    assert (facts["engine"], facts["held"]) == (
        "large",
        False,
    )  # the first try's memory was free for the second
    (given,) = facts["models"]
    assert (given["model"], given["change"]) == ("those of the other stages", "unloaded")
    assert loaded == ["unloaded"]
    assert lipsync.release() == {}  # there is nothing more to give


def test_each_stage_with_models_is_asked_for_room_but_the_one_that_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given the stages that load models to a GPU
    asked: list[str] = []

    def ask(name: str) -> dict[str, object]:
        asked.append(name)
        return {"model": name}

    for name in STAGES:
        module = importlib.import_module(f"stages.{name}")
        if hasattr(module, "release"):
            monkeypatch.setattr(module, "release", partial(ask, name))
    # When one of them needs room, then the others are asked
    for name in ("tts", "lipsync", "generate"):
        asked.clear()
        assert worker.release_other_models(name)
        assert sorted([*asked, name]) == ["generate", "lipsync", "tts"]


def test_the_second_try_has_the_memory_of_the_first_one_also_what_refers_to_itself(
    loaded: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given a stage that fails with memory of the GPU in a circle of references, which only a collection finds
    driver = Driver(CardMemory(1 << 30))

    def run(ctx: object) -> dict[str, object]:
        if not loaded:
            circle: list[object] = [torch.zeros(500_000, device="cuda")]
            circle.append(circle)
            raise MachineError("gpu-memory", "full", "")
        return {"reserved": driver.card.memory.reserved}

    stage = ModuleType("stages.tts")
    stage.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stages.tts", stage)
    request = RunRequest(job="job-1", name="a", stage="tts", dir=tmp_path, manifest={"text": "a", "kind": "speech"})
    with install(driver):
        gc.disable()  # no collection by chance
        try:
            facts = cast(dict[str, Any], worker.run_stage(request, Settings(), Unheard()).facts)
        finally:
            gc.enable()
    # When it is tried again, then the driver has all of it back
    assert driver.card.memory.peak >= 2_000_000
    assert facts["reserved"] == 0


def test_where_nothing_gives_way_the_lack_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paint, "_loaded_engine", None)
    assert not worker.release_other_models("tts")
