"""Converts the weights of networks to another number type."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import nn


def convert_weights(networks: Sequence[nn.Module], dtype: torch.dtype) -> None:
    """Convert the weights of all networks, which have one number type, or of none.

    Raises:
        RuntimeError: the device has no memory, or failed. The weights then have the type that they had: a network with two types
            computes nothing, also when there is memory again.
    """
    before = next(networks[0].parameters()).dtype
    try:
        for network in networks:
            network.to(dtype)
    except RuntimeError:
        with contextlib.suppress(RuntimeError):  # a GPU that was lost converts nothing
            for network in networks:
                network.to(before)
        raise
