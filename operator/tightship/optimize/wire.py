"""Reads the outline of an ONNX file from its wire format, without a library or a copy of weights.

Only lengths, counts, tensor shapes and external-data references are looked at, so that a hostile
file is refused before a parser builds anything from it. Wire format: protobuf.dev/programming-
guides/encoding. Field numbers: onnx.proto of onnx 1.23.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_MAX_BYTES = 10

Buffer = memoryview

# Message kind -> number of a field that holds a message -> kind of that message.
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "training": {1: "graph", 2: "graph"},
}
_IR_VERSION, _DIMS, _DATA_TYPE, _RAW_DATA, _EXTERNAL, _LOCATION = 1, 1, 2, 9, 13, 14
_NAMES = {"node": (7, 4), "function": (10, 1)}  # fields of the domain and the operator's name
_TYPED_DATA = {4, 5, 6, 7, 10, 11}
_EXTERNAL_LOCATION = 1

# TensorProto.DataType -> bits of an element; strings (8) have no fixed size.
_BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64}
_BITS |= {
    14: 64,
    15: 128,
    16: 16,
    17: 8,
    18: 8,
    19: 8,
    20: 8,
    21: 4,
    22: 4,
    23: 4,
    24: 8,
    25: 2,
    26: 2,
}


class WireError(ValueError):
    """The bytes are not a whole ONNX model; the message says what is wrong, in plain words."""


@dataclass(frozen=True, slots=True)
class ExternalData:
    """One reference from a tensor to a file beside the model. `length` is None when not given."""

    location: str
    offset: int
    length: int | None
    needed: int  # bytes, from shape and type


@dataclass(slots=True)
class Outline:
    """What a model claims to hold."""

    nodes: int = 0
    tensors: int = 0
    tensor_bytes: int = 0  # as claimed by the shapes
    graphs: int = 0
    ir_version: int | None = None
    external: list[ExternalData] = field(default_factory=list)
    operators: set[tuple[str, str]] = field(default_factory=set)  # (domain, op type)
    functions: set[tuple[str, str]] = field(default_factory=set)  # that it defines itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """What an outline may reach before reading stops."""

    nodes: int
    tensors: int
    tensor_bytes: int
    depth: int


class CapError(WireError):
    """The model claims more than a cap allows."""


def outline(data: Buffer, caps: Caps) -> Outline:
    """Walk a ModelProto.

    Raises:
        CapError: more nodes, tensors, bytes or nesting than the caps allow.
        WireError: truncated, not protobuf, or not a model.
    """
    found = Outline()
    _walk(data, "model", found, caps, caps.depth)
    if not found.graphs:
        raise WireError("it holds no graph, so it is not an ONNX model")
    if found.ir_version is None:
        raise WireError("it names no IR version, so it is not an ONNX model")
    found.operators -= found.functions
    return found


def _walk(data: Buffer, kind: str, found: Outline, caps: Caps, depth: int) -> None:
    if depth < 0:
        raise CapError(f"its graphs are nested deeper than {caps.depth} levels")
    children = _CHILDREN[kind]
    _count(kind, found, caps)
    operator = ["", ""]
    for number, wire, value in fields(data):
        if kind == "model" and number == _IR_VERSION and isinstance(value, int):
            found.ir_version = value
        elif number in (named := _NAMES.get(kind, ())) and not isinstance(value, int):
            operator[named.index(number)] = _text(value)
        child = children.get(number)
        if child is None:
            continue
        if wire != _BYTES or isinstance(value, int):
            raise WireError(f"field {number} of its {kind} has the wrong type")
        if child == "tensor":
            _tensor(value, found, caps)
        elif child != "opset":
            _walk(value, child, found, caps, depth - 1)
    if kind in _NAMES:
        target = found.operators if kind == "node" else found.functions
        target.add((operator[0], operator[1]))


def _count(kind: str, found: Outline, caps: Caps) -> None:
    if kind == "graph":
        found.graphs += 1
    if kind == "node":
        found.nodes += 1
        if found.nodes > caps.nodes:
            raise CapError(f"it has more than {caps.nodes} nodes")


@dataclass(slots=True)
class _Claims:
    """What one TensorProto says of its data."""

    dims: list[int] = field(default_factory=list)
    data_type: int = 0
    raw: int | None = None  # bytes of raw_data
    typed: bool = False  # data in a field of their own type
    external: bool = False
    entries: dict[str, str] = field(default_factory=dict)

    def take(self, number: int, value: int | Buffer) -> None:
        """One field of the message."""
        if number == _DIMS:
            self.dims.extend([value] if isinstance(value, int) else _packed(value))
        elif isinstance(value, int):
            self.data_type = value if number == _DATA_TYPE else self.data_type
            self.external |= number == _LOCATION and value == _EXTERNAL_LOCATION
        elif number == _RAW_DATA:
            self.raw = len(value)
        elif number == _EXTERNAL:
            self.entries.update([_entry(value)])
        self.typed |= number in _TYPED_DATA


def _tensor(data: Buffer, found: Outline, caps: Caps) -> None:
    claims = _Claims()
    for number, _, value in fields(data):
        claims.take(number, value)
    needed = _claimed(claims.dims, claims.data_type)
    found.tensors += 1
    found.tensor_bytes += needed
    if found.tensors > caps.tensors or found.tensor_bytes > caps.tensor_bytes:
        limit = f"{caps.tensors} tensors or {caps.tensor_bytes} bytes of them"
        raise CapError(f"it claims more than {limit}")
    if claims.external or claims.entries:
        found.external.append(_external(claims.entries, needed))
    elif claims.raw is not None and claims.data_type in _BITS and claims.raw != needed:
        raise WireError(f"a tensor claims {needed} bytes and brings {claims.raw}")
    elif claims.raw is None and not claims.typed and needed:
        raise WireError(f"a tensor claims {needed} bytes and brings none")


def _claimed(dims: list[int], data_type: int) -> int:
    if any(dim < 0 or dim >= 2**63 for dim in dims):
        raise WireError("a tensor has a negative dimension")
    return -(-math.prod(dims) * _BITS.get(data_type, 8) // 8)


def _entry(data: Buffer) -> tuple[str, str]:
    parts = {number: _text(value) for number, _, value in fields(data)}
    return parts.get(1, ""), parts.get(2, "")


def _external(entries: dict[str, str], needed: int) -> ExternalData:
    numbers = {name: entries.get(name, "") for name in ("offset", "length")}
    for name, text in numbers.items():
        if text and not (text.isascii() and text.isdecimal()):
            raise WireError(f"the {name} of a tensor's external data is '{text[:40]}'")
    return ExternalData(
        location=entries.get("location", ""),
        offset=int(numbers["offset"] or 0),
        length=int(numbers["length"]) if numbers["length"] else None,
        needed=needed,
    )


def _text(value: Buffer | int) -> str:
    return "" if isinstance(value, int) else bytes(value[:4096]).decode("utf-8", "replace")


def _packed(data: Buffer) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values


def fields(data: Buffer) -> Iterator[tuple[int, int, int | Buffer]]:
    """The fields of one message: number, wire type, value (a number, or a view of the bytes).

    Raises:
        WireError: a field does not end within the message, or has an unknown wire type.
    """
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise WireError("it is not in protobuf's format")
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, wire, value
            continue
        length, position = _length(data, position, wire)
        if position + length > end:
            raise WireError("it ends in the middle of a field: the file is truncated")
        yield number, wire, data[position : position + length]
        position += length


def _length(data: Buffer, position: int, wire: int) -> tuple[int, int]:
    if wire == _BYTES:
        return _varint(data, position)
    if wire in (_FIXED32, _FIXED64):
        return (4 if wire == _FIXED32 else 8), position
    raise WireError("it is not in protobuf's format")


def _varint(data: Buffer, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(_VARINT_MAX_BYTES):
        if position >= len(data):
            raise WireError("it ends in the middle of a field: the file is truncated")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << (7 * shift)
        if not byte & 0x80:
            return value, position
    raise WireError("it is not in protobuf's format")
