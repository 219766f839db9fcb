"""The Triton kernels for GroupNorm: their numbers by Triton's interpreter, that they compile, and what happens without them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest
import torch

from stages.musetalk.device import Placement
from stages.musetalk.networks.group_norm import GroupNorm, KeptRows, group_norm_channels_last
from stages.musetalk.norm_choice import choose_norm, try_norm

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None,
    reason="Triton is not installed; it has 0.7 GB and comes with PyTorch's builds for CUDA: pip install triton==3.7.1",
)

_COMPARE = """
import itertools
import torch
from stages.musetalk.networks.fused_norm import fused_group_norm
from stages.musetalk.networks.group_norm import measure_rows

torch.manual_seed(0)
limits = {torch.float32: 3e-6, torch.float16: 1e-3, torch.bfloat16: 8e-3}
sizes = [(2, 64, 16, 8, 8), (1, 20, 5, 7, 2), (64, 16, 3, 3, 4), (1, 8, 70, 90, 8), (1, 96, 1, 1, 1), (2, 320, 3, 5, 32)]
for dtype, (batch, channels, height, width, groups) in itertools.product(limits, sizes):
    # Means are far from 0, where a difference of squares would lose everything.
    x = torch.randn(batch, channels, height + 1, width) / 2 + 20 * torch.randn(1, channels, 1, 1)
    whole = x.to(dtype).to(memory_format=torch.channels_last)
    weight, bias, shift = torch.randn(3, channels).to(dtype)
    for part, moved, silu in (
        (whole, None, False), (whole[:, :, 1:], shift, True), (whole[:, :, 1:].contiguous(), None, True)
    ):
        got = fused_group_norm(part, groups, weight, bias, 1e-6, moved, silu=silu)
        exact = part.double() + (0 if moved is None else moved.double()[:, None, None])
        want = torch.nn.functional.group_norm(exact, groups, weight.double(), bias.double(), 1e-6)
        want = torch.nn.functional.silu(want) if silu else want
        apart = float((got.double() - want).abs().max() / want.abs().max())
        assert apart < limits[dtype], (dtype, part.shape, part.stride(), moved is None, silu, apart)
        assert got.dtype == dtype and got.is_contiguous(memory_format=torch.channels_last)
    # Of a map's lower rows with the statistics of the upper ones it makes the lower rows of the whole map's result.
    exact = whole.double() + shift.double()[:, None, None]
    want = torch.nn.functional.group_norm(exact, groups, weight.double(), bias.double(), 1e-6)[:, :, 1:]
    kept = measure_rows(whole[:, :, :1], groups, shift)
    got = fused_group_norm(whole[:, :, 1:], groups, weight, bias, 1e-6, shift, kept=kept)
    assert float((got.double() - want).abs().max() / want.abs().max()) < limits[dtype], (dtype, whole.shape)
"""

_COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from stages.musetalk.networks import fused_norm

strides = dict.fromkeys(("s_n", "s_c", "s_h", "s_w"), "i32")
tile = {"tile_rows": 64, "tile_columns": 64}
kernels = [
    (fused_norm._measure, {**strides, "x": "*fp16", "means": "*fp32", "squares": "*fp32"}, tile),
    (
        fused_norm._apply,
        {**strides, "x": "*fp16", "y": "*fp16", "scales": "*fp32", "offsets": "*fp32"},
        {**tile, "with_silu": True},
    ),
    (
        fused_norm._combine,
        {"weight": "*fp16", "bias": "*fp16", "shift": "*fp16", "eps": "fp32"}
        | dict.fromkeys(("means", "squares", "scales", "offsets", "kept_means", "kept_variances"), "*fp32"),
        {"group_channels": 10, "tile_columns": 16, "most_parts": 64, "shifted": True},
    ),
]
for kernel, types, constants in kernels:
    signature = {name: "constexpr" if name in constants else types.get(name, "i32") for name in kernel.arg_names}
    for capability in (70, 86, 90):
        made = triton.compile(ASTSource(kernel, signature, constants), target=GPUTarget("cuda", capability, 32))
        assert ".visible .entry" in made.asm["ptx"]
"""


def run(program: str, **variables: str) -> None:
    """Run a program in a process of its own: whether Triton interprets is decided when it is first imported."""
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@needs_triton
def test_the_kernels_compute_group_norm_bias_and_silu_for_any_map() -> None:
    run(_COMPARE, TRITON_INTERPRET="1", OMP_NUM_THREADS="1")


@needs_triton
def test_the_kernels_compile_for_gpus_from_2017_on(tmp_path: object) -> None:
    run(_COMPILE, TRITON_INTERPRET="0", TRITON_CACHE_DIR=str(tmp_path))


def test_without_usable_kernels_the_norm_is_plain_and_the_reason_is_said(caplog: pytest.LogCaptureFixture) -> None:
    # Given a machine where the kernels cannot be used: PyTorch here has no CUDA
    if torch.backends.cuda.is_built():
        pytest.skip("this PyTorch has CUDA")
    norm = GroupNorm(4, 16)
    # When they are wanted
    chosen = choose_norm([norm], Placement(torch.device("cuda", 0), torch.float16))
    # Then PyTorch's functions compute it, and status and log say why
    assert norm.kernel is None
    assert chosen.startswith("plain: ")
    assert chosen.removeprefix("plain: ") in caplog.text
    # And without being wanted, nothing is tried
    assert choose_norm([norm], Placement(torch.device("cuda", 0), torch.float16), wanted=False) == "plain"


def test_missing_header_files_are_named_where_tritons_module_does_not_compile(monkeypatch: pytest.MonkeyPatch) -> None:
    def compile_module(*_: object) -> None:
        raise subprocess.CalledProcessError(1, ["/usr/bin/gcc", "/tmp/main.c", "-O3", "-shared", "-fPIC"])

    monkeypatch.setattr("stages.musetalk.norm_choice._tried_kernel", compile_module)
    chosen = choose_norm([GroupNorm(4, 16)], Placement(torch.device("cuda", 0), torch.float16))
    assert chosen.startswith("plain: the C compiler failed")
    assert "python3-dev" in chosen


@pytest.mark.parametrize("fault", ["a wrong number", "not a number", "no shift", "no kept rows"])
def test_a_kernel_that_computes_something_else_fails_its_trial(fault: str) -> None:
    def broken(
        x: torch.Tensor,
        groups: int,
        weight: torch.Tensor,
        bias: torch.Tensor,
        eps: float,
        shift: torch.Tensor | None = None,
        *,
        silu: bool = False,
        kept: KeptRows | None = None,
    ) -> torch.Tensor:
        shift, kept = None if fault == "no shift" else shift, None if fault == "no kept rows" else kept
        made = group_norm_channels_last(x, groups, weight, bias, eps, shift, silu=silu, kept=kept)
        if fault in ("a wrong number", "not a number"):
            made[-1, -1, -1, -1] += 0.5 if fault == "a wrong number" else float("nan")
        return made

    place = Placement(torch.device("cpu"), torch.float16)
    try_norm(group_norm_channels_last, [(16, 4), (20, 2)], place)
    with pytest.raises(ArithmeticError):
        try_norm(broken, [(16, 4)], place)
