"""Makes one video in the foreground, without a service: a daemon of its own, on a folder of its own, for one job.

The folder's name follows from what is asked for, so that calling again after an interruption goes on where it was. The folder is
removed when the job has ended. Where a daemon runs on the configuration already, the job is handed in there and waited for.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from daemon.config import Settings
from daemon.doors.client.client import Client, load_settings
from daemon.doors.client.job import Job
from daemon.doors.client.status import JobStatus, Result
from daemon.doors.file_lock import hold_lock
from daemon.doors.keys import request_digest
from daemon.doors.replaced_source import replaced_source
from daemon.doors.shared_files import file_digest
from daemon.doors.standstill import Absence
from daemon.errors import AvatarError, ConfigError, JobError, UnavailableError
from daemon.jobs.kinds import KINDS
from daemon.jobs.manifest import COMPANIONS
from daemon.jobs.video_files import SOUND_ENDINGS, VIDEO_ENDINGS
from daemon.queue.lock import lock_holder
from daemon.system import fs
from daemon.system.installation import user_cache
from daemon.system.permissions import check_right
from daemon.system.process import die_with_parent

#: Called with the job's status at each change.
Progress = Callable[[JobStatus], None]

#: How long the private daemon may take to end, in s; then it is killed, and what it was at is done again.
END_S = 15.0
#: Where foreground runs take turns on the graphics card, whoever started them.
GPU_LOCK = Path(tempfile.gettempdir()) / "avatard-foreground.lock"
#: How long the folder of an interrupted run is kept, in s.
KEPT_S = 7 * 86_400.0
#: Devices that are there where CUDA or ROCm may use a graphics card.
GPU_DEVICES = (Path("/dev/nvidiactl"), Path("/dev/kfd"))
#: Endings of results that are brought beside the main one: who gets captions in a file has asked for it.
CAPTIONS = (".srt", ".vtt")
_LINES = 5  # of the private daemon's log, in an error


def render(
    text: str | None,
    image: Path | str | None,
    out: Path | str,
    *,
    config: Path | str | Settings | None = None,
    progress: Progress | None = None,
    timeout: float | None = None,
    beside: Collection[str] = (),
    **keys: Any,
) -> Result:
    """Make one video (or whatever `kind` asks for) and put it at `out`. It needs no daemon.

    Ctrl-C, or any exception in `progress`, ends the work; calling again with the same arguments resumes it. A job that was handed
    in to a daemon is cancelled then, and calling again makes a new one.

    Args:
        text: what is said; None with `audio`.
        image: the portrait; None where the kind needs none.
        out: the file to write; an existing one is replaced when the new one is whole. Its ending names the format of a video or
            sound, unless `format` is given.
        config: as for `Client`; without any configuration the defaults hold.
        progress: called with the status at each change.
        timeout: longest time in s, the wait for the graphics card included; None: without end.
        beside: endings of further results, such as ".jpg" for the poster, that are put beside `out`, under its name with their
            ending. Caption files always are.
        keys: other keys of the manifest, such as `quality="draft"`.

    Returns:
        How it ended; `output` is `out` where it succeeded, and the last of `outputs`.

    Raises:
        JobError: the manifest is wrong.
        AvatarError: `answer-late`; `daemon-absent`: the daemon that it was handed in to has been gone for a while;
            `foreground-failed`: the private daemon ended, with its last lines; `not-allowed`.
        OSError: `out` cannot be written, or is a file that the video is made from.
    """
    given = {"text": text, "image": image, **keys}
    manifest = {key: value for key, value in given.items() if value is not None}
    target = Path(out).absolute()
    _take_format(manifest, target)
    if target.is_dir():
        raise IsADirectoryError(21, "Is a folder; name a file in it", str(target))
    if not target.parent.is_dir():
        raise FileNotFoundError(2, "No such folder", str(target.parent))
    check_right(target.parent, "write")
    if (place := replaced_source(manifest, target, beside)) is not None:
        raise FileExistsError(17, "Is a source of this job, and would be replaced; name another file", str(place))
    settings, deadline = _settings(config), None if timeout is None else time.monotonic() + timeout
    wanted = {*CAPTIONS, *beside}
    if _runs(settings):
        job = Client(settings).submit(manifest)
        with _cancelled_on_interrupt(job):
            return _finish(job, target, wanted, progress, deadline, _service_check(settings, job))
    with _private_folder(manifest, settings) as folder, _gpu_turn(deadline):
        try:
            job = Client(folder / "config.yaml").submit(manifest, name="result", key="foreground")
        except AvatarError:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        with _daemon(folder):
            result = _finish(job, target, wanted, _without_standstill(progress), deadline, _private_check(folder))
        # A job that failed would fail again; one that was interrupted goes on.
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _take_format(manifest: dict[str, Any], target: Path) -> None:
    """Write the format that the ending of `target` names into a manifest that has none.

    Raises:
        JobError: `manifest-invalid`: it names one that is not made.
    """
    kind, ending = KINDS.get(str(manifest.get("kind", "video"))), target.suffix.lower()
    if kind is None or not ending or not manifest.keys().isdisjoint(("format", "base")):
        return
    endings = VIDEO_ENDINGS if kind.makes_video else SOUND_ENDINGS if kind.makes_sound else ()
    if ending in endings:
        manifest["format"] = ending[1:]
    elif endings:
        raise JobError(
            "manifest-invalid",
            f"{target.name} names a format that is not made here.",
            f"End it in {', '.join(endings)}, or give `format`.",
        )


def _settings(config: Path | str | Settings | None) -> Settings:
    if isinstance(config, Settings):
        return config
    try:
        return load_settings(config)
    except ConfigError as exc:
        if config is not None or exc.code != "config-missing":
            raise
        return Settings.parse({}, Path("config.yaml"))


def _runs(settings: Settings) -> bool:
    """Return whether a daemon runs on these settings. Where the spool is closed to us, it is a service's, which we hand in to.

    Raises:
        AvatarError: `not-allowed`: we may not hand in to it either.
    """
    try:
        return lock_holder(settings.paths.spool / "lock") is not None
    except PermissionError:
        check_right(settings.paths.inbox, "write")
        return True


@contextlib.contextmanager
def _private_folder(manifest: Mapping[str, Any], settings: Settings) -> Iterator[Path]:
    """Yield the folder of a request, locked: who asks for the same at once waits for the first, and then begins anew."""
    files = {key: Path(value) for key, value in manifest.items() if key in COMPANIONS and _is_file(value)}
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in manifest.items()}
    digest = request_digest(plain, {key: file_digest(path) for key, path in files.items()})
    shown = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    name = hashlib.sha256(f"{digest} {shown}".encode()).hexdigest()[:24]
    above = user_cache() / "foreground"
    above.mkdir(parents=True, exist_ok=True, mode=0o700)
    with hold_lock(above / f"{name}.lock", remove=True):
        folder = above / name
        for part in ("inbox", "outbox", "spool"):
            (folder / part).mkdir(parents=True, exist_ok=True, mode=0o700)
        _write_config(folder, settings)
        _clear_old(above, folder)
        yield folder


def _clear_old(above: Path, folder: Path) -> None:
    """Remove the folders of interrupted runs that nobody has resumed, and the locks of runs that were killed."""
    for other in list(above.iterdir()):
        with contextlib.suppress(OSError, AvatarError):
            if other.stem != folder.name and time.time() - other.stat().st_mtime > KEPT_S:
                with hold_lock(other.with_suffix(".lock"), deadline=0.0, remove=True):
                    if other.is_dir():
                        shutil.rmtree(other)


def _is_file(value: Any) -> bool:
    return isinstance(value, str | Path) and Path(value).is_file()


def _write_config(folder: Path, settings: Settings) -> None:
    raw = settings.model_dump(mode="json")
    # The index of jobs is of one installation; nothing is left where there is none.
    raw["paths"] |= {name: str(folder / name) for name in ("inbox", "outbox", "spool")}
    raw["paths"]["history"] = str(folder / "spool" / "history")
    if not settings.paths.cache.is_dir():
        raw["paths"]["cache"] = str(folder.parent.parent / "cache")
    # Whole files are brought into the inbox by us alone: no rest of one is waited for where a file cannot be read.
    raw["intake"] |= {"settle_unknown_s": 0.0, "settle_mb_s": 0.0}
    raw["metrics"] = {"enabled": False}
    raw["heartbeat"] = {"every_s": 0}
    raw["log"] = {"level": "warning", "format": "json"}
    raw["lanes"] |= {"preload": False, "drain_s": 0}
    fs.replace_bytes(folder / "config.yaml", yaml.safe_dump(raw).encode(), durable=False)


@contextlib.contextmanager
def _gpu_turn(deadline: float | None) -> Iterator[None]:
    """Wait until no other foreground run of this machine may use the graphics card, where there is one."""
    if not any(device.exists() for device in GPU_DEVICES):
        yield
        return
    with hold_lock(GPU_LOCK, deadline):
        yield


@contextlib.contextmanager
def _daemon(folder: Path) -> Iterator[None]:
    """Run a daemon on a private folder. It ends with this process, however that ends."""
    command = [sys.executable, "-m", "daemon", "--config", str(folder / "config.yaml")]
    environment = {key: value for key, value in os.environ.items() if key not in ("NOTIFY_SOCKET", "WATCHDOG_USEC")}
    with (folder / "daemon.log").open("ab") as log:
        # A session of its own: Ctrl-C of the terminal comes to us alone, and we end it in order.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
            # The kernel counts the thread that forks as the parent, and another thread may end before the work.
            preexec_fn=die_with_parent if threading.current_thread() is threading.main_thread() else None,
        )
    _RUNNING[folder] = process
    try:
        yield
    finally:
        del _RUNNING[folder]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


#: The private daemons of this process, by their folder.
_RUNNING: dict[Path, subprocess.Popen[bytes]] = {}


def _finish(
    job: Job,
    target: Path,
    beside: Collection[str],
    progress: Progress | None,
    deadline: float | None,
    check_work: Callable[[], str],
) -> Result:
    """Wait for a job and bring its main result to `target`, and those with an ending in `beside` next to it.

    Args:
        check_work: raises where nobody works on the job any more; returns what to do where the time is over.
    """
    status = _last(job, progress, deadline, check_work)
    result = Result.of(status)
    if result.output is None:
        return result
    stem = Path(status.name).name
    endings = [path.name.removeprefix(stem) for path in result.outputs[:-1]]
    further = [
        (path, target.with_name(f"{target.stem}{ending}"))
        for path, ending in zip(result.outputs, endings, strict=False)
        if ending in beside
    ]
    placed = (*further, (result.output, target))
    for source, place in placed:
        _bring(source, place)
    return Result(
        True, result.state, target, tuple(place for _, place in placed), result.stages_completed, None, result.warnings
    )


@contextlib.contextmanager
def _cancelled_on_interrupt(job: Job) -> Iterator[None]:
    """Cancel a job of the service when whoever waits for it is interrupted. It goes on where only the time for it is over."""
    try:
        yield
    except AvatarError:
        raise
    except BaseException:
        with contextlib.suppress(
            AvatarError, OSError
        ):  # it has ended, or the answer is late: the interrupt matters more
            job.cancel()
        raise


def _bring(source: Path, target: Path) -> None:
    with fs.artifact(target) as temporary, source.open("rb") as file:
        fs.OPS.copy(file.fileno(), temporary, os.fstat(file.fileno()).st_size)


def _last(job: Job, progress: Progress | None, deadline: float | None, check_work: Callable[[], str]) -> JobStatus:
    last = None
    while True:
        status = job.status
        if status != last:
            last = status
            if progress is not None:
                progress(status)
        if status.is_finished:
            return status
        what_next = check_work()
        if deadline is not None and time.monotonic() > deadline:
            raise UnavailableError("answer-late", f"The job {job.id} is not finished yet.", what_next)
        time.sleep(0.1)


def _service_check(settings: Settings, job: Job) -> Callable[[], str]:
    """Return the check of a service that a job was handed in to."""
    absence = Absence(lambda: _runs(settings), job.id)

    def check() -> str:
        absence.check()
        return f"It goes on; its results come into the outbox, and `avatar jobs show {job.id}` says when."

    return check


def _without_standstill(progress: Progress | None) -> Progress | None:
    """Return what is told the same of a private daemon's job, without its standstill: that daemon is only being started."""
    return None if progress is None else lambda status: progress(replace(status, standstill=""))


def _private_check(folder: Path) -> Callable[[], str]:
    """Return the check of the private daemon on a folder."""

    def check() -> str:
        if (code := _RUNNING[folder].poll()) is not None:
            raise _ended(folder, code)
        return "Call again to go on."

    return check


def _ended(folder: Path, code: int) -> AvatarError:
    lines = (folder / "daemon.log").read_text(errors="replace").splitlines()[-_LINES:]
    return UnavailableError(
        "foreground-failed",
        f"The work ended with exit code {code}: {' '.join(lines)}",
        f"{folder / 'daemon.log'} says more; `avatar doctor` looks at the installation.",
    )
