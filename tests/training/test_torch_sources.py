"""Models that torch saved: as ONNX they answer as torch does, or are refused in a sentence."""

import io
import json
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests.integration.optimize.harness import REQUEST, Pod
from tests.training.modules import (
    FREE,
    Alone,
    Branching,
    Chaotic,
    Foreign,
    Keyed,
    Listed,
    Number,
    Recurrent,
    Saved,
    Several,
    Unused,
    Writing,
    convolution,
    mlp,
    program,
    scripted,
    traced,
)
from torch import nn

from tightship.api.job import DataRequest
from tightship.optimize import confine, intake
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Tensor as Contracted
from tightship.optimize.failures import RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.pytorch import archive, model, source, task
from tightship.optimize.pytorch.archive import Kind

Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def _calm() -> Iterator[None]:
    """The exporters warn of themselves; a child passes that over."""
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def numbers(*shape: int, count: int = 5) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((count, *shape))


def converted(folder: Path, saved: Saved, arrays: Mapping[str, np.ndarray] | None) -> Any:  # noqa: ANN401
    """What the child tells; its files lie in the folder."""
    file = folder / "model.pt"
    saved(file)
    if arrays is not None:
        np.savez(folder / "data.npz", **dict(arrays))  # type: ignore[arg-type] # of savez' options
    given = {"path": str(folder / "data.npz"), "what": "evaluation"}
    payload = {"path": str(file), "kind": archive.kind(file).value, "samples": 64, "batch": 8}
    return task.convert_task({**payload, "data": given if arrays is not None else None})


def interface(file: Path) -> tuple[dict[str, list[Any]], list[str]]:
    """Inputs with their axes, free ones as None; names of outputs."""
    graph = onnx.load(file).graph
    inputs = {
        value.name: [
            dim.dim_value if dim.HasField("dim_value") else None
            for dim in value.type.tensor_type.shape.dim
        ]
        for value in graph.input
    }
    return inputs, [value.name for value in graph.output]


X6 = {"x": numbers(6)}
MANY = {"x": numbers(4), "ids": np.arange(10).reshape(5, 2)}
MODELS: dict[str, tuple[Callable[[], Saved], Arrays, Mapping[str, list[Any]], list[str]]] = {
    "program": (lambda: program(mlp(), torch.randn(2, 6)), X6, {"x": [None, 6]}, ["output"]),
    "script": (lambda: scripted(mlp()), {"rows": numbers(6)}, {"rows": [None, 6]}, ["output"]),
    "free lengths": (
        lambda: program(Keyed(), torch.randn(2, 6), shapes=({0: FREE, 1: FREE},)),
        X6,
        {"x": [None, None]},
        ["scores", "class"],
    ),
    "recurrent program": (
        lambda: program(Recurrent().eval(), torch.randn(2, 5, 3)),
        {"x": numbers(5, 3, count=20)},
        {"x": [None, 5, 3]},
        ["output"],
    ),
    "convolution": (
        lambda: traced(convolution(), torch.randn(1, 1, 8, 8)),
        {"pixels": numbers(1, 8, 8)},
        {"pixels": [None, 1, 8, 8]},
        ["output"],
    ),
    "recurrent script": (
        lambda: scripted(Recurrent().eval()),
        {"x": numbers(5, 3, count=20)},
        {"x": [None, 5, 3]},
        ["output"],
    ),
    "several inputs": (
        lambda: scripted(Several().eval()),
        MANY,
        {"x": [None, 4], "ids": [None, 2]},
        ["sums", "words"],
    ),
    "and the one with a default": (
        lambda: scripted(Several().eval()),
        {**MANY, "mask": np.array([[1.0, 0.0]] * 5)},
        {"x": [None, 4], "ids": [None, 2], "mask": [None, 2]},
        ["sums", "words"],
    ),
    "keys": (
        lambda: program(Keyed(), torch.randn(2, 6)),
        X6,
        {"x": [None, 6]},
        ["scores", "class"],
    ),
    "control flow": (lambda: scripted(Branching()), X6, {"x": [None, 6]}, ["output"]),
    "a batch of one alone": (
        lambda: program(mlp(), torch.randn(1, 6), shapes=()),
        X6,
        {"x": [1, 6]},
        ["output"],
    ),
    "no batch axis": (lambda: scripted(Alone()), X6, {"x": [6]}, ["output"]),
    "no weights": (
        lambda: scripted(nn.Softmax(dim=1)),
        {"a": np.arange(15).reshape(5, 3) / 7},
        {"a": [None, 3]},
        ["output"],
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_answers_as_torch_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved, arrays, inputs, outputs = MODELS[name]
    monkeypatch.chdir(tmp_path)
    told = converted(tmp_path, saved(), arrays)
    assert interface(tmp_path / "model.onnx") == (inputs, outputs)
    assert told["agreement"]["difference"] < 1e-4
    assert told["rows"] == "given"


def test_a_program_brings_its_own_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = converted(tmp_path, program(mlp(), torch.randn(2, 6)), None)
    assert told["rows"] == "examples"
    assert told["inputs"] == {"input": "float32"}
    assert "no data were given" in told["notes"][0]


def test_arrays_under_other_names_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arrays = {"numbers": MANY["x"], "words": MANY["ids"]}
    told = converted(tmp_path, scripted(Several().eval()), arrays)
    assert told["notes"] == [
        "the data's arrays were taken in their order: x is numbers, ids is words"
    ]


REFUSED: dict[str, tuple[Callable[[], Saved], Arrays | None, str, str]] = {
    "no data": (lambda: scripted(mlp()), None, "UnsupportedModel", "some samples are enough"),
    "another number of inputs": (
        lambda: scripted(mlp()),
        {"a": numbers(6), "b": numbers(6)},
        "DataInvalid",
        "hold ['a', 'b'], and the model takes ['input']",
    ),
    "another shape": (
        lambda: scripted(mlp()),
        {"a": numbers(7)},
        "DataInvalid",
        "fails on samples",
    ),
    "a value that the model does not take": (
        lambda: scripted(Several().eval()),
        {"x": numbers(4), "ids": np.arange(10).reshape(5, 2) * 3},
        "DataInvalid",
        "index out of range",
    ),
    "a number as input": (
        lambda: scripted(Number()),
        X6,
        "UnsupportedModel",
        "takes 'times' of type int",
    ),
    "no tensor as answer": (
        lambda: scripted(Listed()),
        X6,
        "UnsupportedModel",
        "answers with a float",
    ),
    "training": (
        lambda: traced(nn.Sequential(nn.Linear(6, 64), nn.Dropout(0.5)).train(), torch.randn(2, 6)),
        X6,
        "UnsupportedModel",
        "model.eval()",
    ),
    "bfloat16": (
        lambda: scripted(mlp().bfloat16()),
        X6,
        "UnsupportedModel",
        "model.float()",
    ),
    "chaos": (
        lambda: scripted(Chaotic()),
        {"x": numbers(512)},
        "UnsupportedModel",
        "of its greatest value",
    ),
    "no such operator": (
        lambda: scripted(Foreign()),
        {"x": numbers(3, 3)},
        "UnsupportedModel",
        "aten::linalg_eigvals",
    ),
    "no such operator in a program": (
        lambda: program(Foreign(), torch.randn(2, 3, 3)),
        {"x": numbers(3, 3)},
        "UnsupportedModel",
        "aten.linalg_eig",
    ),
    "an input that is not used": (
        lambda: scripted(Unused()),
        {"x": numbers(3), "y": numbers(3)},
        "UnsupportedModel",
        "nothing in it uses ['y']",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, arrays, reason, words = REFUSED[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RefusalError) as caught:
        converted(tmp_path, saved(), arrays)
    assert words in caught.value.message
    assert caught.value.reason.value == reason


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    made = Pod(Folders(tmp_path / "pod"), REQUEST, monkeypatch)
    made.folders.source.mkdir(parents=True)
    made.folders.fetched.write_text('{"source_digest": "' + "d" * 64 + '", "source_bytes": 1}')
    made.ask(source_format="torch", trusted_code=True)
    return made


trusted = pytest.mark.skipif(not confine.abi(), reason="this kernel has no Landlock")


@trusted
def test_an_intake_takes_it(pod: Pod) -> None:
    program(mlp(), torch.randn(2, 6))(pod.folders.source / "model.pt2")
    np.savez(pod.folders.calibration, numbers=numbers(6))
    pod.ask(calibration=DataRequest(uri="file:///c.npz", max_samples=5))
    found = intake.take(pod.request, pod.folders, Budget())
    assert found.contract.inputs == (Contracted("numbers", "float32", (None, 6)),)
    assert found.contract.max_batch > 1
    assert found.calibration is not None
    assert isinstance(found.exported, source.Exported)
    assert (found.exported.facts["format"], found.exported.notes) == ("program", ())


WEIGHTS: dict[str, Callable[[Path], None]] = {
    "state_dict": lambda file: torch.save(mlp().state_dict(), file),
    "module": lambda file: torch.save(mlp(), file),
    "before 1.6": lambda file: torch.save(
        mlp().state_dict(), file, _use_new_zipfile_serialization=False
    ),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_alone_are_refused_with_how_to_export(name: str, pod: Pod) -> None:
    WEIGHTS[name](pod.folders.source / "model.pt")
    failure = pod.refused("inspect")
    assert failure.reason == "UnsupportedModel"
    assert "torch.export.save(" in failure.message


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("at", [0.3, 0.7])
def test_damaged_files(at: float, kind: Kind, tmp_path: Path) -> None:
    """Whole on the outside, noise within."""
    file = tmp_path / "model.pt2"
    saved = program(mlp(), torch.randn(2, 6)) if kind is Kind.PROGRAM else scripted(mlp())
    saved(file)
    with zipfile.ZipFile(file) as whole:
        members = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(file, "w") as cut:
        for name, content in members.items():
            cut.writestr(name, content[: int(len(content) * at)])
    assert archive.kind(file) is kind
    with pytest.raises(RefusalError, match="Save it again") as caught:
        model.load(file, kind)
    assert caught.value.reason.value == "InvalidModel"


class Canary:
    """A pickle that runs code when it is read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self._path),)


def _with_pickle(file: Path, canary: Path) -> None:
    """A program one of whose weights is a pickle, as torch.export.load takes them."""
    program(mlp(), torch.randn(2, 6))(file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (listed,) = (name for name in members if name.endswith("model_weights_config.json"))
    config = json.loads(members[listed])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    buffer = io.BytesIO()
    torch.save(Canary(canary), buffer)
    (weight,) = (name for name in members if name.endswith(f"weights/{entry['path_name']}"))
    members |= {listed: json.dumps(config).encode(), weight: buffer.getvalue()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_a_program_can_hold_code(pod: Pod, tmp_path: Path) -> None:
    """Why they are trusted or not read: torch itself runs it."""
    file, canary = tmp_path / "model.pt2", tmp_path / "canary"
    _with_pickle(file, canary)
    with suppress(Exception):  # whatever torch meets then
        torch.export.load(str(file))
    assert canary.exists()
    pod.ask(trusted_code=False)
    (pod.folders.source / "model.pt2").write_bytes(file.read_bytes())
    assert pod.refused("inspect").reason == "UnsafeModel"


@trusted
def test_trusted_code_does_not_write_outside(pod: Pod, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    _with_pickle(pod.folders.source / "model.pt2", canary)
    failure = pod.refused("inspect")
    assert failure.reason == "InvalidModel"
    assert "Permission" in failure.message
    assert not canary.exists()


@trusted
def test_neither_does_torchscript(pod: Pod, tmp_path: Path) -> None:
    """Torch passes over that it could not open the file."""
    file, canary = pod.folders.source / "model.pt", tmp_path / "canary"
    scripted(Writing(str(canary)))(file)
    torch.jit.load(file)(torch.ones(1))
    assert canary.exists()
    canary.unlink()
    np.savez(pod.folders.calibration, x=numbers(6))
    pod.ask(calibration=DataRequest(uri="file:///c.npz", max_samples=5))
    assert pod.run("inspect")["result"]["limitations"] == []
    assert not canary.exists()
