"""Marks fields whose stored form is checked less than their type says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


@dataclass(frozen=True)
class StoredAs:
    """Makes pydantic read a field as another type than the one that it is annotated with.

    A `TypedDict` says which keys this version writes into a JSON object. A file may be from another version, so reading one must
    neither refuse it nor drop keys: `Annotated[Held, StoredAs(dict[str, Any])]`.

    Attributes:
        stored: what is checked when it is read.
    """

    stored: Any

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the stored type."""
        return handler.generate_schema(self.stored)
