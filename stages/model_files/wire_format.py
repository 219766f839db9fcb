"""Reads and writes protobuf's wire format, in which ONNX files are stored; needs no package and copies no payload."""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _LENGTH_DELIMITED, _FIXED32 = 0, 1, 2, 5
_FIXED_SIZES = {_FIXED64: 8, _FIXED32: 4}


def read_fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield (number, payload) of each length-delimited field of a message; other fields are skipped.

    Raises:
        ValueError: the bytes are no message, or end too early.
    """
    for number, kind, _, payload in read_spans(message):
        if kind == _LENGTH_DELIMITED:
            yield number, payload


def read_spans(message: memoryview) -> Iterator[tuple[int, int, memoryview, memoryview]]:
    """Yield (number, wire type, all bytes of the field, payload) of each field of a message.

    Raises:
        ValueError: the bytes are no message, or end too early.
    """
    at = 0
    while at < len(message):
        start = at
        key, at = _read_varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            begin = at
            _, at = _read_varint(message, at)
        elif kind == _LENGTH_DELIMITED:
            length, begin = _read_varint(message, at)
            at = begin + length
        elif kind in _FIXED_SIZES:
            begin, at = at, at + _FIXED_SIZES[kind]
        else:
            raise ValueError("it is no protobuf message")
        if at > len(message):
            raise ValueError("it is truncated")
        yield key >> 3, kind, message[start:at], message[begin:at]


def write_field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field."""
    return field_head(number, len(payload)) + payload


def field_head(number: int, length: int) -> bytes:
    """Return the bytes before the payload of a length-delimited field."""
    return _write_varint(number << 3 | _LENGTH_DELIMITED) + _write_varint(length)


def write_number(number: int, value: int) -> bytes:
    """Return a field with a non-negative integer."""
    return _write_varint(number << 3 | _VARINT) + _write_varint(value)


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise ValueError("it is truncated")


def _write_varint(value: int) -> bytes:
    found = bytearray()
    while value >= 0x80:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)
