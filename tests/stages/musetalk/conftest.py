"""A stand-in for a GPU, and half precision as one computes it. torch is imported only where a test asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.cuda.driver import Driver


@pytest.fixture
def gpu_memory() -> int:
    """Memory of the stand-in, bytes. A file of tests may have a fixture of its own in place of it."""
    return 10 << 30


@pytest.fixture
def driver(gpu_memory: int) -> Iterator[Driver]:
    """A GPU that torch finds until the test ends."""
    from tests.support.cuda.driver import Driver
    from tests.support.cuda.install import install
    from tests.support.cuda.memory import CardMemory

    with install(Driver(CardMemory(gpu_memory))) as installed:
        yield installed
        installed.card.broken = 0


@pytest.fixture
def matrix_units() -> Iterator[None]:
    """The processor computes products in half precision as a GPU does, in a third of its own time."""
    from tests.support.cuda.matrix_units import MatrixUnits

    with MatrixUnits():  # type: ignore[no-untyped-call]
        yield
