"""Bad sources and data: each is refused with its reason, and nothing is written elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path

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
    monkeypatch.setattr(job, "Budget", lambda: Budget(inspect_seconds=12.0))


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


@pytest.mark.parametrize("name", SOUND)
def test_sound_source_is_taken(name: str, pod: Pod) -> None:
    kind, content = SOUND[name]
    folder = pod.folders.source / ("1" if kind == "triton" else ".")
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(content())
    pod.folders.fetched.write_text(_FETCHED)

    pod.ask(source_format=kind)

    assert pod.run("inspect")["result"]["source_digest"] == "d" * 64
