"""A run that was killed and run again: what was done is not done again, and nothing differs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.corpus.models import build, data
from tests.support.cache import REPOSITORY

from tightship.optimize import arguments, cache, pipeline
from tightship.optimize.budget import Budget
from tightship.optimize.cache import Cache
from tightship.optimize.conversion import Conversion
from tightship.optimize.folders import Folders

LIMIT = 1 << 30
BRIEF = Budget(
    timing_processes=1, timing_processes_min=1, timing_bursts=1, timing_burst_seconds=0.01
)
FAMILIES = ["--no-openvino", "--no-half-precision", "--no-prune", "--min-speedup=0.01"]
TIMELESS = ("id", "passes", "bytes", "coverage", "layers", "notes", "fidelity", "gate", "computed")

Run = Callable[..., tuple[Conversion, list[str]]]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    (tmp_path / "model.onnx").write_bytes(build.perceptron().SerializeToString())
    rows = np.random.default_rng(3).standard_normal((600, 8)).astype(np.float32)
    (tmp_path / "calibration.npz").write_bytes(data.npz(x=rows))
    given = ["--calibration", str(tmp_path / "calibration.npz"), "--max-drop", "0.2"]
    return [str(tmp_path / "model.onnx"), *given, "--output", str(tmp_path / "out"), *FAMILIES]


@pytest.fixture
def run(command: list[str], tmp_path: Path) -> Run:
    """Runs the command's conversion here, with brief timings."""

    def convert(name: str, kept: Cache | None) -> tuple[Conversion, list[str]]:
        options, lines = arguments.parser().parse_args(command), list[str]()
        folders = Folders(tmp_path / name)
        folders.source.mkdir(parents=True)
        (folders.source / "model.onnx").write_bytes(options.model.read_bytes())
        folders.calibration.write_bytes(options.calibration.read_bytes())
        found = pipeline.convert(
            arguments.request(options),
            folders,
            BRIEF,
            None,
            lambda fact: lines.append(fact.line),
            kept,
        )
        return found, lines

    return convert


def killed_at(line: str, command: list[str]) -> None:
    """Starts the command, and kills it with its process group once it says that."""
    work = subprocess.Popen(
        [sys.executable, "-m", "tightship", "optimize", *command],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY / "operator")},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert work.stderr is not None
    with work, work.stderr as said:
        while line not in said.readline():
            assert work.poll() is None
        os.killpg(work.pid, signal.SIGKILL)
    assert work.returncode == -signal.SIGKILL


def timeless(found: Conversion) -> list[dict[str, Any]]:
    told = [candidate.to_json() for candidate in found.candidates]
    return [{name: candidate[name] for name in TIMELESS} for candidate in told]


def files(found: Conversion) -> dict[str, bytes]:
    models = {c.id: c.model for c in found.candidates if c.model is not None}
    return {name: model.file.read_bytes() for name, model in models.items()}


def test_a_killed_run_goes_on_and_finds_the_same(command: list[str], run: Run) -> None:
    killed_at("candidates, 2 of", command)
    kept = Cache(cache.default_folder(), LIMIT, print)
    entries = {entry.name for entry in kept.folder.iterdir()}

    resumed, lines = run("resumed", kept)
    anew, silent = run("anew", None)

    assert (
        "taken from the cache: 1 x baseline, 1 x normalised model, 1 x candidate, 1 x verdict;"
        " timed anew"
    ) in lines
    assert len(entries) == 4
    assert not any("cache" in line for line in silent)
    assert timeless(resumed) == timeless(anew)
    assert len(files(resumed)) >= 2
    assert files(resumed) == files(anew)
    assert resumed.baseline["metric"] == anew.baseline["metric"]
    assert resumed.baseline["needs"] == anew.baseline["needs"]
    assert resumed.normalised == anew.normalised
    assert resumed.timings is not None
    assert set(resumed.timings.candidates) == set(anew.timings.candidates if anew.timings else ())
