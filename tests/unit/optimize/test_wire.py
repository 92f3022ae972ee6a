"""The outline of ONNX files: equal to what the library reads, and total on any bytes."""

from contextlib import suppress

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from tests.corpus.models import build

from tightship.optimize import wire

CAPS = wire.Caps(nodes=1000, tensors=1000, tensor_bytes=1 << 20, depth=24)
SOUND = build.perceptron().SerializeToString()
WITHOUT_OPERATOR_SETS = len(SOUND) - sum(2 + s.ByteSize() for s in build.perceptron().opset_import)


def outline(content: bytes) -> wire.Outline:
    return wire.outline(memoryview(content), CAPS)


def test_outline_counts_what_the_library_sees() -> None:
    model = build.perceptron()
    found = outline(model.SerializeToString())
    assert (found.nodes, found.tensors, found.graphs) == (4, 2, 1)
    assert found.tensor_bytes == sum(len(t.raw_data) for t in model.graph.initializer)
    assert found.operators == {("", "MatMul"), ("", "Relu"), ("", "Softmax")}


def test_subgraphs_are_counted() -> None:
    found = outline(build.nested(2).SerializeToString())
    assert found.graphs == 1 + 2 + 4
    assert ("", "If") in found.operators


def test_external_data_are_listed() -> None:
    content = build.external("a/b.bin", {"offset": "64", "length": "512"}).SerializeToString()
    (found,) = outline(content).external
    assert found == wire.ExternalData("a/b.bin", 64, 512, 512)


@pytest.mark.parametrize(
    ("caps", "words"),
    [
        (wire.Caps(nodes=3, tensors=9, tensor_bytes=9999, depth=9), "3 nodes"),
        (wire.Caps(nodes=9, tensors=1, tensor_bytes=9999, depth=9), "1 tensors"),
        (wire.Caps(nodes=9, tensors=9, tensor_bytes=600, depth=9), "600 bytes"),
        (wire.Caps(nodes=9, tensors=9, tensor_bytes=9999, depth=0), "deeper than 0"),
    ],
)
def test_caps(caps: wire.Caps, words: str) -> None:
    with pytest.raises(wire.CapError, match=words):
        wire.outline(memoryview(SOUND), caps)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with suppress(wire.WireError):
        assert outline(content).graphs > 0


@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255))
def test_any_changed_byte_is_read_or_refused(position: int, change: int) -> None:
    content = bytearray(SOUND)
    content[position] ^= change
    with suppress(wire.WireError):
        assert outline(bytes(content)).graphs > 0


@given(st.integers(0, len(SOUND) - 1))
def test_a_truncated_model_is_refused(length: int) -> None:
    """Cut between two fields it is a shorter message: the runtime misses its operator sets."""
    assume(length != WITHOUT_OPERATOR_SETS)
    with pytest.raises(wire.WireError):
        outline(SOUND[:length])
