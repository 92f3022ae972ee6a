"""Which files of a repository are its ONNX model."""

import pytest

from tightship.storage import StorageError, model_of
from tightship.storage.errors import UNSUPPORTED_ARTIFACT
from tightship.storage.hublayout import model_files

CASES = {
    "in its folder": (
        ["config.json", "onnx/model.onnx", "onnx/model_fp16.onnx", "README.md"],
        ["config.json", "onnx/model.onnx"],
    ),
    "with external data": (
        ["m.onnx", "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx.data"],
        ["onnx/model.onnx", "onnx/model.onnx.data", "onnx/model.onnx_data"],
    ),
    "at the top": (
        ["model.onnx", "model.onnx.data", "sub/model.onnx.data", "model.safetensors"],
        ["model.onnx", "model.onnx.data"],
    ),
    "in both places": (["model.onnx", "onnx/model.onnx"], ["onnx/model.onnx"]),
    "not deeper": (["model.onnx", "model.onnx_data/x"], ["model.onnx"]),
}


@pytest.mark.parametrize("case", CASES)
def test_the_files_of_the_model(case: str) -> None:
    names, expected = CASES[case]
    assert model_files(names, "hf://o/n") == expected


@pytest.mark.parametrize("names", [[], ["config.json"], ["onnx/encoder.onnx", "a/model.onnx"]])
def test_no_model_in_the_usual_place(names: list[str]) -> None:
    with pytest.raises(StorageError) as caught:
        model_files(names, "hf://o/n")
    assert caught.value.reason == UNSUPPORTED_ARTIFACT
    assert all(name in caught.value.message for name in names if name.endswith(".onnx"))


def test_a_folder_is_in_the_layout_with_its_configuration() -> None:
    assert model_of({"config.json", "model.onnx", "x"}) == "model.onnx"
    assert model_of({"config.json", "model.onnx", "onnx/model.onnx"}) == "onnx/model.onnx"
    assert model_of({"model.onnx", "x.onnx"}) is None
    assert model_of({"config.json", "x.onnx"}) is None
