"""The base class of the settings' sections, and the type of folders in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationInfo


def _resolve(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base", Path.cwd())
    return Path(os.path.normpath(Path(base) / path.expanduser()))


#: A path that is relative to the folder of the configuration file.
Folder = Annotated[Path, AfterValidator(_resolve)]


class Section(BaseModel):
    """A section of config.yaml. It never changes: a reload puts a new section in the place of the old one."""

    model_config = ConfigDict(extra="forbid", validate_default=True, frozen=True)
