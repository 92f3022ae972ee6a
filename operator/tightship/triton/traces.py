"""Traces of requests as Triton writes them at level TENSORS: what a client sent, what it got.

Triton writes something like JSON: text is not escaped, and numbers of eight bits are raw bytes. So
the bytes are searched for what Triton puts around each tensor.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

LEVELS = ("TIMESTAMPS", "TENSORS")
"""What has to be traced: without timestamps a trace does not say which model it is of."""

_MODEL = re.compile(rb'"model_name":"([^"]*)"')
_REQUEST = re.compile(rb'"request_id":"([^"]*)"')
_HEAD = re.compile(
    rb'"activity":"(TENSOR_QUEUE_INPUT|TENSOR_BACKEND_OUTPUT)",'
    rb'"tensor":\{"name":"([^"]*)","data":"'
)
_SHAPE = b'","shape":"'
_TAIL = re.compile(rb'","shape":"([\d,]*)","dtype":"(\w+)"')
_END = b"}]"
_EIGHT_BITS = {"INT8": np.int8, "UINT8": np.uint8}
_TEXT = "BYTES"
_NUMBERS = frozenset(
    {"BOOL", "UINT16", "UINT32", "UINT64", "INT16", "INT32", "INT64", "FP32", "FP64"}
)


@dataclass(slots=True, kw_only=True)
class Trace:
    """One request. Tensors of types that Triton does not write (FP16, BF16) are not among them.

    Numbers have six significant digits. An answer from the response cache has no outputs.
    """

    model: str
    request_id: str
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    outputs: dict[str, np.ndarray] = field(default_factory=dict)


def read_trace(content: bytes) -> Trace | None:
    """The request in a file of one trace; None where the file is no whole one."""
    model = _MODEL.search(content)
    if model is None or not content.endswith(_END):
        return None
    request = _REQUEST.search(content, model.end())
    found = Trace(
        model=model[1].decode(errors="replace"),
        request_id=request[1].decode(errors="replace") if request else "",
    )
    for is_input, name, array in _tensors(content):
        (found.inputs if is_input else found.outputs)[name] = array
    return found


def _tensors(content: bytes) -> Iterator[tuple[bool, str, np.ndarray]]:
    position = 0
    while head := _HEAD.search(content, position):
        start = head.end()
        end = content.find(_SHAPE, start)
        tail = _TAIL.match(content, end) if end >= 0 else None
        if tail is None:
            return
        position = tail.end()
        shape = [int(size) for size in tail[1].split(b",") if size]
        array = _array(content[start:end], shape, tail[2].decode())
        if array is not None:
            yield head[1] == b"TENSOR_QUEUE_INPUT", head[2].decode(errors="replace"), array


def _array(data: bytes, shape: list[int], kind: str) -> np.ndarray | None:
    if kind in _EIGHT_BITS:
        flat = np.frombuffer(data[::2], _EIGHT_BITS[kind])
    elif kind == _TEXT:
        flat = np.array(data[2:-2].split(b'\\",\\"') if data else [], np.object_)
    elif kind in _NUMBERS:
        flat = _numbers(data)
    else:
        return None
    try:
        return flat.reshape(shape)
    except ValueError:  # a client's text or a broken file looks like another tensor
        return None


def _numbers(data: bytes) -> np.ndarray:
    try:
        return np.fromstring(data.decode("ascii", errors="replace"), np.float64, sep=",")
    except (ValueError, DeprecationWarning):
        return np.array([])
