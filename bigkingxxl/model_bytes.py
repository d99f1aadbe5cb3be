"""Change the metadata of a model file without touching a byte of its weights.

Neither torch nor onnx is needed, so that a base install can tune models. Sources: the safetensors
format (a length, a JSON header, the tensors); the protobuf wire format and `onnx.proto`, in which
field 14 of a model holds its metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

ONNX_METADATA = 14
KEY, VALUE = 1, 2
VARINT, EIGHT_BYTES, DELIMITED, FOUR_BYTES = 0, 1, 2, 5

# Where tensors are: the messages of onnx.proto, and which of their fields are messages that matter.
# A file beside the model is named by `external_data`.
INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "elsewhere"},
}  # fmt: skip


def safetensors_with(content: bytes, key: str, value: str) -> bytes:
    """Return a safetensors file with one metadata entry set.

    Raises:
        ValueError: The content is not a safetensors file.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    if not isinstance(header, dict) or start > len(content):
        raise ValueError("no header of safetensors")
    metadata = {**header.pop("__metadata__", {}), key: value}
    entries = {"__metadata__": metadata, **header}
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    # The reference writer pads with spaces to keep the tensors aligned.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[start:]


def onnx_with(content: bytes, key: str, value: str) -> bytes:
    """Return an ONNX file with one metadata entry set.

    Raises:
        ValueError: The content is not an ONNX file.
    """
    kept = [
        content[start:stop]
        for number, body, start, stop in _fields(content)
        if number != ONNX_METADATA or _part(content[body:stop], KEY) != key
    ]
    entry = _delimited(KEY, key.encode()) + _delimited(VALUE, value.encode())
    return b"".join([*kept, _delimited(ONNX_METADATA, entry)])


def onnx_metadata(content: bytes) -> dict[str, str]:
    """Read the metadata of an ONNX file without parsing its graph.

    Raises:
        ValueError: The content is not an ONNX file, or it is truncated.
    """
    entries = [
        content[body:stop] for number, body, _, stop in _fields(content) if number == ONNX_METADATA
    ]
    return {_part(entry, KEY): _part(entry, VALUE) for entry in entries}


def uses_other_files(content: bytes) -> bool:
    """Return whether a tensor of an ONNX file lies in another file, which its path names.

    Earlier versions of ONNX Runtime (1.20 for one) read any file of the disk as such a tensor.

    Raises:
        ValueError: The content is not an ONNX file, or it is truncated.
    """
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        for number, body, _, stop in _fields(message):
            inner = INSIDE[kind].get(number)
            if inner == "elsewhere":
                return True
            if inner is not None:
                waiting.append((inner, message[body:stop]))
    return False


def _part(entry: bytes, part: int) -> str:
    texts = [entry[body:stop] for number, body, _, stop in _fields(entry) if number == part]
    return texts[-1].decode() if texts else ""


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield the number, body start, start and end of each field of a message."""
    place = 0
    while place < len(message):
        start = place
        tag, place = _varint(message, place)
        body, kind = place, tag & 7
        if kind == VARINT:
            _, place = _varint(message, place)
        elif kind == DELIMITED:
            length, body = _varint(message, place)
            place = body + length
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            place += 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"no protobuf message: wire type {kind} at byte {start}")
        if place > len(message):
            raise ValueError("a protobuf message that ends within a field")
        yield tag >> 3, body, start, place


def _varint(message: bytes | memoryview, place: int) -> tuple[int, int]:
    """Read a variable-length integer (7 bits per byte, lowest first); return it and its end."""
    value = shift = 0
    while place < len(message) and shift < 64:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
    raise ValueError("a protobuf message that ends within a number")


def _delimited(number: int, body: bytes) -> bytes:
    return _number(number << 3 | DELIMITED) + _number(len(body)) + body


def _number(value: int) -> bytes:
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
