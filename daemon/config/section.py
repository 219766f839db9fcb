"""The base class of the settings' sections, and the type of folders in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path.cwd())
    return Path(os.path.normpath(Path(base) / path.expanduser()))


#: A path that is relative to the folder of the configuration file.
Folder = Annotated[Path, AfterValidator(_resolve)]


def context_of(config: Path) -> dict[str, Any]:
    """Return the context in which the settings of a file are validated, for `Folder`."""
    return {"base": config.absolute().parent}


class Section(BaseModel):
    """A section of config.yaml. It never changes: a reload puts a new section in the place of the old one."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)
