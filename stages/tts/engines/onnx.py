"""Voice networks that read phonemes, asked not only for sound but for how long they made every phoneme.

They round a duration for each phoneme and do not hand it out. Serialised protobuf messages merge when they are
concatenated, so a few bytes that declare one more graph output, appended to the model file's bytes, are enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnxruntime

_CLAUSE_MARKS = ";:,.!?—…"


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field; payloads here are shorter than 128 bytes, so the length is one byte."""
    return bytes([number << 3 | 2, len(payload)]) + payload


def add_model_output(model: bytes, name: str) -> bytes:
    """A serialised ONNX model that hands out one more of its tensors."""
    # ModelProto.graph = 7, GraphProto.output = 12, ValueInfoProto.name = 1 (onnx.proto3)
    return model + _field(7, _field(12, _field(1, name.encode())))


def open_session(
    model: bytes, durations: str, threads: int, *, pooled: bool, plain: bool = False
) -> onnxruntime.InferenceSession:
    """The network, with its tensor `durations` as one more output.

    Args:
        pooled: keep memory between sentences: for a large network, where asking the system each time costs a fifth of
            the time and, for want of reuse within a run, three times the memory (2.0 against 0.6 GB, measured).
        plain: compute the graph as it is written, node by node: slower, and without the fused kernels.

    Raises:
        Exception: onnxruntime has an exception class for each status, without a common root.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_cpu_mem_arena = pooled
    options.enable_mem_pattern = False  # every sentence has another length: patterns kept for each would only grow
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads would take others' cores
    return onnxruntime.InferenceSession(add_model_output(model, durations), options, providers=["CPUExecutionProvider"])


def split_runs(known: Sequence[tuple[str, int]], limit: int) -> Iterator[list[tuple[str, int]]]:
    """(character, owner) pairs in runs that the network takes at once: no longer than `limit`, no space at the end."""
    for start, stop in _cuts("".join(char for char, _ in known), limit):
        run = list(known[start:stop])
        while run and run[-1][0] == " ":
            run.pop()
        if run:
            yield run


def _cuts(chars: str, limit: int) -> Iterator[tuple[int, int]]:
    """Cuts of at most `limit` characters: after a clause mark if there is one, else at a space, else anywhere."""
    start = 0
    while len(chars) - start > limit:
        window = chars[start : start + limit]
        marks = max(window.rfind(mark + " ") for mark in _CLAUSE_MARKS)
        cut = marks + 2 if marks > limit // 4 else window.rfind(" ") + 1 or limit
        yield start, start + cut
        start += cut
    if start < len(chars):
        yield start, len(chars)
