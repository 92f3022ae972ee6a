"""A published variant is evaluated anew on data that have changed since."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.corpus.models import build, data
from tests.integration.optimize.harness import Pod
from tests.integration.optimize.test_jobs import KEY, sources

from tightship.api import job as wire
from tightship.api.artifact import MANIFEST, EvaluationResult
from tightship.api.job import DataRequest, EvaluateRequest, MetricRequest
from tightship.optimize import artifact, confine, intake, reevaluate
from tightship.optimize.budget import Budget
from tightship.optimize.folders import Folders

SAMPLES = 400
METRIC = b"""
def wrong(outputs, labels):
    return next(iter(outputs.values())).argmax(axis=1) != labels

wrong.larger_is_better = False
"""


def labelled(wrong: float) -> bytes:
    """Samples with the perceptron's own answers as labels, a share of them made wrong."""
    import onnxruntime as ort  # noqa: PLC0415 (slow to import)

    rng = np.random.default_rng(7)
    inputs = rng.standard_normal((SAMPLES, 8)).astype(np.float32)
    model = build.perceptron().SerializeToString()
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"x": inputs})
    labels = scores.argmax(axis=1)
    labels[: int(wrong * SAMPLES)] = (labels[: int(wrong * SAMPLES)] + 1) % scores.shape[1]
    return data.npz(x=inputs, labels=labels)


@pytest.fixture
def published(pod: Pod, tmp_path: Path) -> EvaluateRequest:
    """The perceptron as it came, in a store, with the metric that it had."""
    content = build.perceptron().SerializeToString()
    pod.ask(**sources(tmp_path / "in", model=content, evaluation=labelled(0.0)))
    pod.run("fetch")
    contract = intake.take(pod.request, pod.folders, Budget()).contract
    folder = tmp_path / "new"
    (folder / "model" / "1").mkdir(parents=True)
    (folder / "model" / "1" / "model.onnx").write_bytes(content)
    report = {
        "source": {"contract": contract.to_json()},
        "baseline": {"metric": 1.0},
        "ownMetric": {"sha256": hashlib.sha256(METRIC).hexdigest()},
        "selection": {"variant": "original"},
        "candidates": [],
    }
    (folder / "report.json").write_text(json.dumps(report))
    manifest = json.dumps({"schema": 1, "key": KEY, "files": artifact.listing(folder)})
    (folder / MANIFEST).write_text(manifest)
    digest = artifact.digest(manifest.encode())
    (tmp_path / "store" / "sha256" / KEY).mkdir(parents=True)
    folder.rename(tmp_path / "store" / "sha256" / KEY / digest)
    return EvaluateRequest(
        key=KEY,
        digest=digest,
        data=DataRequest(uri=f"file://{tmp_path}/in/evaluation.npz", max_samples=SAMPLES),
        metric="accuracy",
        max_drop=0.01,
        confidence=0.95,
        store_uri=f"file://{tmp_path}/store",
        allowed_hosts=(),
        max_source_bytes=2**30,
        scratch_bytes=2**33,
    )


def stage(
    name: str, request: EvaluateRequest, root: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    folders = Folders(root)
    monkeypatch.setenv(wire.REQUEST_VARIABLE, request.to_json())
    reevaluate.main(name, folders)
    answer: dict[str, Any] = json.loads(folders.termination_log.read_text())
    return answer


def test_what_the_data_say_now(
    published: EvaluateRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases = (("as it was", 0.0, ()), ("within doubt", 0.01, ()), ("worse", 0.2, ("maxDrop",)))
    digests = set()
    for name, wrong, failed in cases:
        (tmp_path / "in" / "evaluation.npz").write_bytes(labelled(wrong))
        root = tmp_path / name
        fetched = stage("fetch-evaluation", published, root, monkeypatch)
        found = EvaluationResult.from_json(
            stage("evaluate", published, root, monkeypatch)["result"]
        )
        assert found.failed == failed
        assert found.value == pytest.approx(1 - wrong)
        assert found.worst < found.value <= found.best
        assert (found.samples, found.recorded, found.key) == (SAMPLES, 1.0, KEY)
        assert found.metric == "accuracy"
        assert found.allowed == pytest.approx(0.99)
        assert found.evaluation_digest == fetched["result"]["evaluation_digest"]
        digests.add(found.evaluation_digest)
    assert len(digests) == len(cases)


@pytest.mark.skipif(not confine.abi(), reason="this kernel has no Landlock")
def test_a_metric_of_ones_own_judges_as_long_as_its_code_is_the_same(
    published: EvaluateRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "in" / "mine.py"
    code.write_bytes(METRIC)
    (tmp_path / "in" / "evaluation.npz").write_bytes(labelled(0.2))
    mine = MetricRequest(uri=f"file://{code}", entry="mine:wrong", trusted=True)
    request = replace(published, metric=None, own_metric=mine, worst_value=0.1)
    stage("fetch-evaluation", request, tmp_path / "pod", monkeypatch)
    answer = stage("evaluate", request, tmp_path / "pod", monkeypatch)
    found = EvaluationResult.from_json(answer["result"])
    assert (found.metric, found.failed) == ("mine:wrong", ("worstValue",))
    assert found.best < found.value < found.worst
    assert found.value == pytest.approx(0.2)

    code.write_bytes(METRIC + b"# another version\n")
    told = stage("fetch-evaluation", request, tmp_path / "pod", monkeypatch)["failure"]
    assert told["reason"] == "DigestMismatch"


def test_data_that_do_not_fit_are_refused_in_words(
    published: EvaluateRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = data.npz(y=np.zeros((9, 8), np.float32), labels=np.zeros(9, np.int64))
    (tmp_path / "in" / "evaluation.npz").write_bytes(other)
    stage("fetch-evaluation", published, tmp_path / "pod", monkeypatch)
    told = stage("evaluate", published, tmp_path / "pod", monkeypatch)["failure"]
    assert told["reason"] == "DataInvalid"
    assert "lack ['x']" in told["message"]
