"""The last stage: publishes the results in the outbox, each one complete and exactly once.

Each result is copied to a dot file (a part) on the outbox's filesystem and flushed. `delivery.json` in the job's folder then
records the final names, and only then are the parts renamed. After a crash, a missing part was already renamed (even if
somebody has removed the result since), and an existing part is renamed now.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from daemon.errors import MachineError
from daemon.system import fs, subfolders
from daemon.system.json_files import replace_json
from daemon.system.mount_guard import MountGuard
from stages.context import Context
from stages.facts import DeliveryFacts, Output

CHUNK = 1 << 20  # bytes


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
        outputs = _copy_results(ctx)
        replace_json(plan, outputs)
    for output in outputs:
        _publish_part(ctx, output, outputs, plan)
    return outputs


def _copy_results(ctx: Context) -> list[PlannedOutput]:
    """Copy every result to a part in the outbox and flush it; an incomplete part of an earlier attempt is replaced."""
    outbox = ctx.settings.paths.outbox
    found = [(name, ending) for name, ending in ctx.manifest.kind_of_job.results if ctx.path(name).exists()]
    total = sum(ctx.path(name).stat().st_size for name, _ in found) or 1
    outputs: list[PlannedOutput] = []
    done = 0
    parts = [outbox / f".{ctx.job_id}{ending}.part" for _, ending in found]
    try:
        for (name, ending), part in zip(found, parts, strict=True):
            fs.remove(part)
            size, digest = _copy(ctx.path(name), part)
            done += size
            ctx.progress(done / total)
            outputs.append(
                {"file": f"{ctx.name}{ending}", "ending": ending, "part": part.name, "bytes": size, "sha256": digest}
            )
        fs.OPS.sync_dir(outbox)
    except OSError:
        for part in parts:  # the outbox may be full
            fs.remove(part)
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
    """Rename a part to its final name. If the name is taken, append the job id to it and record that first; if something else
    stands in the place of its folder, it is put into the outbox itself.
    """
    outbox = ctx.settings.paths.outbox
    part = outbox / output["part"]
    if not part.exists():
        return
    if (stem := subfolders.fallback_name(outbox, ctx.name, ctx.job_id)) is not None:
        output["file"] = f"{stem}{output['ending']}"
        replace_json(plan, outputs)
    if not _publish(part, outbox, output["file"]):
        output["file"] = f"{stem or ctx.name}-{ctx.job_id}{output['ending']}"
        replace_json(plan, outputs)
        if not _publish(part, outbox, output["file"]):
            raise FileExistsError(f"{output['file']} is already in the outbox")


def _publish(part: Path, outbox: Path, name: str) -> bool:
    """Rename a part to its path below the outbox. False: it is taken."""
    folder, file = subfolders.split(name)
    with subfolders.opened(outbox, folder, make=True) as path:
        return fs.publish(part, path / file)
