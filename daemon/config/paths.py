"""The folders of the daemon, which can be read without the other settings."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from daemon.config.file import read_config
from daemon.config.section import Folder, Section, context_of


class Paths(Section):
    """Folders of the daemon."""

    inbox: Folder = Field(Path("inbox"), description="Folder in which users drop jobs.")
    outbox: Folder = Field(Path("outbox"), description="Folder in which results appear.")
    spool: Folder = Field(
        Path("spool"), description="The queue. It must be on a local disk with a journalling filesystem."
    )
    cache: Folder = Field(Path("spool/cache"), description="Data that can be computed again: rigs, spoken sentences.")
    models: Folder = Field(Path("spool/models"), description="Model files of the engines.")
    profiles: Folder = Field(
        Path("spool/profiles"),
        description="Voice profiles. They cannot be computed again: back them up. Unset: below the spool.",
    )
    history: Folder = Field(
        Path("spool/history"),
        description="The index of all jobs, which can be computed again, on a local disk. Where it lies outside the spool, "
        "whoever reads the outbox can read it, too. Unset: below the spool.",
    )

    avatars: Folder = Field(
        Path("spool/avatars"),
        description="Avatar profiles. They cannot be computed again: back them up. Unset: below the spool.",
    )

    hooks: Folder = Field(
        Path("spool/hooks"),
        description="What the hooks still have to deliver, on a local disk; the daemon does not use it. Unset: below the spool.",
    )

    @model_validator(mode="before")
    @classmethod
    def _below_the_spool(cls, data: Any) -> Any:
        """Put profiles and history below the spool where only the spool is set: older files do not name their folders."""
        if isinstance(data, dict) and isinstance(spool := data.get("spool"), str | Path):
            return {**{name: Path(spool) / name for name in ("profiles", "avatars", "history", "hooks")}, **data}
        return data

    @model_validator(mode="after")
    def _apart(self) -> Self:
        """Refuse folders that lie in each other: results would be drops, or the queue could be written to by everybody."""
        folders = {"inbox": self.inbox, "outbox": self.outbox, "spool": self.spool}
        for one, other in permutations(folders, 2):
            if folders[one].is_relative_to(folders[other]):
                where = "is" if folders[one] == folders[other] else "lies in"
                raise ValueError(f"`{one}` {where} the folder of `{other}`; give each a folder of its own")
        for own, name in product(("history", "hooks"), ("inbox", "outbox")):
            if getattr(self, own).is_relative_to(folders[name]):
                raise ValueError(
                    f"`{own}` lies in the folder of `{name}`, where others may write; give it one of its own"
                )
        return self


def read_paths(config: Path) -> Paths | None:
    """Return the folders that a configuration file names; None where they are wrong, which `Settings.load` explains.

    Reading the other settings takes four times as long, most of it for their models.

    Raises:
        ConfigError: `config-unreadable`, `config-invalid`: the file is no YAML.
    """
    raw, _ = read_config(config)
    given = (raw or {}).get("paths", {}) if isinstance(raw or {}, dict) else raw
    try:
        return Paths.model_validate({} if given is None else given, context=context_of(config))
    except ValidationError:
        return None
