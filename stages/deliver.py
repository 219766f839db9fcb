"""The last stage: publishes the results in the outbox, each one complete and exactly once.

Each result is copied to a dot file (a part) on the outbox's filesystem and flushed. `delivery.json` in the job's folder then
records the final names, and only then are the parts renamed. After a crash, a missing part was already renamed (even if
somebody has removed the result since), and an existing part is renamed now.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from daemon.errors import MachineError
from daemon.jobs.facts import Output
from daemon.system import fs, subfolders
from daemon.system.json_files import replace_json
from daemon.system.mount_guard import MountGuard
from stages.context import Context
from stages.facts import DeliveryFacts

log = logging.getLogger(__name__)

CHUNK = 1 << 20  # bytes
#: How often results are copied while people take the copies away.
TRIES = 5


class PlannedOutput(Output):
    """An entry of `delivery.json`: a result, the ending of its name, and the name of its part in the outbox."""

    ending: str
    part: str


def run(ctx: Context) -> DeliveryFacts:
    """Publish the results.

    Returns:
        The results, the main one last.

    Raises:
        MachineError: `outbox-unusable`, or what `daemon.system.mount_guard` raises.
    """
    if not os.access(ctx.settings.paths.outbox, os.W_OK | os.X_OK):
        raise MachineError(
            "outbox-unusable",
            f"{ctx.settings.paths.outbox} is missing or not writable.",
            "Mount the outbox or correct its permissions; work then resumes by itself.",
        )
    paths = ctx.settings.paths
    with MountGuard(paths.outbox, paths.spool / "outbox.json", "outbox").held(adopt=False):
        outputs = _publish_results(ctx)
    return {"outputs": [Output(file=one["file"], bytes=one["bytes"], sha256=one["sha256"]) for one in outputs]}


def _publish_results(ctx: Context) -> list[PlannedOutput]:
    plan = ctx.path("delivery.json")
    if plan.exists():
        outputs: list[PlannedOutput] = json.loads(plan.read_bytes())
    else:
        outputs = _copy_all(ctx)
        replace_json(plan, outputs)
    for output in outputs:
        _publish_part(ctx, output, outputs, plan)
    return outputs


def _copy_all(ctx: Context) -> list[PlannedOutput]:
    """Copy the results until all parts are there: from the plan on, one that is missing counts as published.

    Raises:
        FileNotFoundError: somebody removes them again and again.
    """
    for _ in range(TRIES):
        outputs = _copy_results(ctx)
        missing = [one["part"] for one in outputs if not os.path.lexists(ctx.settings.paths.outbox / one["part"])]
        if not missing:
            return outputs
        log.warning("somebody removed %s from the outbox", ", ".join(missing))
    raise FileNotFoundError(f"somebody removes {missing[0]} from the outbox before it is a result")


def _copy_results(ctx: Context) -> list[PlannedOutput]:
    """Copy every result to a part in the outbox and flush it; parts of an earlier attempt are removed."""
    outbox = ctx.settings.paths.outbox
    for left in outbox.glob(f".{ctx.job_id}*.part"):
        fs.discard(left)
    found = [(name, ending) for name, ending in ctx.manifest.kind_of_job.results if ctx.path(name).exists()]
    total = sum(ctx.path(name).stat().st_size for name, _ in found) or 1
    outputs: list[PlannedOutput] = []
    done = 0
    # Unpredictable, so that nobody can put a folder there that cannot be removed.
    parts = [outbox / f".{ctx.job_id}.{secrets.token_hex(6)}{ending}.part" for _, ending in found]
    try:
        for (name, ending), part in zip(found, parts, strict=True):
            size, digest = _copy(ctx.path(name), part)
            done += size
            ctx.progress(done / total)
            outputs.append(
                {"file": f"{ctx.name}{ending}", "ending": ending, "part": part.name, "bytes": size, "sha256": digest}
            )
        fs.OPS.sync_dir(outbox)
    except OSError:
        for part in parts:  # the outbox may be full
            fs.discard(part)
        raise
    return outputs


def _copy(source: Path, part: Path) -> tuple[int, str]:
    fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        fs.OPS.copy(fd, part, size)
        digest = hashlib.sha256()
        os.lseek(fd, 0, os.SEEK_SET)
        while chunk := os.read(fd, CHUNK):
            digest.update(chunk)
    finally:
        os.close(fd)
    return size, digest.hexdigest()


def _publish_part(ctx: Context, output: PlannedOutput, outputs: list[PlannedOutput], plan: Path) -> None:
    """Rename a part to its final name. If the name is taken or its folder refuses it, it gets another one, which is recorded
    first.

    Raises:
        FileExistsError: people have put something in the place of every name.
        OSError: the outbox itself refuses it.
    """
    outbox = ctx.settings.paths.outbox
    part = outbox / output["part"]
    if not os.path.lexists(part):
        return
    for name in dict.fromkeys((output["file"], *_other_names(ctx, output["ending"]))):
        if name != output["file"]:
            output["file"] = name
            replace_json(plan, outputs)
        try:
            if subfolders.publish_into(outbox, part, name, durable=True):
                return
        except subfolders.UnusableFolderError as exc:
            log.warning("folder of the outbox refuses %s: %s", name, exc.strerror)
    raise FileExistsError(f"{output['file']} is already in the outbox")


def _other_names(ctx: Context, ending: str) -> Iterator[str]:
    """Yield names for a result that cannot have its own: in its folder, in the outbox itself, and one that nobody foresees."""
    with_id = subfolders.fallback_name(ctx.name, ctx.job_id)
    yield subfolders.join(subfolders.split(ctx.name)[0], f"{with_id}{ending}")
    yield f"{with_id}{ending}"
    yield f"{with_id}-{secrets.token_hex(4)}{ending}"
