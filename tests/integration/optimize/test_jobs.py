"""Conversion Jobs of small models: no data, text, own config.pbtxt, and what goes wrong."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.corpus.models import build, data
from tests.integration.optimize.harness import Pod, address
from tests.support.triton import Triton

from tightship.api.artifact import Summary
from tightship.api.job import DataRequest
from tightship.drift.reference import REFERENCE, Column, Reference, reference
from tightship.optimize import confirm, intake, serving
from tightship.optimize.budget import Budget
from tightship.optimize.confirm import CANDIDATE, Stand, UnconfirmedError
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.folders import Folders
from tightship.triton import config_pbtxt
from tightship.triton.client import TritonClient

KEY = "a" * 64


def sources(folder: Path, **files: bytes) -> dict[str, Any]:
    """Files in a folder of sources and the request's fields that name them."""
    folder.mkdir()
    (folder / "model.onnx").write_bytes(files["model"])
    found: dict[str, Any] = {"source_uri": f"file://{folder}/model.onnx"}
    for name in ("calibration", "evaluation"):
        if name in files:
            (folder / f"{name}.npz").write_bytes(files[name])
            found[name] = DataRequest(uri=f"file://{folder}/{name}.npz", max_samples=500)
    if "evaluation" in files:
        found["metric"] = "accuracy"
    return found


def convert(pod: Pod, triton: Triton) -> Summary:
    pod.folders = Folders(pod.folders.root, triton.repository)
    pod.ask(key=KEY)
    pod.run("fetch")
    pod.run("convert", address(triton))
    return Summary.from_json(pod.run("publish")["result"])


def labelled(count: int) -> bytes:
    """Samples labelled by the perceptron's own answers."""
    import onnxruntime as ort  # noqa: PLC0415 (slow to import)

    inputs = np.random.default_rng(4).standard_normal((count, 8)).astype(np.float32)
    session = ort.InferenceSession(
        build.perceptron().SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (scores,) = session.run(None, {"x": inputs})
    return data.npz(x=inputs, labels=scores.argmax(axis=1))


WITHOUT_GAIN: dict[str, tuple[Callable[[], bytes], str]] = {
    "no data": (lambda: bytes(build.perceptron().SerializeToString()), ""),
    "unbatched": (lambda: bytes(build.perceptron(1).SerializeToString()), "no batch axis"),
    "text": (lambda: bytes(build.text_lengths().SerializeToString()), "takes text"),
}


@pytest.mark.parametrize("name", WITHOUT_GAIN)
def test_original_is_served_unchanged_and_says_why(
    name: str, pod: Pod, tmp_path: Path, triton: Triton
) -> None:
    content, words = WITHOUT_GAIN[name]
    pod.ask(**sources(tmp_path / "in", model=content()))

    summary = convert(pod, triton)

    assert (summary.variant, summary.technique, summary.speedup) == ("original", "None", 1.0)
    assert "no data to judge" in summary.reason
    assert not (pod.folders.artifact / REFERENCE).exists()
    assert any(words in warning for warning in pod.report()["warnings"]) == bool(words)
    served = pod.folders.artifact / "model" / "1" / "model.onnx"
    assert served.read_bytes() == content()
    assert summary.max_batch == (0 if name == "unbatched" else 32)
    assert {c["status"] for c in pod.report()["candidates"]} == {"ineligible"}


def test_gate_finer_than_the_data_is_told(pod: Pod, tmp_path: Path, triton: Triton) -> None:
    model = bytes(build.perceptron().SerializeToString())
    pod.ask(**sources(tmp_path / "in", model=model, evaluation=labelled(100)))

    summary = convert(pod, triton)

    assert summary.variant == "original"
    assert "finer than the data can show" in summary.reason
    assert "at least 268 samples" in summary.reason
    assert pod.report()["warnings"]


def test_without_labels_outputs_are_compared(pod: Pod, tmp_path: Path, triton: Triton) -> None:
    model = bytes(build.perceptron(width=8).SerializeToString())
    inputs = np.random.default_rng(2).standard_normal((400, 8)).astype(np.float32)
    pod.ask(**sources(tmp_path / "in", model=model, calibration=data.npz(x=inputs)), max_drop=0.05)

    summary = convert(pod, triton)

    assert (summary.metric, summary.metric_before) == ("agreement", 1.0)
    assert pod.report()["gate"]["samples"] == 200
    found = Reference.from_json((pod.folders.artifact / REFERENCE).read_text())
    assert (found.samples, found.left_out) == (200, 0)
    assert [tensor.name for tensor in found.tensors] == ["in/x", "out/y"]
    column = Column(name="x", rows=inputs[1::2], fixed=True)
    same = reference([column], [])
    assert same is not None
    assert set(same.histograms) <= set(found.histograms)


def test_own_configuration_is_respected_and_completed(
    pod: Pod, tmp_path: Path, triton: Triton
) -> None:
    folder = tmp_path / "in"
    (folder / "1").mkdir(parents=True)
    (folder / "1" / "model.onnx").write_bytes(build.perceptron().SerializeToString())
    (folder / "config.pbtxt").write_text(
        "max_batch_size: 4\ndynamic_batching { max_queue_delay_microseconds: 300 }\n"
        'parameters { key: "intra_op_thread_count" value: { string_value: "2" } }\n'
    )
    pod.ask(source_uri=f"file://{folder}/", source_format="triton")

    summary = convert(pod, triton)

    config = config_pbtxt.parse((pod.folders.artifact / "model" / "config.pbtxt").read_text())
    assert (config.backend, config.max_batch_size, summary.max_batch) == ("onnxruntime", 4, 4)
    assert config.dynamic_batching.max_queue_delay_microseconds == 300
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert [entry.name for entry in config.input] == ["x"]
    assert "input" in pod.report()["source"]["config"]["filled"]


def test_changed_source_is_refused_by_its_digest(pod: Pod, tmp_path: Path) -> None:
    model = bytes(build.perceptron().SerializeToString())
    pod.ask(**sources(tmp_path / "in", model=model), source_digest="0" * 64)
    assert pod.refused("fetch").reason == "DigestMismatch"


def test_fetch_answers_with_the_digests(pod: Pod, tmp_path: Path) -> None:
    model, calibration = bytes(build.perceptron().SerializeToString()), data.npz(x=data.INPUT)
    pod.ask(**sources(tmp_path / "in", model=model, calibration=calibration))
    result = pod.run("fetch")["result"]
    assert result["source_digest"] == hashlib.sha256(model).hexdigest()
    assert result["calibration_digest"] == hashlib.sha256(calibration).hexdigest()
    assert result["evaluation_digest"] is None


def test_missing_triton_is_a_retryable_failure(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirm, "_START_SECONDS", 0.5)
    pod.ask(
        **sources(tmp_path / "in", model=bytes(build.perceptron().SerializeToString())), key=KEY
    )
    pod.run("fetch")
    failure = pod.refused("convert")
    assert (failure.reason, failure.retryable) == ("TritonFailed", True)
    assert "container 'triton'" in failure.message


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"key": 1}'])
def test_request_of_another_version_is_refused(
    text: str, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(pod.request), "to_json", lambda _: text)
    assert pod.refused("fetch").reason == "InvalidRequest"


def test_unexpected_errors_tell_no_traceback(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(intake, "take", broken)
    failure = pod.refused("inspect")
    assert (failure.reason, failure.retryable) == ("InternalError", True)
    assert "secret detail" not in failure.message


def _stand(client: TritonClient, triton: Triton, contract: Contract) -> Stand:
    text = serving.completed(contract, None, 1).text
    return Stand(
        client,
        triton.repository,
        contract,
        lambda model: serving.for_model(text, model, 1),
        Budget(),
    )


def _perceptron(tmp_path: Path, pod: Pod) -> tuple[Path, Contract]:
    (pod.folders.source / "model.onnx").write_bytes(build.perceptron().SerializeToString())
    found = intake.take(pod.request, pod.folders, Budget())
    file = tmp_path / "candidate" / "model.onnx"
    file.parent.mkdir()
    file.write_bytes(found.model.read_bytes())
    return file, found.contract


async def test_candidate_that_answers_otherwise_in_triton_is_refused(
    pod: Pod, tmp_path: Path, triton: Triton
) -> None:
    file, contract = _perceptron(tmp_path, pod)
    samples = Dataset({"x": data.INPUT})
    async with TritonClient(triton.http) as client:
        stand = _stand(client, triton, contract)
        await stand.load(CANDIDATE, Executable(file))
        right = await stand.answers(CANDIDATE, samples)
        proof, _ = await stand.prove(CANDIDATE, samples, right)
        assert proof.agreeing == 1.0
        wrong = {"y": right["y"][:, ::-1]}
        with pytest.raises(UnconfirmedError, match="of 40 samples differently in Triton"):
            await stand.prove(CANDIDATE, samples, wrong)
        await stand.drop(CANDIDATE)


async def test_candidate_that_triton_does_not_load_is_refused(
    pod: Pod, tmp_path: Path, triton: Triton
) -> None:
    file, contract = _perceptron(tmp_path, pod)
    file.write_bytes(file.read_bytes()[:-30])
    async with TritonClient(triton.http) as client:
        stand = _stand(client, triton, contract)
        with pytest.raises(UnconfirmedError, match="Triton does not load it"):
            await stand.load(CANDIDATE, Executable(file))
        await stand.drop(CANDIDATE)
