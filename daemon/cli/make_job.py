"""Makes what one command asks for and waits for it: by the service where it runs, else here (`daemon.doors.render`)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.common import Shell
from daemon.cli.progress_view import StandstillNotes, progress_view
from daemon.jobs.video_files import SOUND_ENDINGS, VIDEO_ENDINGS

if TYPE_CHECKING:
    from daemon.doors.client.status import JobStatus, Result
    from daemon.doors.hand_in import Wording


def make(
    shell: Shell,
    keys: Mapping[str, Any],
    target: Path,
    wording: Wording,
    *,
    quiet: bool,
    timeout: float | None = None,
    beside: Collection[str] = (),
) -> Result:
    """Make one job and put its main result at `target`. Ctrl-C cancels it.

    Args:
        keys: of its manifest; files are paths.
        wording: as for `daemon.doors.hand_in.check`.
        quiet: no progress is shown.
        timeout: longest wait, s; None: without end.
        beside: as for `render`.

    Raises:
        click.UsageError: a result would replace a file that it is made from.
        AvatarError, OSError: as `render`.
    """
    from daemon.doors.hand_in import check
    from daemon.doors.render import render
    from daemon.doors.replaced_source import replaced_source
    from daemon.doors.shared_files import usual_names

    if (replaced := replaced_source(keys, target, beside)) is not None:
        raise click.UsageError(f"The result is made from {replaced}, which would be replaced: name another --output.")

    given = {key: value for key, value in keys.items() if value is not None}
    files = {key: value for key, value in given.items() if isinstance(value, Path)}
    check({**given, **usual_names(files)}, (), wording)

    others = {key: value for key, value in keys.items() if key not in ("text", "image")}
    notes = StandstillNotes()
    with progress_view(quiet=quiet) as shown:

        def progress(status: JobStatus) -> None:
            shown(status.state, status.stage, status.progress)
            notes.tell(status.standstill)

        return render(keys.get("text"), keys.get("image"), target, config=shell.settings_or_defaults, progress=progress,
                      timeout=timeout, beside=beside, **others)  # fmt: skip


def format_of(output: Path, keys: Mapping[str, Any]) -> dict[str, str]:
    """Return the `format` that a file's ending names, as the part of a manifest; {} where the manifest has one already.

    Raises:
        click.BadParameter: the ending is one of a format that cannot be made, or of another than the manifest's.
    """
    ending, wanted = output.suffix.lower(), keys.get("format")
    makes = SOUND_ENDINGS if keys.get("kind") == "speech" else VIDEO_ENDINGS
    if not ending or (wanted is not None and ending == f".{str(wanted).lower()}"):
        return {}
    if wanted is not None:
        raise click.BadParameter(f"{output} does not end in .{wanted}, as `format` says.", param_hint="--output")
    if ending not in makes:
        raise click.BadParameter(
            f"{output} names a format that is not made here: end it in {', '.join(makes)}.", param_hint="--output"
        )
    return {"format": ending[1:]}


def result_json(result: Result) -> dict[str, Any]:
    """Return what `--json` says of a result."""
    error = result.error
    return {
        "success": result.success,
        "state": result.state,
        "output": None if result.output is None else str(result.output),
        "outputs": [str(path) for path in result.outputs],
        "stages_completed": list(result.stages_completed),
        "warnings": list(result.warnings),
        "error": None if error is None else {"code": error.code, "message": error.message, "hint": error.hint},
    }


def tell_result(result: Result) -> None:
    """Print the paths of the results, the main one last; warnings and an error on standard error."""
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    if result.error is not None:
        click.echo(f"{result.state} ({result.error.code}): {result.error.message} {result.error.hint}", err=True)
    for path in result.outputs:
        click.echo(str(path))
