"""Bad sources and data: each is refused with its reason, and nothing is written elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from tests.corpus.models import build, data, hostile
from tests.integration.optimize.harness import Pod

from tightship.api.artifact import IntakeResult
from tightship.api.job import DataRequest
from tightship.optimize import job
from tightship.optimize.budget import Budget

_FETCHED = json.dumps(IntakeResult(source_digest="d" * 64, source_bytes=1).to_json())


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "Budget", lambda **known: Budget(inspect_seconds=12.0, **known))


@pytest.mark.parametrize("case", hostile.CASES, ids=lambda case: case.name)
def test_hostile_source_is_refused(case: hostile.Case, pod: Pod, tmp_path: Path) -> None:
    case.write(pod.folders.source)
    outside = _outside(tmp_path)

    pod.ask(source_format=case.format)
    failure = pod.refused("inspect")

    assert (failure.reason, failure.retryable) == (case.reason, case.reason == "TimedOut")
    assert case.hint in failure.message
    assert "Traceback" not in failure.message
    assert failure.message.endswith((".", ")"))
    assert _outside(tmp_path) == outside


def _outside(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.name != "pod")


@pytest.mark.parametrize("case", data.CASES, ids=lambda case: case.name)
def test_bad_data_are_refused(case: data.Case, pod: Pod) -> None:
    (pod.folders.source / "model.onnx").write_bytes(build.perceptron().SerializeToString())
    pod.folders.evaluation.write_bytes(case.content())

    pod.ask(evaluation=DataRequest(uri="file:///e.npz", max_samples=100), metric=case.metric)
    failure = pod.refused("inspect")

    assert failure.reason == "DataInvalid"
    assert case.hint in failure.message
    assert not failure.retryable


SOUND: dict[str, tuple[str, Callable[[], bytes]]] = {
    "perceptron": ("onnx", lambda: bytes(build.perceptron().SerializeToString())),
    "unbatched": ("onnx", lambda: bytes(build.perceptron(1).SerializeToString())),
    "text": ("onnx", lambda: bytes(build.text_lengths().SerializeToString())),
    "triton": ("triton", lambda: bytes(build.perceptron().SerializeToString())),
}


LIMITATIONS = {"unbatched": ["NoBatchAxis"], "text": ["TextInput"]}


@pytest.mark.parametrize("name", SOUND)
def test_sound_source_is_taken(name: str, pod: Pod) -> None:
    kind, content = SOUND[name]
    folder = pod.folders.source / ("1" if kind == "triton" else ".")
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(content())
    pod.folders.fetched.write_text(_FETCHED)

    pod.ask(source_format=kind)

    result = pod.run("inspect")["result"]
    assert result["source_digest"] == "d" * 64
    assert result["limitations"] == LIMITATIONS.get(name, [])


def test_rows_that_depend_on_each_other_are_told(pod: Pod) -> None:
    (pod.folders.source / "model.onnx").write_bytes(build.centred().SerializeToString())
    pod.folders.fetched.write_text(_FETCHED)
    assert pod.run("inspect")["result"]["limitations"] == ["RowsInteract"]


def test_a_small_scratch_volume_is_told_before_it_is_full(pod: Pod, tmp_path: Path) -> None:
    content = build.perceptron(width=64).SerializeToString()
    size = len(content)
    (tmp_path / "model.onnx").write_bytes(content)
    pod.ask(source_uri=f"file://{tmp_path}/model.onnx", scratch_bytes=size - 1)
    assert pod.refused("fetch").reason == "NoSpaceLeft"

    pod.ask(scratch_bytes=3 * size)
    pod.run("fetch")
    failure = pod.refused("inspect")
    assert (failure.reason, failure.retryable) == ("NoSpaceLeft", False)
    assert f"The model has {size} bytes" in failure.message
    assert "spec.converter.scratchSize" in failure.message

    pod.ask(scratch_bytes=2**30)
    assert "result" in pod.run("inspect")


def test_an_archive_that_does_not_fit_the_scratch_volume(pod: Pod) -> None:
    content = build.perceptron(width=64).SerializeToString()
    with ZipFile(pod.folders.source / "model.zip", "w") as archive:
        archive.writestr("model.onnx", content)
    pod.ask(scratch_bytes=2 * len(content))
    failure = pod.refused("inspect")
    assert failure.reason == "NoSpaceLeft"
    assert "model.zip unpacks to more" in failure.message
