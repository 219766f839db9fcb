"""Finds the GPUs on which the gpu lane has a slot each, and looks whether one still answers.

The process of a slot sees its GPU alone, by CUDA_VISIBLE_DEVICES: its stages use the first GPU that they see. GPUs are named to
CUDA by UUID, since CUDA counts them in another order than NVML and `nvidia-smi` do, and numbers change when one is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from daemon.config.gpu_devices import GpuDevices
from daemon.errors import ConfigError, MachineError
from daemon.jobs.stages import Stage, stages_of_lane
from daemon.system.bounded_calls import BoundedCall
from daemon.system.disk_thread import in_thread
from daemon.system.gpu import Card, read_cards
from daemon.workers.process import VISIBLE

log = structlog.get_logger()

#: What CUDA_VISIBLE_DEVICES says where no GPU may be seen.
NOTHING = ""
#: A driver that has not answered after this long counts as lost, s. Without persistence mode it initialises every GPU that nobody
#: has open each time it is asked, which takes 1 to 3 s for each (NVIDIA's "Driver Persistence", Overview).
PATIENCE_S = 60.0

ReadCards = Callable[[], list[Card]]


@dataclass(frozen=True)
class Device:
    """The GPU of a slot.

    Attributes:
        label: its number, as in `nvidia-smi`, for people and metrics; empty where the slot is bound to no GPU.
        visible: CUDA_VISIBLE_DEVICES of the process; None: that of the daemon.
        uuid: by which NVML knows it; empty where that is not known, so that its loss is only noticed by a stage.
        name: of its model, for people.
        stages: that its slot runs.
    """

    label: str = ""
    visible: str | None = None
    uuid: str = ""
    name: str = ""
    stages: frozenset[Stage] = frozenset(stages_of_lane("gpu"))

    def __str__(self) -> str:
        if self.uuid:
            return f"GPU {self.label} ({', '.join(filter(None, (self.name, self.uuid)))})"
        return self.name or "the GPU"


def find_devices(wanted: GpuDevices, environment: Mapping[str, str], cards: Sequence[Card]) -> list[Device]:
    """Return the GPUs of the slots, at least one; one without a GPU of its own where there is none.

    Args:
        wanted: the setting `lanes.gpu.devices`. With "all", the daemon's own CUDA_VISIBLE_DEVICES limits the GPUs.
        cards: those that answer.

    Raises:
        ConfigError: `gpu-missing`: the setting names a GPU that is not there; names those that are. `config-invalid`: it names
            one twice.
        MachineError: `gpu-missing`: it names GPUs, and none answers, as while the driver is not loaded or waits for a restart.
    """
    if wanted == "none":
        return [Device(visible=NOTHING)]
    if wanted == "all":
        return _visible_to_daemon(environment, cards) or [Device()]
    named = frozenset(stage for stages in wanted.values() for stage in stages)
    free = frozenset(stages_of_lane("gpu")) - named  # those that no GPU is named for: any of them runs these
    devices = {
        name: _named(name, frozenset(stages) | free if stages else named | free, cards)
        for name, stages in wanted.items()
    }
    for name, device in devices.items():
        first = next(other for other, one in devices.items() if one.visible == device.visible)
        if first != name:
            raise ConfigError(
                "config-invalid",
                f"lanes.gpu.devices: {first} and {name} are the same GPU, {device.visible}.",
                "Name each GPU once; it has one slot.",
            )
    return list(devices.values())


def _named(name: str, stages: frozenset[Stage], cards: Sequence[Card]) -> Device:
    for card in cards:
        if name.isdigit():
            # Of a GPU in slices, its first one, as CUDA would open.
            if card.index.partition(".")[0] == name:
                return _bound(card, stages)
        elif card.uuid.startswith(name):
            return _bound(card, stages)
    if name.startswith("MIG-"):  # a slice by the name that drivers before 470 gave it: MIG-GPU-UUID/number/number
        return Device(name, name, stages=stages)
    # No fault of the setting: whoever starts the daemon again, such as systemd, finds them when they answer.
    if not cards:
        raise MachineError(
            "gpu-missing",
            f"lanes.gpu.devices names GPU {name}, and no GPU answers.",
            "See `nvidia-smi` and `dmesg`; after an update of the driver, restart the machine.",
        )
    here = "; ".join(f"{card.index}: {card.name}, {card.uuid}" for card in cards)
    raise ConfigError(
        "gpu-missing",
        f"lanes.gpu.devices: there is no GPU {name}; there are {here}.",
        "Name GPUs that `nvidia-smi -L` shows, or write `devices: all`.",
    )


def _bound(card: Card, stages: frozenset[Stage]) -> Device:
    return Device(card.index, card.uuid, card.uuid, card.name, stages)


def _visible_to_daemon(environment: Mapping[str, str], cards: Sequence[Card]) -> list[Device]:
    every = Device().stages
    if VISIBLE not in environment:
        return [_bound(card, every) for card in cards]
    devices: list[Device] = []
    for token in filter(None, (part.strip() for part in environment[VISIBLE].split(","))):
        if token == "-1":  # CUDA sees none from here on
            break
        counted_alike = len(cards) == 1 or environment.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
        found = [
            card
            for card in cards
            if (card.index == token and counted_alike) or (not token.isdigit() and card.uuid.startswith(token))
        ]
        device = _bound(found[0], every) if found else Device(token, token, stages=every)
        if device not in devices:
            devices.append(device)
    return devices or [Device(visible=NOTHING)]


def visible_to_drawers(wanted: GpuDevices, devices: Sequence[Device]) -> str | None:
    """Return CUDA_VISIBLE_DEVICES of the processes that draw and encode videos; None: that of the daemon.

    Where the setting `lanes.gpu.devices` names GPUs, these processes leave the others alone, too. With "none" they see all: the
    GPU may encode, though no network runs on it.
    """
    if isinstance(wanted, str):
        return None
    return ",".join(device.visible for device in devices if device.visible)


def visible_to_voices(wanted: GpuDevices, devices: Sequence[Device]) -> str | None:
    """Return CUDA_VISIBLE_DEVICES of the process of the voice lane; None: that of the daemon.

    It computes on no GPU, and looks at those of the gpu lane to tell whether a job belongs there.
    """
    return NOTHING if wanted == "none" else visible_to_drawers(wanted, devices)


def cards_that_answer(read: ReadCards = read_cards) -> list[Card]:
    """Return the GPUs that answer; none where the driver hangs, which is logged."""
    try:
        return BoundedCall(read, PATIENCE_S).ask()
    except TimeoutError:
        log.error("the GPU driver does not answer, so that no GPU is known", waited_s=PATIENCE_S)
        return []


class DeviceWatch:
    """Asks NVML for one GPU. `read`: returns GPUs that answer, with this one; a driver that hangs costs a bounded time."""

    def __init__(self, device: Device, read: ReadCards | None = None) -> None:
        self.device = device
        self._cards = BoundedCall(read or self._read, patience_s=PATIENCE_S)

    def _read(self) -> list[Card]:
        """Read its GPU alone, since the driver may initialise others first; all of them where another one has its number now."""
        own = read_cards(int(self.device.label.partition(".")[0]))
        return own if any(card.uuid == self.device.uuid for card in own) else read_cards()

    async def look(self) -> int | None:
        """Return its free memory, in bytes; None where that is not known.

        Raises:
            MachineError: `gpu-lost`: it does not answer.
        """
        return await in_thread(self.free_bytes)

    def free_bytes(self) -> int | None:
        """Return what `look` does. Blocks for a bounded time.

        Raises:
            MachineError: `gpu-lost`: it does not answer.
        """
        if not self.device.uuid:
            return None
        try:
            cards = self._cards.ask()
        except TimeoutError:
            cards = []
        for card in cards:
            if card.uuid == self.device.uuid:
                return card.free
        raise MachineError(
            "gpu-lost",
            f"{self.device} does not answer.",
            "See `nvidia-smi` and `dmesg`; other GPUs go on, and this one does when it answers again.",
        )
