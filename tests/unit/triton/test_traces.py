"""Traces as Triton 24.10 wrote them, whole and broken."""

import numpy as np
import pytest

from tightship.triton.traces import read_trace

_HEAD = (
    b'[{"id":1,"timestamps":[{"name":"HTTP_RECV_START","ns":3}]},'
    b'{"id":1,"model_name":"m","model_version":1,"request_id":"r0"},'
    b'{"id":1,"timestamps":[{"name":"REQUEST_START","ns":5}]}'
)
_END = b',{"id":1,"timestamps":[{"name":"HTTP_SEND_END","ns":9}]}]'


def _tensor(activity: str, name: str, data: bytes, shape: str, dtype: str) -> bytes:
    head = f',{{"id":1,"activity":"{activity}","tensor":{{"name":"{name}","data":"'.encode()
    return head + data + f'","shape":"{shape}","dtype":"{dtype}"}}}}'.encode()


def _input(data: bytes, shape: str, dtype: str) -> bytes:
    return _HEAD + _tensor("TENSOR_QUEUE_INPUT", "x", data, shape, dtype) + _END


@pytest.mark.parametrize(
    ("data", "shape", "dtype", "wanted"),
    [
        (b"1.12346,-2e-05,nan,inf", "1,4", "FP32", [[1.12346, -2e-5, np.nan, np.inf]]),
        (b"1099511627776,-5", "2,1", "INT64", [[1099511627776], [-5]]),
        (b"1,0,1", "1,3", "BOOL", [[1, 0, 1]]),
        (b'\x00,",,,A,\\,\xff', "1,6", "UINT8", [[0, 34, 44, 65, 92, 255]]),
        (b'\x00,",,,A,\\,\xff', "1,6", "INT8", [[0, 34, 44, 65, 92, -1]]),
        (b'\\"a"b\\c\n\\",\\"\xc3\xa9,x\\",\\"\\"', "1,3", "BYTES",
         [[b'a"b\\c\n', b"\xc3\xa9,x", b""]]),
        (b"", "0,4", "FP32", np.zeros((0, 4))),
        (b"7", "", "FP64", 7.0),
    ],
)  # fmt: skip
def test_values_of_each_type(data: bytes, shape: str, dtype: str, wanted: object) -> None:
    found = read_trace(_input(data, shape, dtype))
    assert found is not None
    assert (found.model, found.request_id) == ("m", "r0")
    np.testing.assert_array_equal(found.inputs["x"], np.array(wanted))


def test_inputs_and_outputs_are_told_apart() -> None:
    output = _tensor("TENSOR_BACKEND_OUTPUT", "y", b"3,4", "1,2", "FP32")
    found = read_trace(_HEAD + _tensor("TENSOR_QUEUE_INPUT", "x", b"1", "1,1", "FP32") + output + output + _END)  # fmt: skip # noqa: E501
    assert found is not None
    assert (list(found.inputs), list(found.outputs)) == (["x"], ["y"])
    assert found.outputs["y"].tolist() == [[3, 4]]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        _HEAD,
        _input(b"1,2", "1,2", "FP32")[:-1],
        b'[{"id":1,"activity":"TENSOR_QUEUE_INPUT"}]',
    ],
)
def test_a_file_that_is_not_whole_is_none(content: bytes) -> None:
    assert read_trace(content) is None


@pytest.mark.parametrize(
    "tensor",
    [
        _tensor("TENSOR_QUEUE_INPUT", "x", b"", "1,3", "FP16"),
        _tensor("TENSOR_QUEUE_INPUT", "x", b"1,2", "1,3", "FP32"),
        _tensor("TENSOR_QUEUE_INPUT", "x", b"1,2", "1,2", "OTHER"),
        b',{"id":1,"activity":"TENSOR_QUEUE_INPUT","tensor":{"name":"x","data":"1,2',
    ],
)
def test_a_tensor_that_cannot_be_read_is_left_out(tensor: bytes) -> None:
    found = read_trace(_HEAD + tensor + _END)
    assert found is not None
    assert not found.inputs


def test_a_request_without_an_id() -> None:
    content = _input(b"1", "1,1", "FP32").replace(b',"request_id":"r0"', b"")
    found = read_trace(content)
    assert found is not None
    assert found.request_id == ""
