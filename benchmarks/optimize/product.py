"""The optimizer itself, with its defaults: the command that users run, and what it chose."""

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.models import MODELS
from benchmarks.optimize.executable import ONNXRUNTIME, OPENVINO, Executable
from tests.support.cache import REPOSITORY
from tests.support.triton import Triton

from tightship.api.v1alpha1 import Objective
from tightship.optimize.contract import Contract
from tightship.triton import config_pbtxt

_PRECISION = "INFERENCE_PRECISION_HINT"
_ORIGINAL = "original"


class ProductError(Exception):
    """The optimizer refused the model or failed; the message is its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimized:
    """What one run found. `artifact` is the folder that it wrote."""

    report: dict[str, Any]
    artifact: Path
    seconds: float

    @property
    def variant(self) -> str:
        """The chosen candidate's name, or `original`."""
        return str(self.report["selection"]["variant"])

    @property
    def unchanged(self) -> bool:
        """Whether the original is served."""
        return self.variant == _ORIGINAL

    @property
    def candidates(self) -> int:
        """How many were looked at."""
        return len(self.report["candidates"])

    @property
    def contract(self) -> Contract:
        """What the model takes and gives."""
        return Contract.from_json(self.report["source"]["contract"])

    @property
    def config(self) -> str:
        """config.pbtxt of what is served."""
        return (self.artifact / "model" / "config.pbtxt").read_text()

    @property
    def executable(self) -> Executable:
        """What is served, outside of Triton."""
        config = config_pbtxt.parse(self.config)
        files = sorted((self.artifact / "model" / "1").iterdir())
        file = next(file for file in files if file.suffix in (".xml", ".onnx"))
        if config.backend != OPENVINO:
            return Executable(file=file, backend=ONNXRUNTIME)
        precision = config.parameters[_PRECISION].string_value or "f32"
        return Executable(file=file, backend=OPENVINO, properties={_PRECISION: precision})


def optimize(
    name: str,
    files: Path,
    output: Path,
    triton: Triton,
    *,
    objective: Objective = Objective.LATENCY,
    cache: Path | None = None,
) -> Optimized:
    """Runs `tightship optimize` on a model of the benchmark, without a cache unless one is given.

    Raises:
        ProductError: it did not end well.
    """
    command = [
        sys.executable, "-m", "tightship", "optimize", files / "model.onnx", "--output", output,
        "--calibration", files / "calibration.npz", "--evaluation", files / "evaluation.npz",
        "--metric", MODELS[name].metric.value, "--json", "--triton", triton.http,
        "--triton-metrics", triton.metrics, "--models", triton.repository,
        "--objective", objective.value, *(["--cache", cache] if cache else ["--no-cache"]),
    ]  # fmt: skip
    started = time.monotonic()
    done = subprocess.run(
        [str(part) for part in command], cwd=REPOSITORY, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    seconds = time.monotonic() - started
    if done.returncode:
        raise ProductError(done.stderr.strip().splitlines()[-1])
    return Optimized(report=json.loads(done.stdout), artifact=output, seconds=seconds)
