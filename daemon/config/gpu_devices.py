"""The setting `lanes.gpu.devices`: on which GPUs the gpu lane has slots, and which stages each of them runs."""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema

#: Stages that a slot of the gpu lane can run, as in `daemon.jobs.stages`, which stands above the settings.
GPU_STAGES = ("generate", "tts", "lipsync")
#: A GPU's number, as `nvidia-smi -L` shows it, or its UUID (GPU-… or MIG-…, or the beginning of it).
Named = str
#: "all", "none", or the GPUs with the stages that each is for; no stages: all of them.
GpuDevices = Annotated[
    Literal["all", "none"] | dict[Named, tuple[str, ...]],
    BeforeValidator(lambda value: read_devices(value)),
    WithJsonSchema({"type": "string"}),
]

_UUID = re.compile(r"(GPU|MIG)-[0-9A-Za-z/-]+")
_FORMS = "all, none, a list such as [0, 1], or stages for each GPU such as {0: [tts], 1: [lipsync]}"


def read_devices(value: Any) -> Literal["all", "none"] | dict[Named, tuple[str, ...]]:
    """Bring the setting into one form.

    Raises:
        ValueError: it cannot be read; one sentence.
    """
    if value in ("all", "none"):
        return "all" if value == "all" else "none"
    if isinstance(value, int) and not isinstance(value, bool):
        value = [value]
    if isinstance(value, list | tuple):
        pairs: list[tuple[Any, tuple[str, ...]]] = [(device, ()) for device in value]
    elif isinstance(value, dict):
        pairs = [(device, _stages(device, stages)) for device, stages in value.items()]
    else:
        raise ValueError(f"{value!r} names no GPUs; write {_FORMS}")
    if not pairs:
        raise ValueError("the list is empty; write none if no GPU is to be used")
    found: dict[Named, tuple[str, ...]] = {}
    for device, stages in pairs:
        name = _name(device)
        if name in found:
            raise ValueError(f"GPU {name} is named twice; each GPU has one slot")
        found[name] = stages
    return found


def _name(device: Any) -> Named:
    text = str(device).strip()
    if isinstance(device, bool) or not (re.fullmatch(r"\d{1,3}", text) or _UUID.fullmatch(text)):
        raise ValueError(f"{device!r} is neither the number nor the UUID of a GPU; `nvidia-smi -L` shows both")
    return str(int(text)) if text.isdigit() else text


def _stages(device: Any, stages: Any) -> tuple[str, ...]:
    known = GPU_STAGES
    names = [stages] if isinstance(stages, str) else stages
    if not isinstance(names, list | tuple):
        raise ValueError(f"GPU {device} needs a list of stages, of {', '.join(known)}")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1, 0.5)
            hint = f"; did you mean {near[0]}" if near else ""
            raise ValueError(f"GPU {device} cannot run {name!r}, only {', '.join(known)}{hint}")
    return tuple(dict.fromkeys(names))
