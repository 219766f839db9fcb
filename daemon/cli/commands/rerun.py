"""`avatar jobs rerun`: hand in an earlier job again, with what is to be different."""

from __future__ import annotations

from pathlib import Path

import click

from daemon.cli.commands.submit import (
    checked_name,
    file_options,
    files_of,
    hand_in_and_tell,
    hand_in_options,
    manifest_of,
)
from daemon.cli.common import Shell, json_option
from daemon.cli.complete import complete_jobs
from daemon.doors.job_names import next_name
from daemon.doors.words import option_of
from daemon.errors import RefusedError


@click.command()
@click.argument("wanted", metavar="JOB", shell_complete=complete_jobs)
@file_options
@click.option(
    "--name", "-n", help="Name of the result; default: the next version of the earlier one, such as hello-v2."
)
@hand_in_options
@json_option
@click.pass_obj
def rerun(
    shell: Shell,
    /,
    wanted: str,
    name: str | None,
    pairs: tuple[str, ...],
    key: str | None,
    wait: bool,
    timeout: float,
    as_json: bool,
    **given: Path | None,
) -> None:
    """Make JOB (by id or by name) again, with what --set says otherwise: a new job with the same files and seeds.

    \b
    Example:
      avatar jobs rerun hello --set text="Good evening." --wait
    """
    job, before = _job(shell, wanted)
    files = files_of(given)
    wording = option_of(files)
    manifest, files = manifest_of(pairs, {"base": job}, files)
    result = next_name(shell.settings.paths.outbox, before) if name is None else checked_name(name)
    hand_in_and_tell(shell, manifest, files, result, key or "", (), wording, chosen=name is None, wait=wait,
                     timeout=timeout, as_json=as_json)  # fmt: skip


def _job(shell: Shell, wanted: str) -> tuple[str, str]:
    """Return the id of a job and the name of its result.

    Raises:
        AvatarError: `job-unknown`, `job-waiting`.
    """
    from daemon.cli import outbox_view
    from daemon.cli.job_lookup import find

    if shell.spool_closed:
        status = outbox_view.find_status(shell, wanted)
        return str(status["job"]), str(status["name"])
    job = find(shell, wanted)
    if not job.id or job.state == "waiting":
        raise RefusedError(
            "job-waiting", f"{job.source} is still in the inbox, and no job yet.", "Change the manifest there."
        )
    return job.id, job.name
