"""Runs ONNX voice networks with the duration of each phoneme as an additional output.

The networks compute these durations without exposing them. Concatenated protobuf messages are merged, so appending a few
bytes that declare one more graph output to the model's bytes is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnxruntime

from stages.model_files.wire_format import write_field

_CLAUSE_MARKS = ";:,.!?—…"


def add_model_output(model: bytes, name: str) -> bytes:
    """Return a serialised ONNX model with its tensor `name` as one more output."""
    # ModelProto.graph = 7, GraphProto.output = 12, ValueInfoProto.name = 1 (onnx.proto3)
    return model + write_field(7, write_field(12, write_field(1, name.encode())))


def open_session(
    model: bytes, durations: str, threads: int, *, pooled: bool, plain: bool = False
) -> onnxruntime.InferenceSession:
    """Open a serialised network with its tensor `durations` as one more output.

    Args:
        threads: number of threads within an operator.
        pooled: keep memory between sentences. For a large network this saves a fifth of the time and two thirds of the
            memory (0.6 instead of 2.0 GB, measured).
        plain: disable graph optimisation: slower, and without fused kernels.

    Raises:
        Exception: onnxruntime has an exception class for each status, without a common root.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = pooled
    options.enable_mem_pattern = False  # sentences differ in length, so stored patterns would only accumulate
    options.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # spinning threads would occupy cores that others need
    return onnxruntime.InferenceSession(add_model_output(model, durations), options, providers=["CPUExecutionProvider"])


def split_runs(known: Sequence[tuple[str, int]], limit: int) -> Iterator[list[tuple[str, int]]]:
    """Split (character, owner) pairs into runs of at most `limit` pairs, without spaces at the end."""
    for start, stop in _cuts("".join(char for char, _ in known), limit):
        run = list(known[start:stop])
        while run and run[-1][0] == " ":
            run.pop()
        if run:
            yield run


def _cuts(chars: str, limit: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of parts of at most `limit` characters: cut after a clause mark, else at a space, else anywhere."""
    start = 0
    while len(chars) - start > limit:
        window = chars[start : start + limit]
        marks = max(window.rfind(mark + " ") for mark in _CLAUSE_MARKS)
        cut = marks + 2 if marks > limit // 4 else window.rfind(" ") + 1 or limit
        yield start, start + cut
        start += cut
    if start < len(chars):
        yield start, len(chars)
