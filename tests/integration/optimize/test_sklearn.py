"""Models of scikit-learn through a whole conversion with a real Triton, and hostile ones."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
from sklearn.preprocessing import FunctionTransformer
from tests.corpus.models import estimators
from tests.e2e.support import examples
from tests.integration.optimize.harness import Pod, address
from tests.support.triton import Triton

from tightship.agent import golden
from tightship.api.artifact import IntakeResult
from tightship.api.job import DataRequest
from tightship.optimize import confine, job
from tightship.optimize.budget import Budget
from tightship.optimize.tabular.inputs import layout

_FETCHED = '{"source_digest": "' + "d" * 64 + '", "source_bytes": 1}'


def _hurried(**known: Any) -> Budget:  # noqa: ANN401 (fields of Budget)
    return Budget(
        timing_processes_min=1,
        timing_bursts=2,
        confirm_bursts=2,
        confirm_burst_seconds=0.1,
        profile_seconds=0.1,
        **known,
    )


@pytest.fixture(autouse=True)
def _little_effort(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "Budget", _hurried)


@pytest.fixture
def prepared(pod: Pod) -> Pod:
    pod.folders.fetched.write_text(_FETCHED)
    pod.ask(source_format="sklearn", key="k" * 64)
    pod.ask(quantize=False, half_precision=False, prune=False, openvino=False)
    return pod


def _placed(pod: Pod, case: estimators.Case) -> None:
    skops.io.dump(case.estimator, pod.folders.source / "model.skops")
    arrays: dict[str, Any] = {**case.rows, "labels": case.labels}
    np.savez(pod.folders.evaluation, **arrays)
    data = DataRequest(uri="file:///e.npz", max_samples=500)
    pod.ask(evaluation=data, metric=case.metric)


@pytest.mark.parametrize("name", estimators.CASES)
def test_triton_serves_scikit_learns_answers(name: str, prepared: Pod, triton: Triton) -> None:
    case = estimators.CASES[name](3)
    _placed(prepared, case)
    pod = replace(prepared, folders=replace(prepared.folders, repository=triton.repository))

    pod.run("convert", address(triton))

    report = pod.report()
    found = report["source"]["sklearn"]
    assert found["rows"] == "given"
    assert found["equality"]["samples"] == len(case.labels)
    assert found["equality"]["labels_differing"] == found["equality"]["numbers_differing"] == 0
    assert found["speed"]["speedup"] > 0
    assert report["triton"]["proof"]["agreeing"] >= 0.999
    assert report["selection"]["reason"].startswith("As ONNX the model is x")
    assert report["selection"]["variant"] == "original"
    _same_answers(pod, case)


def _same_answers(pod: Pod, case: estimators.Case) -> None:
    """What Triton answered to the golden samples is what scikit-learn says."""
    samples = golden.read_golden(
        pod.folders.artifact / "golden.npz", golden.Tolerance(rtol=0, atol=0)
    )
    inputs = layout(case.estimator, "float32")
    arrays = inputs.given(samples.inputs)
    assert arrays is not None
    given = inputs.rows(arrays)
    if "prediction" in samples.outputs:
        expected = case.estimator.predict(given)
        assert np.allclose(samples.outputs["prediction"].reshape(-1), expected, rtol=1e-3)
    if "label" in samples.outputs:
        expected = case.estimator.predict(given)
        assert np.array_equal(samples.outputs["label"].reshape(-1), expected)
    if "probabilities" in samples.outputs:
        expected = case.estimator.predict_proba(given)
        assert np.allclose(samples.outputs["probabilities"], expected, atol=1e-4)


def test_an_intake_tells_that_text_is_not_optimized(prepared: Pod) -> None:
    skops.io.dump(estimators.CASES["text"](2).estimator, prepared.folders.source / "m.skops")
    result = IntakeResult.from_json(prepared.run("inspect")["result"])
    assert result.limitations == ("TextInput",)


def test_the_example_is_taken(prepared: Pod) -> None:
    folder = examples.files() / "tumours"
    shutil.copy(folder / "model.skops", prepared.folders.source)
    shutil.copy(folder / "evaluation.npz", prepared.folders.evaluation)
    data = DataRequest(uri="file:///e.npz", max_samples=500)
    prepared.ask(evaluation=data, metric="accuracy")
    assert prepared.run("inspect")["result"]["limitations"] == []


class Canary:
    """A pickle that runs code when it is read."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:  # noqa: ANN401
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self._call


@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".pickle", ".JOBLIB"])
def test_a_pickle_never_runs_without_trusted_code(
    suffix: str, prepared: Pod, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    joblib.dump(Canary(os.mkdir, str(canary)), prepared.folders.source / f"model{suffix}")
    for stage in ("inspect", "convert"):
        failure = prepared.refused(stage)
        assert failure.reason == "UnsafeModel"
        assert "spec.trustedCode" in failure.message
        assert ".skops" in failure.message
    assert not canary.exists()


def test_a_pickle_that_is_called_skops_never_runs(prepared: Pod, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for trusted in (False, True):
        joblib.dump(Canary(os.mkdir, str(canary)), prepared.folders.source / "model.skops")
        prepared.ask(trusted_code=trusted)
        assert prepared.refused("inspect").reason == "InvalidModel"
    assert not canary.exists()


def test_a_function_in_a_skops_file_never_runs(prepared: Pod) -> None:
    model = FunctionTransformer(os.getcwd)
    skops.io.dump(model, prepared.folders.source / "model.skops")
    failure = prepared.refused("inspect")
    assert failure.reason == "UnsafeModel"
    assert "getcwd" in failure.message


trusted = pytest.mark.skipif(not confine.abi(), reason="this kernel has no Landlock")


@trusted
def test_trusted_pickles_are_taken(prepared: Pod) -> None:
    case = estimators.CASES["random-forest"](2)
    path = prepared.folders.source / "model.joblib"
    joblib.dump(case.estimator, path, compress=("gzip", 3))
    (prepared.folders.source / "README.md").write_text("A forest.")
    prepared.ask(trusted_code=True)
    assert prepared.run("inspect")["result"]["limitations"] == []


@trusted
@pytest.mark.parametrize("outside", ["canary", "pod/work/out/artifact", "pod/work/done.json"])
def test_trusted_code_does_not_write_outside(outside: str, prepared: Pod, tmp_path: Path) -> None:
    target = tmp_path / outside
    target.parent.mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    joblib.dump(Canary(os.mkdir, str(target)), prepared.folders.source / "model.pkl")
    before = sorted({*before, prepared.folders.source / "model.pkl"})
    prepared.ask(trusted_code=True)

    failure = prepared.refused("inspect")

    assert failure.reason == "InvalidModel"
    assert "Permission" in failure.message
    after = [p for p in tmp_path.rglob("*") if prepared.folders.scratch not in (p, *p.parents)]
    log = {prepared.folders.termination_log, *prepared.folders.termination_log.parents}
    assert [path for path in sorted(after) if path not in log] == [
        path for path in before if path not in log
    ]


@trusted
def test_trusted_code_does_not_hang_the_job(prepared: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "Budget", lambda **known: Budget(export_seconds=15.0, **known))
    joblib.dump(Canary(time.sleep, 600), prepared.folders.source / "model.pkl")
    prepared.ask(trusted_code=True)
    started = time.monotonic()
    failure = prepared.refused("inspect")
    assert (failure.reason, failure.retryable) == ("TimedOut", True)
    assert time.monotonic() - started < 120


@trusted
def test_trusted_code_that_ends_its_process_is_a_sentence(prepared: Pod) -> None:
    joblib.dump(Canary(os._exit, 0), prepared.folders.source / "model.pkl")
    prepared.ask(trusted_code=True)
    failure = prepared.refused("inspect")
    assert failure.reason == "InvalidModel"
    assert "without a word" in failure.message


SOURCES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "nothing": ((), "InvalidModel", "nothing"),
    "onnx": (("model.onnx",), "InvalidModel", "for an ONNX file use onnx"),
    "two": (("a.skops", "b.skops"), "UnsupportedModel", "2 scikit-learn models"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_without_one_model(name: str, prepared: Pod) -> None:
    files, reason, words = SOURCES[name]
    for file in files:
        (prepared.folders.source / file).write_bytes(b"x")
    failure = prepared.refused("inspect")
    assert failure.reason == reason
    assert words in failure.message
