"""What a model takes in memory is measured when it is loaded or unloaded, and told."""

from __future__ import annotations

import mmap

import pytest

from stages.model_memory import ModelMemory, measured


def test_what_is_loaded_is_told_with_the_memory_before_and_after() -> None:
    told: list[ModelMemory] = []
    # Pages of their own: what is allocated may come from memory that earlier tests of this process have freed.
    with measured("big", told.append, least_s=0.0):
        held = mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        for page in range(0, len(held), mmap.PAGESIZE):
            held[page] = 1
    with measured("big", told.append, "unloaded", least_s=0.0):
        held.close()
    loaded, unloaded = told
    assert loaded.ram_after - loaded.ram_before > 60 << 20
    assert unloaded.ram_before - unloaded.ram_after > 60 << 20
    assert loaded.to_json().keys() == {
        "model",
        "change",
        "seconds",
        "ram_before",
        "ram_after",
    }  # PyTorch uses no GPU here


def test_what_was_loaded_already_is_not_told() -> None:
    told: list[ModelMemory] = []
    with measured("there", told.append, least_s=3600.0):
        pass
    assert told == []
    with pytest.raises(ValueError, match="broken"), measured("broken", told.append, least_s=0.0):
        raise ValueError("broken")
    assert told == []
