"""A worker on another machine, as the daemon sees it: which results count, and whose fault a loss is. The cluster is played."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from daemon.config import Settings
from daemon.errors import MachineError, WorkerDied, WorkerLost
from daemon.events import Events, Subscriber
from daemon.jobs.record import Job
from daemon.wire import Ready, Result, RunRequest
from daemon.workers.remote.content import ContentStore
from daemon.workers.remote.frames import FromDaemon, HostEnded, HostLine, Results, RunStage, StartHost
from daemon.workers.remote.job_files import Sent, install_results, list_files, sha256_of
from daemon.workers.remote.pool import RayPool
from daemon.workers.remote.portable import is_portable
from daemon.workers.remote.voice_profiles import ReceivedProfiles, list_voice_files
from daemon.workers.remote.worker import RemoteWorker

DONE = Result(facts={"seen": True}, warnings=[]).to_line().decode()


class Refusals(Subscriber):
    def __init__(self) -> None:
        self.slots: list[str] = []

    def late_result_refused(self, slot: str) -> None:
        self.slots.append(slot)


class PlayedPool(RayPool):
    """A cluster whose driver is the test: `answer` is given each message for it."""

    def __init__(self, settings: Settings) -> None:
        self.refusals = Refusals()
        super().__init__(settings, Events(self.refusals), lambda error: None)
        self.folder.mkdir(parents=True)
        self.sent: list[FromDaemon] = []
        self.answer: Callable[[RunStage], object] = lambda frame: None

    def check(self) -> None:
        """It can always be used."""

    async def send(self, frame: FromDaemon) -> bool:
        self.sent.append(frame)
        if isinstance(frame, StartHost):
            line = Ready(pid=1, ops=("run", "cancel")).to_line().decode()
            await self._pass_on(HostLine(slot=frame.slot, host=frame.host, line=line))
        elif isinstance(frame, RunStage):
            self.answer(frame)
        return True

    def made(self, epoch: int, **files: str) -> Path:
        """Put what a stage has made into a folder, as the driver does."""
        folder = self.folder / str(epoch)
        folder.mkdir()
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)
        return folder

    def hand_in(self, frame: RunStage, folder: Path | None, epoch: int = 0, removed: tuple[str, ...] = ()) -> None:
        result = Results(
            slot=frame.slot,
            host=frame.host,
            epoch=epoch or frame.epoch,
            line=DONE,
            folder=folder,
            removed=list(removed),
        )
        self.later(result)

    def later(self, frame: HostLine | Results | HostEnded) -> None:
        self.task = asyncio.ensure_future(self._pass_on(frame))


@pytest.fixture
def pool(tmp_path: Path) -> PlayedPool:
    paths = {name: str(tmp_path / name) for name in ("inbox", "outbox", "spool")}
    raw = {"paths": paths, "lanes": {"ray": {"address": "head:6379", "gpus": 1}}}
    return PlayedPool(Settings.parse(raw, tmp_path / "config.yaml"))


@pytest.fixture
def worker(pool: PlayedPool) -> RemoteWorker:
    return RemoteWorker("gpu", pool._settings, lambda _: None, pool=pool, slot="ray gpu 1")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "job.json").write_text("{}")
    (folder / "source.image").write_text("picture")
    return folder


def run(worker: RemoteWorker, job: Path) -> Result:
    """Run a stage, and put what it has made into the job's folder."""
    request = RunRequest(job="j", name="hello", stage="tts", dir=job, manifest={})
    result = asyncio.run(worker.run(request, 30.0, lambda _: None))
    take = worker.take_results(job)
    assert take is not None
    take()
    return result


def test_what_a_stage_made_and_removed_there_is_made_and_removed_here(
    pool: PlayedPool, worker: RemoteWorker, job: Path
) -> None:
    made = {"speech__wav": "sound", "tts__done__json": "{}"}
    pool.answer = lambda frame: pool.hand_in(frame, pool.made(frame.epoch, **made), removed=("source.image",))
    assert run(worker, job).facts == {"seen": True}
    assert {path.name for path in job.iterdir()} == {"job.json", "speech.wav", "tts.done.json"}
    assert list(pool.folder.iterdir()) == []


def test_what_a_stage_made_is_put_into_the_jobs_folder_while_the_next_one_runs(
    pool: PlayedPool, worker: RemoteWorker, job: Path, tmp_path: Path
) -> None:
    pool.answer = lambda frame: pool.hand_in(frame, pool.made(frame.epoch, speech__wav=str(frame.dir)))
    other = tmp_path / "other"
    other.mkdir()

    async def live() -> None:
        takes = []
        for folder in (job, other):
            request = RunRequest(job=folder.name, name="hello", stage="tts", dir=folder, manifest={})
            await worker.run(request, 30.0, lambda _: None)
            takes.append(worker.take_results(folder))
        # Given two results that are not put away yet, when the driver starts anew
        pool.clear()
        for take in takes:
            assert take is not None
            take()

    asyncio.run(live())
    # Then each job has its own
    assert [(folder / "speech.wav").read_text() for folder in (job, other)] == [str(job), str(other)]
    assert list(pool.folder.iterdir()) == []


def test_what_a_cancelled_stage_made_is_removed_before_the_next_one(
    pool: PlayedPool, worker: RemoteWorker, job: Path
) -> None:
    pool.answer = lambda frame: pool.hand_in(frame, pool.made(frame.epoch, speech__wav="sound"))
    request = RunRequest(job="j", name="hello", stage="tts", dir=job, manifest={})
    asyncio.run(worker.run(request, 30.0, lambda _: None))
    run(worker, job)
    assert list(pool.folder.iterdir()) == []


def test_a_result_with_a_forbidden_name_is_the_fault_of_its_machine(
    pool: PlayedPool, worker: RemoteWorker, job: Path
) -> None:
    pool.answer = lambda frame: pool.hand_in(frame, pool.made(frame.epoch), removed=("../other",))
    with pytest.raises(WorkerLost) as lost:
        run(worker, job)
    assert (lost.value.code, lost.value.with_machine) == ("node-broken", True)
    starts = len([frame for frame in pool.sent if isinstance(frame, StartHost)])
    # And its worker gets no other job
    pool.answer = lambda frame: pool.hand_in(frame, pool.made(frame.epoch))
    run(worker, job)
    assert len([frame for frame in pool.sent if isinstance(frame, StartHost)]) == starts + 1
    assert list(pool.folder.iterdir()) == []


def test_a_result_of_an_earlier_start_is_refused_and_counted_and_changes_nothing(
    pool: PlayedPool, worker: RemoteWorker, job: Path
) -> None:
    late: list[RunStage] = []

    def answer(frame: RunStage) -> None:
        if not late:  # Given a machine that is lost in the middle of a stage
            late.append(frame)
            gone = HostEnded(slot=frame.slot, host=frame.host, lost=True, code="node-lost", reason="It was lost.")
            pool.later(gone)
        else:  # When it hands in its result while the stage runs elsewhere
            first = late[0]
            pool.hand_in(first, pool.made(first.epoch, speech__wav="old"), first.epoch)
            folder = pool.made(frame.epoch, speech__wav="new")
            pool.task.add_done_callback(lambda _: pool.hand_in(frame, folder))

    pool.answer = answer
    with pytest.raises(WorkerLost) as lost:
        run(worker, job)
    assert (lost.value.code, lost.value.with_machine) == ("node-lost", True)
    assert not (job / "speech.wav").exists()
    run(worker, job)
    # Then that is refused, and the later start's is taken
    assert (job / "speech.wav").read_text() == "new"
    assert (pool.refusals.slots, pool.refused) == (["ray gpu 1"], 1)
    assert list(pool.folder.iterdir()) == []


def test_a_result_after_its_worker_was_ended_is_refused(pool: PlayedPool, worker: RemoteWorker, job: Path) -> None:
    def answer(frame: RunStage) -> None:
        async def cancel_first() -> None:
            await worker.stop(0)
            await pool._pass_on(
                Results(slot=frame.slot, host=frame.host, epoch=frame.epoch, line=DONE, folder=pool.made(frame.epoch))
            )

        pool.task = asyncio.ensure_future(cancel_first())

    pool.answer = answer
    with pytest.raises(WorkerDied):
        run(worker, job)
    assert pool.refused == 1


def test_whose_fault_a_loss_is(pool: PlayedPool, worker: RemoteWorker, job: Path) -> None:
    # The stage's own process: the job's. The cluster: nobody's that a machine could be blamed for.
    pool.answer = lambda frame: pool.later(
        HostEnded(slot=frame.slot, host=frame.host, lost=False, code="worker-crashed", reason="SIGSEGV", tail=["last"])
    )
    with pytest.raises(WorkerDied) as died:
        run(worker, job)
    assert not isinstance(died.value, WorkerLost)
    assert died.value.tail == ["last"]
    pool.answer = lambda frame: worker.lose("ray-lost", "The cluster was lost.")
    with pytest.raises(WorkerLost) as lost:
        run(worker, job)
    assert not lost.value.with_machine


def test_a_worker_without_room_is_the_machines_fault(pool: PlayedPool, worker: RemoteWorker, job: Path) -> None:
    async def refuse(frame: FromDaemon) -> bool:
        if isinstance(frame, StartHost):
            worker.take(
                HostEnded(slot=frame.slot, host=frame.host, lost=True, code="ray-no-room", reason="no free GPU.")
            )
        return True

    pool.send = refuse  # type: ignore[method-assign]
    with pytest.raises(MachineError) as caught:
        run(worker, job)
    assert caught.value.code == "ray-no-room"
    assert not worker.alive


@pytest.mark.parametrize("name", ["../spool.json", "/etc/passwd", "said/../../x", ".hidden", "job.json", ""])
def test_no_name_from_another_machine_leads_out_of_the_jobs_folder(tmp_path: Path, job: Path, name: str) -> None:
    made = tmp_path / "made"
    made.mkdir()
    (made / "speech.wav").write_text("sound")
    with pytest.raises(ValueError, match="no name of an artifact"):
        install_results(made, [name], job)
    assert {path.name for path in job.iterdir()} == {"job.json", "source.image"}
    assert (job / "job.json").read_text() == "{}"


def test_the_record_of_a_job_stays_here(job: Path) -> None:
    (job / "said").mkdir()
    (job / "said" / "1").write_text("x")
    (job / "link").symlink_to("/etc/passwd")
    assert list(list_files(job)) == ["said/1", "source.image"]


def test_a_content_that_arrives_damaged_is_not_kept(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "content")
    (tmp_path / "whole").write_bytes(b"one" + b"two")
    sha256 = sha256_of(tmp_path / "whole")
    store.add(sha256, 0, b"one", is_last=False)
    with pytest.raises(ValueError, match="arrived as"):
        store.add(sha256, 3, b"twO", is_last=True)
    assert store.missing([sha256]) == [sha256]
    store.add(sha256, 0, b"one", is_last=False)
    store.add(sha256, 3, b"two", is_last=True)
    assert store.missing([sha256, sha256]) == []
    store.copy(sha256, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == b"onetwo"


def test_which_stages_another_machine_can_run() -> None:
    def job_of(stage: str, **manifest: str) -> Job:
        return Job(id="j", name="x", source="", accepted=0.0, stage=stage, manifest=manifest)

    assert is_portable(job_of("tts", text="Hello.", voice="Anna"))
    assert is_portable(job_of("lipsync", kind="video", avatar="Anna"))
    assert is_portable(job_of("generate", kind="avatar", prompt="a woman"))
    # Profiles are made here
    assert not is_portable(job_of("tts", kind="voice", audio="a.wav"))
    assert not is_portable(job_of("face", kind="avatar", image="a.png"))
    assert not is_portable(job_of("check", kind="batch"))


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Profiles of two people, and what is none."""
    folder = tmp_path / "profiles"
    for profile, name in (
        ("vp-0000000a", "Anna"),
        ("vp-0000000b", "Ben"),
        (".vp-0000000c.x", "Cleo"),
        ("other", "Dan"),
    ):
        (folder / profile).mkdir(parents=True)
        (folder / profile / "profile.yaml").write_text(f"name: {name}\n")
        (folder / profile / "reference.wav").write_text(f"voice of {name}")
    (folder / ".lock").touch()
    return folder


@pytest.mark.parametrize("wanted", ["Anna", " anna ", "xtts/Anna", "VP-0000000A"])
def test_the_recordings_that_a_job_may_speak_with_travel_and_no_others(voices: Path, wanted: str) -> None:
    assert sorted(list_voice_files(voices, [wanted, "heart"])) == [
        "vp-0000000a/profile.yaml", "vp-0000000a/reference.wav", "vp-0000000b/profile.yaml",
    ]  # fmt: skip
    assert sorted(list_voice_files(voices, ["default", ""])) == ["vp-0000000a/profile.yaml", "vp-0000000b/profile.yaml"]
    assert list_voice_files(voices / "none", [wanted]) == {}


def test_a_stage_that_speaks_is_given_the_voices_of_the_manifest_and_of_config(
    pool: PlayedPool, worker: RemoteWorker, job: Path
) -> None:
    pool.answer = lambda frame: pool.hand_in(frame, pool.made(frame.epoch))
    for stage in ("tts", "lipsync"):
        request = RunRequest(job="j", name="hello", stage=stage, dir=job, manifest={"voice": "Anna"})
        asyncio.run(worker.run(request, 30.0, lambda _: None))
    spoken, other = [frame for frame in pool.sent if isinstance(frame, RunStage)]
    assert spoken.profiles == pool._settings.paths.profiles
    assert spoken.voices == ["Anna", pool._settings.stages.tts.voice]
    assert (other.profiles, other.voices) == (None, [])


def test_a_machine_keeps_the_profiles_that_are_here_and_what_it_computed_of_them(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "content")
    (tmp_path / "whole").write_bytes(b"voice")
    voice = sha256_of(tmp_path / "whole")
    store.add(voice, 0, b"voice", is_last=True)
    there = tmp_path / "there"
    received = ReceivedProfiles(there, store)
    records = [Sent(f"vp-0000000{one}/profile.yaml", 5, data=one.encode()) for one in "ab"]
    # Given a voice that was spoken with there, which left something beside it
    received.put_down([*records, Sent("vp-0000000a/reference.wav", 7, sha256=voice)])
    reference = there / "vp-0000000a" / "reference.wav"
    assert (reference.read_bytes(), reference.stat().st_mtime_ns) == (b"voice", 7)
    (there / "vp-0000000a" / "latents.npz").touch()
    # When a job speaks with another one / Then both are kept
    received.put_down(records)
    assert reference.exists()
    assert (there / "vp-0000000a" / "latents.npz").exists()
    # When the profile was made again / Then nothing of the earlier one is left
    received.put_down([Sent("vp-0000000a/profile.yaml", 5, data=b"new"), records[1]])
    assert [path.name for path in (there / "vp-0000000a").iterdir()] == ["profile.yaml"]
    # When it was removed here / Then it is removed there, with its voice
    received.put_down([*records, Sent("vp-0000000a/reference.wav", 7, sha256=voice)])
    received.put_down(records[1:])
    assert [path.name for path in there.iterdir()] == ["vp-0000000b"]
    assert store.missing([voice]) == [voice]
    with pytest.raises(ValueError, match="no name of an artifact"):
        received.put_down([Sent("../x", 5, data=b"x")])
