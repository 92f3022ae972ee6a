"""Two example models through a whole conversion Job, with a real Triton beside it.

The third one, minilm, takes minutes: it is converted once, on the cluster (tests/e2e/test_demo.py).
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.support import examples
from tests.integration.optimize.harness import REQUEST, Pod, address
from tests.support import report_schema
from tests.support.triton import Triton

from tightship.agent import golden
from tightship.api.artifact import Summary
from tightship.api.job import DataRequest
from tightship.optimize import access
from tightship.optimize.folders import Folders
from tightship.triton.client import TritonClient
from tightship.triton.repository import Repository

MODELS = ("digits", "magika")


@dataclass
class Converted:
    name: str
    pod: Pod
    summary: Summary
    report: dict[str, Any]

    @property
    def artifact(self) -> Path:
        return self.pod.folders.artifact

    def candidate(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(c for c in self.report["candidates"] if c["id"] == name)
        return found


@pytest.fixture(scope="module", params=MODELS)
def converted(
    request: pytest.FixtureRequest, triton: Triton, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Converted]:
    """One example, fetched from file:// addresses, converted and published into a folder."""
    name = str(request.param)
    files, root = examples.files() / name, tmp_path_factory.mktemp(name)
    wanted = replace(
        REQUEST,
        key=hashlib.sha256(name.encode()).hexdigest(),
        source_uri=f"file://{files}/model.onnx",
        calibration=DataRequest(uri=f"file://{files}/calibration.npz", max_samples=64),
        evaluation=DataRequest(uri=f"file://{files}/evaluation.npz", max_samples=2000),
        metric="accuracy",
        store_uri=f"file://{root}/store",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(access.ALLOW_FILE_VARIABLE, "1")
        pod = Pod(Folders(root / "pod", triton.repository), wanted, patch)
        pod.run("fetch")
        pod.run("convert", address(triton))
        summary = Summary.from_json(pod.run("publish")["result"])
        yield Converted(name, pod, summary, pod.report())


def test_report_follows_its_schema(converted: Converted) -> None:
    report_schema.validate(converted.report)


def test_every_candidate_that_is_not_chosen_says_why(converted: Converted) -> None:
    chosen = [c for c in converted.report["candidates"] if c["status"] == "chosen"]
    others = [c for c in converted.report["candidates"] if c["status"] != "chosen"]
    assert [c["id"] for c in chosen] == [v for v in [converted.summary.variant] if v != "original"]
    assert all(c["reason"] for c in others)
    assert converted.summary.reason


def test_what_is_published_is_inside_the_gate_and_faster(converted: Converted) -> None:
    summary = converted.summary
    assert summary.metric_before - summary.metric_after <= summary.gate_max_drop
    if summary.variant == "original":
        assert (summary.speedup, summary.bytes_after) == (1.0, summary.bytes_before)
        return
    chosen = converted.candidate(summary.variant)
    race = chosen["triton"]["race"]
    assert chosen["gate"]["upper"] <= summary.gate_max_drop
    assert race["speedup"] >= converted.report["minSpeedup"]
    assert race["speedup"] > 1 + race["noise"]
    assert chosen["triton"]["batched"]["batch"] == min(8, summary.max_batch)
    if summary.technique == "Quantize":
        assert summary.bytes_after < summary.bytes_before


@pytest.mark.parametrize(
    ("name", "cause"),
    [("fp16", "computes fp16 in fp32 on CPUs"), ("prune-50", "zeros bring no speed")],
)
def test_what_brings_no_speed_on_cpu_says_so_wherever_it_is_too_slow(
    converted: Converted, name: str, cause: str
) -> None:
    found = converted.candidate(name)
    assert found["status"] != "chosen"
    if found["status"] == "tooSlow":  # as nearly always, but this machine's clock decides that
        assert cause in found["reason"]


def test_triton_answers_as_the_evaluation_did(converted: Converted) -> None:
    through_triton = converted.report["triton"]
    samples = converted.report["gate"]["samples"]
    assert through_triton["proof"]["agreeing"] >= 0.999 - 1 / samples
    assert through_triton["metric"] == pytest.approx(
        converted.summary.metric_after, abs=1.5 / samples
    )


def test_manifest_lists_every_file_and_the_summary_is_in_the_store(converted: Converted) -> None:
    manifest = (converted.artifact / "manifest.json").read_bytes()
    listed = json.loads(manifest)["files"]
    files = converted.artifact.rglob("*.*")
    present = {file.relative_to(converted.artifact).as_posix() for file in files}
    assert set(listed) | {"manifest.json"} == present
    assert converted.summary.digest == hashlib.sha256(manifest).hexdigest()
    for name, entry in listed.items():
        content = (converted.artifact / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


async def test_agent_verifies_the_artifact_by_its_golden_samples(
    converted: Converted, triton: Triton
) -> None:
    manifest = json.loads((converted.artifact / "manifest.json").read_text())
    name = f"served-{converted.name}"
    config = (converted.artifact / "model" / "config.pbtxt").read_text()
    Repository(triton.repository).publish(
        name,
        "v1",
        files=converted.artifact / "model" / "1",
        config=config.replace('name: "model"', f'name: "{name}"'),
    )
    samples = golden.read_golden(
        converted.artifact / "golden.npz", golden.Tolerance(**manifest["golden"])
    )
    async with TritonClient(triton.http) as client:
        await client.load(name)
        await golden.verify(client, name, samples, converted.summary.max_batch)
        await client.unload(name)


def test_profile_measures_batches_memory_and_loading(converted: Converted) -> None:
    profile = json.loads((converted.artifact / "profile.json").read_text())
    measured = {(point["batch"], point["concurrency"]) for point in profile["points"]}
    assert (1, 1) in measured
    assert profile["memory"] > 0
    assert profile["load_seconds"] > 0
    assert converted.report["triton"]["stages"] == profile["points"][0]["stages"]
    assert converted.summary.memory >= profile["memory"]
    single = {p["batch"]: p["busy_seconds"] for p in profile["points"] if p["concurrency"] == 1}
    assert single.pop(1) == converted.summary.duty_seconds
    assert dict(converted.summary.duty_batches) == single


def test_a_second_job_for_the_same_key_ends_at_once(converted: Converted, tmp_path: Path) -> None:
    pod = replace(converted.pod, folders=Folders(tmp_path))
    expected = converted.summary.to_json()
    assert pod.run("fetch")["result"] == expected
    assert not pod.folders.source.exists()
    assert pod.run("convert")["result"] == expected
    assert pod.run("publish")["result"] == expected


@pytest.mark.parametrize("converted", ["magika"], indirect=True)
def test_magika_survives_where_default_quantization_breaks_it(
    converted: Converted, tmp_path: Path
) -> None:
    lost = converted.summary.metric_before - default_int8_accuracy(
        examples.files() / "magika", tmp_path
    )
    assert lost > 3 * converted.summary.gate_max_drop
    ours = converted.candidate("static-int8")
    assert ours["gate"]["passes"]
    assert ours["gate"]["after"] > 0.96
    assert converted.summary.metric_after > 0.96


def default_int8_accuracy(files: Path, scratch: Path) -> float:
    """Accuracy after ONNX Runtime's static quantization with its own defaults."""
    from onnxruntime import InferenceSession, quantization  # noqa: PLC0415 (slow to import)

    calibration, labelled = np.load(files / "calibration.npz"), np.load(files / "evaluation.npz")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc] # untyped library
        feeds = iter([{"bytes": row[np.newaxis]} for row in calibration["bytes"]])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.feeds, None)

    target = scratch / "default.onnx"
    quantization.quantize_static(str(files / "model.onnx"), str(target), Reader())
    session = InferenceSession(str(target), providers=["CPUExecutionProvider"])
    rows = labelled["bytes"]
    parts = [session.run(None, {"bytes": rows[i : i + 16]})[0] for i in range(0, len(rows), 16)]
    return float((np.concatenate(parts).argmax(axis=1) == labelled["labels"]).mean())
