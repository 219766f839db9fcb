"""What can be told of the service from the outbox alone, to people who may drop jobs and take results, and nothing more.

Everybody in their group can write there: what is read is bounded, checked, and made fit to be shown.
"""

from __future__ import annotations

import contextlib
import http.client
import json
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from daemon import __version__
from daemon.cli.common import Shell, disk_room, note
from daemon.cli.job_lookup import which_is_meant
from daemon.config.settings import Metrics
from daemon.errors import AvatarError, JobError, RefusedError, UnavailableError, escape_unprintable
from daemon.history.database import HistoryError
from daemon.history.history import History
from daemon.intake.scanner import InboxScanner
from daemon.jobs.iso_time import iso
from daemon.jobs.record import FINISHED
from daemon.jobs.stages import STAGES
from daemon.jobs.untrusted import printable, read_manifest
from daemon.outbox.checked_status import checked
from daemon.outbox.names import clean_path
from daemon.outbox.outbox import VOICES, Outbox
from daemon.system.permissions import access_error, check_right, explain_refusal

if TYPE_CHECKING:
    from stages.tts.engines.voice_list import VoiceRow

#: More than a list of ten thousand voices.
MAX_LIST_BYTES = 8 * 2**20
#: How long the daemon is waited for, in s, by those who only want to know whether it is there.
HEALTH_S = 2.0


def voices_closed(shell: Shell) -> AvatarError | None:
    """Return why whoever asks may not look into the folders that voices are in; None where they may."""
    paths = shell.settings.paths
    refused = next(filter(None, map(access_error, (paths.models, paths.profiles))), None)
    return None if refused is None else explain_refusal(refused)


def voices(shell: Shell, refused: AvatarError) -> list[VoiceRow]:
    """Return the list that the daemon has published.

    Raises:
        AvatarError: `not-allowed`, where there is none.
    """
    from stages.tts.engines.voice_list import VoiceRow

    outbox = shell.settings.paths.outbox
    try:
        record = json.loads(read_manifest(outbox, VOICES, MAX_LIST_BYTES))
        found = TypeAdapter(list[VoiceRow]).validate_python(record["voices"])
        made = escape_unprintable(str(record.get("at")))
    except (JobError, OSError, ValidationError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise UnavailableError(
            refused.code,
            f"{refused.message} There is no list of voices in {outbox} either, which the daemon publishes when it runs.",
            refused.hint,
        ) from exc
    note(f"You may not read the folders of the voices, so this is the list that the daemon published at {made}.")
    return found


def statuses(shell: Shell) -> Iterator[dict[str, Any]]:
    """The status of every job that has one in the outbox, and manifests in the inbox that nobody has looked at, in no order.

    Raises:
        PermissionError: the outbox may not be read either.
    """
    outbox, waiting = Outbox(shell.settings.paths.outbox), set()
    for name in outbox.names():
        if (status := checked(name, outbox.read_status(name))) is not None:
            if status["state"] == "waiting":
                waiting.add(status.get("source"))
            with contextlib.suppress(RecursionError):  # nested deeper than any of ours
                yield _shown(status)
    with contextlib.suppress(OSError):
        for drop in InboxScanner(shell.settings.paths.inbox, shell.settings).look():
            if (source := printable(drop.name)) not in waiting:
                yield {
                    "job": None,
                    "name": clean_path(drop.name if shell.settings.intake.subfolders else "", drop.stem),
                    "state": "waiting",
                    "source": source,
                    "accepted": iso(drop.look.ctime_ns / 1e9),
                }


def find_status(shell: Shell, wanted: str) -> dict[str, Any]:
    """Return the status of a job by its id, its name, or its manifest's path; of several the latest.

    Raises:
        AvatarError: `job-unknown`; `not-allowed`: the outbox may not be read.
    """
    with contextlib.suppress(HistoryError):  # then all are looked at
        row = History(shell.settings.paths.history).get(wanted)
        status = row and checked(row.name, Outbox(shell.settings.paths.outbox).read_status(row.name))
        if row and status and status["job"] == row.job:
            return dict(_shown(status))
    found = [one for one in statuses(shell) if wanted in (one["job"], one["name"]) or _unclaimed(one) == wanted]
    if not found:
        check_right(shell.settings.paths.outbox, "read")
        way = which_is_meant(wanted, (str(one["name"]) for one in statuses(shell)))
        raise RefusedError("job-unknown", f"The outbox has no status of a job {wanted}.", way)
    return max(found, key=lambda one: one.get("accepted") or "")


def status_overview(shell: Shell) -> dict[str, Any]:
    """As `daemon.cli.status_snapshot.status_overview`, as far as it can be told from here. `health`: see `health`."""
    paths, found = shell.settings.paths, list(statuses(shell))
    states = Counter(one["state"] for one in found)
    ended = sorted((one for one in found if one["state"] in FINISHED), key=lambda one: one.get("finished") or "")
    return {
        "version": __version__,
        "source": "outbox",
        "health": health(shell.settings.metrics),
        "daemon": None,
        "paused": {},
        "paused_lanes": {},
        "slots": [],
        "unwatched": None,
        "models": [],
        "queues": {stage: _queue([one for one in found if one.get("stage") == stage]) for stage in STAGES},
        "held": states["held"],
        "failed": states["failed"] + states["cancelled"],
        "done": states["done"],
        "waiting": states["waiting"],
        "running": [
            {
                "job": one["job"],
                "name": one["name"],
                "stage": one["stage"],
                "since": None,
                "progress": one.get("progress"),
                "eta_s": one.get("eta_s"),
            }
            for one in found
            if one["state"] == "running" and one.get("stage")
        ],
        "ended": [_ending(one) for one in reversed(ended[-10:])],
        "disk": {"outbox": disk_room(paths.outbox)},
        "gpus": [],
        "hooks": [],
    }


def health(settings: Metrics) -> str | None:
    """Return the first line of /healthz, "" where nothing answers, None where the daemon serves none that we could know of."""
    if not (settings.enabled and settings.port):
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)
    connection = http.client.HTTPConnection(host, settings.port, timeout=HEALTH_S)
    try:
        connection.request("GET", "/healthz")
        line = connection.getresponse().read(1000).decode("utf-8", "replace").partition("\n")[0]
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()
    return escape_unprintable(line).strip()


def _unclaimed(status: dict[str, Any]) -> str | None:
    return status.get("source") if status["state"] == "waiting" else None


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return escape_unprintable(value)
    if isinstance(value, dict):
        return {escape_unprintable(str(key)): _shown(item) for key, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


def _queue(found: list[dict[str, Any]]) -> dict[str, Any]:
    queued = [one for one in found if one["state"] == "queued"]
    return {
        "ready": len(queued),
        "active": sum(one["state"] == "running" for one in found),
        "oldest": min((one["accepted"] for one in queued if one.get("accepted")), default=None),
    }


def _ending(status: dict[str, Any]) -> dict[str, Any]:
    error = status.get("error") or {}
    return {
        "job": status["job"],
        "name": status["name"],
        "state": status["state"],
        "finished": status.get("finished"),
        "took_s": None,
        "code": error.get("code"),
        "fault": error.get("fault"),
    }
