"""Handing in a job as a person would: first the files it names, then its manifest, each whole and under its own name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from daemon.errors import AvatarError, JobError
from daemon.intake.inbox_names import ignored, is_defaults
from daemon.jobs.defaults import FolderDefaults
from daemon.jobs.manifest import Manifest
from daemon.jobs.parse import parse_manifest
from daemon.outbox.names import clean_stem
from daemon.outbox.outbox import Outbox
from daemon.system import fs
from daemon.system.permissions import current_user, owner_name
from daemon.system.safe_open import open_inside


def settings_of(pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return the part of a manifest that `--set KEY=VALUE …` describes; dots in a key lead into groups.

    Raises:
        click.BadParameter: no KEY=VALUE, or a key given both a value and keys below it.
    """
    manifest: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not all(key.split(".")):
            raise click.BadParameter(f"{pair!r} is not KEY=VALUE, such as fps=30 or motion.head=0", param_hint="--set")
        if not value:
            raise click.BadParameter(f"{pair!r} has no value; leave it out for the default", param_hint="--set")
        *groups, last = key.split(".")
        target = manifest
        for group in groups:
            target = target.setdefault(group, {})
            if not isinstance(target, dict):
                raise click.BadParameter(f"{group} has a value already, so {key} cannot be set", param_hint="--set")
        if isinstance(target.get(last), dict):
            raise click.BadParameter(f"keys below {key} are set already, so it has no value itself", param_hint="--set")
        target[last] = value
    return manifest


def words_of(text: str) -> str:
    """TEXT of a command; `-` is standard input, which is UTF-8 whatever the terminal's language.

    Raises:
        click.BadParameter: it is not.
    """
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise click.BadParameter(
            f"standard input is not UTF-8 text (byte {exc.start + 1}); `iconv -t UTF-8` makes it so", param_hint="TEXT"
        ) from exc


def check(manifest: dict[str, Any], defaults: Sequence[FolderDefaults] = ()) -> Manifest:
    """Return the manifest as the daemon would read it. `defaults`: those of its folder.

    Raises:
        JobError: what is wrong with the manifest.
    """
    checked = parse_manifest(_dump(manifest), 1, defaults)[0]
    if isinstance(checked, JobError):
        raise checked
    return checked


def plain_name(name: str) -> str:
    """Return the name of a result, if it can be one as it stands.

    Raises:
        click.BadParameter: naming one that can.
    """
    clean = clean_stem(name)
    if clean != name or ignored(f"{name}.yaml") or is_defaults(f"{name}.yaml"):
        raise click.BadParameter(
            f"{name!r} cannot name a file everywhere; {clean.lstrip('~$_')!r} can", param_hint="--name"
        )
    return name


def made_up_name(words: str) -> str:
    """Return a new name for a manifest that has none: up to 32 characters of `words`, and random ones."""
    slug = re.sub(r"[^a-z0-9]+", "-", words.lower())[:32].strip("-")
    return f"{slug or 'job'}-{secrets.token_hex(3)}"


def share(path: Path, inbox: Path) -> tuple[str, str]:
    """Copy a picture or sound into the inbox, whole or not at all, under a name made from its content, so that it is there
    once, however often it is used. Somebody else may be doing the same just now.

    A file that is there is used where it is this one and belongs to the user, or to the inbox's owner. Anybody else could
    change or remove it before the job is taken in, so that another name is taken then.

    Returns:
        its name in the inbox, and a sentence on why it is not the usual one; empty where it is.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    names, said = _shared_names(path, digest), ""
    while not _copy(path, inbox / (name := next(names))) and (why := _unusable(inbox / name, digest)):
        said = said or f"{name} in the inbox {why}"
    return name, f"{said}; the copy of {path.name} is called {name}." if said else ""


def usual_name(path: Path) -> str:
    """The first name that `share` tries."""
    return next(_shared_names(path, "0" * 64))


def _shared_names(path: Path, digest: str) -> Iterator[str]:
    """Yield names for a picture or sound in the inbox, best first, without end: people can put files under any name."""
    stem, ending = f"{_slug(path.stem)[:40]}-{digest[:8]}", path.suffix.lower()
    yield f"{stem}{ending}"
    yield f"{stem}-{_slug(current_user())}{ending}"
    while True:
        yield f"{stem}-{secrets.token_hex(4)}{ending}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text)


def _copy(path: Path, target: Path) -> bool:
    """Copy a file; False: the name is taken."""
    if os.path.lexists(target):
        return False
    temporary = _temporary(target.parent)
    try:
        with path.open("rb") as file, _readable_by_the_group():
            fs.OPS.copy(file.fileno(), temporary, os.fstat(file.fileno()).st_size)
        return fs.publish(temporary, target)
    finally:
        fs.remove(temporary)


def _unusable(target: Path, digest: str) -> str:
    """Return why a file in the inbox cannot stand for one of this sha256, in words; empty where it can."""
    try:
        with open_inside(target.parent, target.name) as fd, os.fdopen(os.dup(fd), "rb") as file:
            info = os.fstat(fd)
            if info.st_uid not in (os.geteuid(), target.parent.stat().st_uid):
                return f"belongs to {owner_name(info)}, who alone can replace it"
            return "" if hashlib.file_digest(file, "sha256").hexdigest() == digest else "holds something else"
    except JobError:  # a link, a folder, a file of somebody who lets nobody read it
        return "is not a file that the service could take"


@contextlib.contextmanager
def _readable_by_the_group() -> Iterator[None]:
    """Whatever the user's umask, the service, as a member of the group, can read what is made here, and nobody can change it."""
    before = os.umask(0o027)
    try:
        yield
    finally:
        os.umask(before)


def hand_in(manifest: dict[str, Any], stem: str, inbox: Path, outbox: Path) -> Path:
    """Put the manifest into the inbox; returns where.

    Raises:
        AvatarError: `name-taken`.
    """
    target = inbox / f"{stem}.yaml"
    temporary = _temporary(inbox)
    result = clean_stem(str(manifest.get("output", stem)))
    free = Outbox(outbox).is_free(result)
    try:
        with _readable_by_the_group():
            fs.OPS.write(temporary, _dump(manifest))
        if not (free and fs.publish(temporary, target)):
            raise AvatarError(
                "name-taken", f"{result if not free else stem} is in use already.", "Choose another --name."
            )
    finally:
        fs.remove(temporary)
    return target


def _dump(manifest: dict[str, Any]) -> bytes:
    return yaml.safe_dump(manifest, allow_unicode=True, sort_keys=False).encode()


def _temporary(folder: Path) -> Path:
    """Return a name that the daemon passes over and nobody else uses."""
    return folder / f".{secrets.token_hex(8)}.tmp"
