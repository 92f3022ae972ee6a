"""A trainer in a Job beside a real Triton: held by the kernel, judged, proven, published."""

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
from tests.corpus.models.ballast import heavy
from tests.integration.optimize.harness import REQUEST, Pod, address
from tests.support import triton as triton_process
from tests.support.triton import Triton
from tests.training.conftest import Scene

from tightship.api.artifact import IntakeResult, Summary
from tightship.api.job import DataRequest
from tightship.api.training import TrainerRequest, TrainingOptions
from tightship.optimize import access, job
from tightship.optimize.budget import Budget
from tightship.optimize.folders import Folders

KEY = "d" * 64
ESCAPES = """
import os, socket
done = []
def tried(name, action):
    try:
        action()
        done.append(name)
    except OSError:
        pass
tried("write", lambda: open({outside!r}, "w"))
tried("program", lambda: os.execv("/bin/true", ["true"]))
raise RuntimeError(f"escaped by {{done}}, secrets {{[n for n in os.environ if 'SECRET' in n]}}")
"""


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Triton]:
    with triton_process.serving(tmp_path_factory.mktemp("models")) as server:
        yield server


@pytest.fixture
def pod(scene: Scene, triton: Triton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pod:
    """The digits' Job with the trainer, its module and its weights in an archive."""
    monkeypatch.setenv(access.ALLOW_FILE_VARIABLE, "1")
    monkeypatch.setenv("SOME_SECRET", "x")
    monkeypatch.setattr(job, "Budget", lambda **known: Budget(timing_processes_min=1, **known))
    archive = tmp_path / "trainer.tar.gz"
    with tarfile.open(archive, "w:gz") as packed:
        for name in ("digits.py", "weights.safetensors"):
            packed.add(scene.folder / name, f"code/{name}")
    slow = tmp_path / "heavy.onnx"
    onnx.save(heavy(onnx.load(scene.model)), slow)
    options = TrainingOptions(
        techniques=("students",), epochs=20, learning_rate=2e-3, batch_size=32, threads=1
    )
    made = Pod(Folders(tmp_path / "pod", triton.repository), REQUEST, monkeypatch)
    made.ask(
        key=KEY,
        source_uri=f"file://{slow}",
        evaluation=DataRequest(uri=f"file://{scene.evaluation}", max_samples=2000),
        metric="accuracy",
        max_drop=0.2,
        store_uri=f"file://{tmp_path}/store",
        trainer=TrainerRequest(
            uri=f"file://{archive}",
            entry="digits:Digits",
            trusted=True,
            confined=True,
            options=options,
        ),
        **dict.fromkeys(("quantize", "half_precision", "prune", "openvino"), False),
    )
    return made


def test_a_trained_candidate_is_proven_and_published(pod: Pod, triton: Triton) -> None:
    fetched = IntakeResult.from_json(pod.run("fetch")["result"])
    assert fetched.trainer_digest
    assert pod.run("inspect")["result"]["limitations"] == []
    pod.run("convert", address(triton))
    summary = Summary.from_json(pod.run("publish")["result"])

    report = pod.report()
    (student,) = (c for c in report["candidates"] if c["id"] == "student-tiny")
    assert student["status"] == "chosen", student["reason"]
    assert (summary.variant, summary.technique) == ("student-tiny", "Distill")
    assert summary.speedup > 1
    assert report["selection"]["proven"]
    assert report["triton"]["proof"]["agreeing"] >= 0.999
    assert "--trainer" in report["reproduce"]["command"]
    store = Path(pod.request.store_uri.removeprefix("file://"))
    stored = store / "sha256" / KEY / summary.digest
    assert json.loads((stored / "report.json").read_text()) == report
    assert (stored / "model" / "1" / "model.onnx").stat().st_size == summary.bytes_after


def test_its_code_leaves_its_folder_by_no_way(pod: Pod, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    code = tmp_path / "digits.py"
    code.write_text(ESCAPES.format(outside=str(outside)))
    trainer = pod.request.trainer
    assert trainer is not None
    pod.ask(
        trainer=TrainerRequest(uri=f"file://{code}", entry="digits:T", trusted=True, confined=True)
    )
    pod.run("fetch")
    failure = pod.refused("convert")
    assert failure.reason == "InvalidTrainer"
    assert "escaped by [], secrets []" in failure.message
    assert not outside.exists()
