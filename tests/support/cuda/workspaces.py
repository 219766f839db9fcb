"""The memory that PyTorch keeps for cuBLAS on the stand-in for a GPU."""

from __future__ import annotations


class CublasWorkspaces:
    """A workspace for each stream that a product was computed on: aten/src/ATen/cuda/CublasHandlePool.cpp, setWorkspaceForHandle,
    which makes it at the first product, of 8 or, on some GPUs, 32 MB, and keeps it by handle and stream.

    Attributes:
        kept: those that are there, by the number of the stream.
    """

    def __init__(self) -> None:
        self.kept: dict[int, object] = {}

    def use(self, stream: int) -> object:
        """Return that of a stream, where a product is computed on it."""
        return self.kept.setdefault(stream, object())

    def clear(self, stream: int) -> None:
        """Free that of a stream: clearCublasWorkspacesForStream, which CUDAGraph::reset calls for the stream of its recording."""
        self.kept.pop(stream, None)
