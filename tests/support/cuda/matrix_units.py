"""Half precision as a GPU's matrix units compute it, by a processor, whose own takes several times as long."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

#: Operators that matrix units compute: products of half precision, added in float32.
MATRIX = (
    "aten::conv2d",
    "aten::convolution",
    "aten::conv_transpose2d",
    "aten::linear",
    "aten::scaled_dot_product_attention",
)


def compute_in_float32(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute an operator in float32 and round once, as matrix units do."""
    if args[0].dtype != torch.float16:
        return func(*args, **kwargs)
    wide = [value.float() if isinstance(value, Tensor) else value for value in args]
    return func(*wide, **kwargs).half()


class MatrixUnits(TorchDispatchMode):
    """Lets networks on the processor compute their products in half precision so, within the block."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # no compiler looks at it here

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in MATRIX:
            return compute_in_float32(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))
