"""A Job's pod in a temporary root: its stages run one by one, as their containers would."""

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.support.triton import Triton

from tightship.api import job as wire
from tightship.api.failures import Failure
from tightship.api.job import JobRequest
from tightship.optimize import job
from tightship.optimize.folders import Folders
from tightship.optimize.proof import TritonAddress

REQUEST = JobRequest(
    key=None,
    source_uri="file:///nowhere/model.onnx",
    source_format="onnx",
    source_digest=None,
    calibration=None,
    evaluation=None,
    metric=None,
    quantize=True,
    half_precision=True,
    prune=True,
    prune_sparsity=0.5,
    openvino=True,
    max_drop=0.01,
    confidence=0.95,
    min_speedup=1.05,
    slo_target=None,
    slo_percentile=99,
    store_uri="file:///nowhere/store",
    allowed_hosts=(),
    max_source_bytes=2**30,
    scratch_bytes=2**33,
    converter_image="converter",
    server_image="server",
    node_class="test",
    threads=1,
)


@dataclass
class Pod:
    """One Job's pod: its folders, its request, and what its containers answered."""

    folders: Folders
    request: JobRequest
    monkeypatch: pytest.MonkeyPatch

    def ask(self, **changes: Any) -> None:  # noqa: ANN401 (fields of JobRequest)
        self.request = replace(self.request, **changes)

    def run(self, stage: str, triton: TritonAddress | None = None) -> dict[str, Any]:
        """The answer of one stage; its exit code agrees with it."""
        self.monkeypatch.setenv(wire.REQUEST_VARIABLE, self.request.to_json())
        code = job.main(stage, self.folders, triton or job.TRITON)
        text = self.folders.termination_log.read_text()
        assert len(text.encode()) <= 4096
        answer: dict[str, Any] = json.loads(text)
        assert code == (1 if "failure" in answer else 0)
        return answer

    def refused(self, stage: str) -> Failure:
        return Failure.from_json(self.run(stage)["failure"])

    def report(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads((self.folders.artifact / "report.json").read_text())
        return loaded


def address(triton: Triton) -> TritonAddress:
    return TritonAddress(triton.http, triton.metrics)
