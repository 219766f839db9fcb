"""Modules and tests, which stay to the end, are taken for no garbage: each search for it would look at them all."""

from __future__ import annotations

import gc
import sys

#: So many new modules are worth a search, after which they are in no later one.
_MANY = 200
_number = 0


def keep_modules() -> None:
    """Take all objects for no garbage."""
    global _number
    gc.freeze()
    _number = len(sys.modules)


def keep_new_modules() -> None:
    """Do so again where a test has imported a large package, after a search for real garbage."""
    if len(sys.modules) >= _number + _MANY:
        gc.collect()
        keep_modules()
