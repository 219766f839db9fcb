"""What keys of a manifest do wrong together: what a kind of job refuses or lacks, and values that exclude each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, get_args

from daemon.jobs.generated import GENERATED_SHAPES
from daemon.jobs.kinds import Kind
from daemon.jobs.manifest_values import meant_seconds
from daemon.jobs.named_words import word_places
from daemon.jobs.video_files import SoundFormat, choose_sound_format, choose_video_format

if TYPE_CHECKING:
    from daemon.jobs.manifest import Manifest


class Conflict(NamedTuple):
    """What keys do wrong together.

    Attributes:
        path: to the value where it shows; () where something is missing.
        message: a sentence without its full stop.
        hint: what to do, where the message does not say it.
        needs: the keys of which one is lacking.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    needs: tuple[str, ...] = ()


class ConflictsError(ValueError):
    """Keys of a manifest do not go together.

    Attributes:
        conflicts: all of them.
    """

    def __init__(self, conflicts: Sequence[Conflict]) -> None:
        super().__init__("; ".join(conflict.message for conflict in conflicts))
        self.conflicts = conflicts


def kind_conflicts(
    kind: Kind, given: Callable[[str], bool], meant: Callable[[str], bool] | None = None
) -> Iterator[Conflict]:
    """Yield what a kind of job refuses and what it lacks.

    Args:
        given: whether a key is given.
        meant: whether a key is given, perhaps by another name; default: as `given`.
    """
    for keys, message in kind.refused(given):
        yield Conflict((keys[-1],), message)
    for keys, message in kind.missing(meant or given):
        yield Conflict((), message, kind.needed, keys)


def conflicts_of(manifest: Manifest) -> Iterator[Conflict]:
    """Yield what keys that are right by themselves do wrong together."""

    def given(key: str) -> bool:
        return getattr(manifest, key) is not None

    kind = manifest.kind_of_job
    yield from kind_conflicts(kind, given)
    if "generate" in manifest.stages:
        if not (manifest.prompt or "").strip():
            yield Conflict(("prompt",), "`prompt` is empty", "Describe a person.")
        if manifest.aspect not in (None, *GENERATED_SHAPES):
            yield Conflict(
                ("aspect",), f"`aspect` must be {', '.join(GENERATED_SHAPES)} with `prompt`, not {manifest.aspect}"
            )
    for index, expression in enumerate(manifest.expressions):
        if isinstance(expression.at, str) and not word_places(expression.at, [manifest.text or ""]):
            moment = f"at: {meant_seconds(expression.at):g}"
            yield Conflict(
                ("expressions", index, "at"),
                f"`expressions` names the word “{expression.at}”, which `text` does not contain",
                f"Write a whole word as it stands there, or seconds without quotes, such as `{moment}`.",
            )
    try:
        if kind.makes_video:
            choose_video_format(manifest.format, manifest.codec, kind.draws and manifest.background == "transparent")
        if kind.makes_sound:
            choose_sound_format(manifest.format)
    except ValueError as exc:
        # Only of these can the message speak.
        about_format = kind.makes_sound or not kind.draws or manifest.format in get_args(SoundFormat)
        key = "format" if about_format else "background" if manifest.format == "mp4" or not manifest.codec else "codec"
        yield Conflict((key,), str(exc))
    if "transcode" in kind.stages:
        yield from _conflicts_of_conversion(manifest)


def _conflicts_of_conversion(manifest: Manifest) -> Iterator[Conflict]:
    if manifest.subtitles and manifest.captions == "none":
        yield Conflict(
            ("subtitles",),
            "`subtitles` is given without `captions`",
            "Write `captions: burn` to see them in the video, or `captions: srt` or `vtt` for a file beside it.",
        )
    if manifest.captions != "none" and not manifest.subtitles:
        yield Conflict(
            ("captions",),
            f"`captions: {manifest.captions}` needs `subtitles`",
            "Name a file with the captions under `subtitles`, .srt or .vtt.",
        )
