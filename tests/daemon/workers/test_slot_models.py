"""What the daemon knows of the models in a worker's memory, from the worker's messages."""

from __future__ import annotations

from typing import Literal

from daemon.wire import ModelChange
from daemon.workers.slot_models import ModelCosts, SlotModels


def change(stage: str, model: str, what: Literal["loaded", "unloaded"] = "loaded", gpu: int = 0) -> ModelChange:
    return ModelChange(stage=stage, model=model, seconds=2.0, change=what, gpu_before=gpu, gpu_after=gpu + 3, pid=1)


def test_what_is_loaded_stays_until_it_is_unloaded_or_the_process_ends_and_its_costs_are_learned() -> None:
    costs = ModelCosts()
    models = SlotModels(costs)
    # Given a stage that loads two models
    models.begin("tts")
    models.changed(change("tts", "xtts"))
    models.changed(change("tts", "vocoder", gpu=3))
    models.done("tts", pid=1)
    assert (costs.load_s, costs.gpu_bytes) == ({"tts": 4.0}, {"tts": 6})
    # When a second job, and a stage without models of its own, follow
    models.begin("tts")
    models.done("tts", pid=1)
    models.begin("lipsync")
    models.done("lipsync", pid=1)
    assert (models.resident, models.run, costs.load_s) == ({"tts", "lipsync"}, 1, {"tts": 4.0})
    # Then one that unloads its own at its end leaves the others where they are
    models.begin("generate")
    models.changed(change("generate", "sdxl"))
    models.changed(change("generate", "sdxl", "unloaded"))
    models.done("generate", pid=1)
    assert models.resident == {"tts", "lipsync"}
    # And one that needs the others' memory is alone afterwards
    models.begin("lipsync")
    models.changed(change("lipsync", "those of the other stages", "unloaded"))
    models.done("lipsync", pid=1)
    assert models.resident == {"lipsync"}
    # And a new process holds what it loaded itself
    models.begin("tts")
    models.done("tts", pid=2)
    assert models.resident == {"tts"}
