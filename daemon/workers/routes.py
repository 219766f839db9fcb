"""Decides in which lane a job waits for its stage: that of the engine that will do it.

Which engine speaks a job depends on the voices that are installed, and the daemon imports no stage. So a job whose engine is not
known waits for the first lane of its stage; a worker there that finds that the engine is another lane's says so
(docs/worker.md, `elsewhere`), and jobs that ask for the same go there at once.
"""

from __future__ import annotations

from daemon.config import Settings
from daemon.config.engines import lane_of_engine
from daemon.jobs.facts import StageFacts
from daemon.jobs.record import Job
from daemon.jobs.stages import BY_NAME, TABLE, LaneName, Stage

#: Most answers that are remembered; people can name voices without end.
REMEMBERED = 1000

_Asked = tuple[str, ...]


class Routes:
    """Remembers which engine did what."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engines: dict[_Asked, str] = {}

    def lane_of(self, job: Job) -> LaneName:
        """Return the lane in which a job waits for its present stage."""
        assert job.stage is not None
        lanes = BY_NAME[job.stage].lanes
        if len(lanes) == 1:
            return lanes[0]
        engine = self._engines.get(self._asked(job, job.stage)) or self._named(job, job.stage)
        lane = lane_of_engine(engine) if engine else lanes[0]
        return lane if lane in lanes else lanes[0]

    def learn(self, job: Job, stage: Stage, engine: object) -> None:
        """Remember the engine of a job's stage."""
        if len(BY_NAME[stage].lanes) > 1 and isinstance(engine, str):
            if len(self._engines) >= REMEMBERED:
                self._engines.clear()
            self._engines[self._asked(job, stage)] = engine

    def learn_from(self, job: Job, stage: Stage, facts: StageFacts) -> None:
        """Remember the engine that did a stage, and those that it found for later ones. `facts`: what the stage reported."""
        self.learn(job, stage, facts.get("engine"))
        later = facts.get("engines")
        for other, engine in later.items() if isinstance(later, dict) else ():
            if other in job.stages:
                self.learn(job, other, engine)

    def preloads(self, lane: LaneName) -> list[Stage]:
        """Return the stages that a lane loads ahead of its first job: on the GPU only those whose engine the settings name."""
        if not self._settings.lanes.preload:
            return []
        engines = {"tts": self._settings.stages.tts.engine, "lipsync": self._settings.stages.lipsync.engine}
        named: dict[Stage, LaneName] = {
            stage: lane_of_engine(name) for stage, name in engines.items() if name != "auto"
        }
        return [row.name for row in TABLE if named.get(row.name, row.lanes[0]) == lane]

    def forget(self) -> None:
        """Forget everything: the settings have changed."""
        self._engines.clear()

    def _asked(self, job: Job, stage: Stage) -> _Asked:
        """Return what decides the engine of a stage, beside the settings."""
        if stage != "tts":
            return (stage,)
        return tuple(str(part) for part in (stage, *map(job.manifest.get, ("kind", "audio", "voice", "language"))))

    def _named(self, job: Job, stage: Stage) -> str:
        """Return the engine that manifest or settings name; empty where they name none."""
        if stage == "generate":
            return ""
        if stage == "lipsync":
            return str(self._settings.stages.lipsync.engine).removeprefix("auto")
        if job.manifest.get("audio") is not None:  # no engine speaks
            return ""
        wanted = str(job.manifest.get("voice", "")).casefold()
        engine, slash, _ = wanted.partition("/")
        if slash:
            return engine
        named = self._settings.stages.tts.engine
        return named if wanted == "default" and named != "auto" else ""
