"""Follows which models the process of a slot holds, and learns what loading them costs."""

from __future__ import annotations

from dataclasses import dataclass, field

from daemon.jobs.stages import Stage
from daemon.wire import ModelChange
from daemon.workers.policy import Costs


@dataclass
class ModelCosts:
    """What all slots of a lane learned, by stage; the last load counts. `load_s`: seconds. `gpu_bytes`: memory on the GPU."""

    load_s: dict[Stage, float] = field(default_factory=dict)
    gpu_bytes: dict[Stage, int] = field(default_factory=dict)

    def as_costs(self) -> Costs:
        """Return what is known now."""
        return Costs(dict(self.load_s), dict(self.gpu_bytes))


class SlotModels:
    """The models of one slot's process.

    Attributes:
        resident: stages whose models are loaded.
        run: jobs in a row for these, since a model was last loaded.
    """

    def __init__(self, costs: ModelCosts) -> None:
        self.resident: set[Stage] = set()
        self.run = 0
        self._costs = costs
        self._pid: int | None = None
        self._names: dict[str, Stage] = {}
        self._unloaded_own = False
        self._load_s = 0.0
        self._gpu_bytes: tuple[int, int] | None = None

    def begin(self, stage: Stage) -> None:
        """Note that a job of a stage begins."""
        self.run = self.run + 1 if stage in self.resident else 1
        self._load_s, self._gpu_bytes, self._unloaded_own = 0.0, None, False

    def changed(self, change: ModelChange) -> None:
        """Note a model that the process loaded or unloaded. A stage may load several, one after another."""
        self._follow(change.pid)
        if change.change == "unloaded":
            self._unloaded_own = self._names.get(change.model) == change.stage
            # What is no model of its own is those of all other stages (`stages.worker`).
            self.resident -= {change.stage} if self._unloaded_own else self.resident - {change.stage}
            return
        self.resident.add(change.stage)
        self._names[change.model] = change.stage
        self._load_s += change.seconds
        if change.gpu_before is not None and change.gpu_after is not None:
            before = change.gpu_before if self._gpu_bytes is None else self._gpu_bytes[0]
            self._gpu_bytes = before, change.gpu_after

    def done(self, stage: Stage, pid: int | None) -> None:
        """Note that a stage has succeeded, so that all its models are loaded, if it did not unload them at its end."""
        self._follow(pid)
        if not self._unloaded_own:
            self.resident.add(stage)
        if self._load_s:
            self._costs.load_s[stage] = self._load_s
        if self._gpu_bytes is not None:
            self._costs.gpu_bytes[stage] = max(0, self._gpu_bytes[1] - self._gpu_bytes[0])

    def _follow(self, pid: int | None) -> None:
        """Forget the models of an earlier process."""
        if pid != self._pid:
            self._pid = pid
            self.resident.clear()
            self._names.clear()
