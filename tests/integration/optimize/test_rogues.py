"""Candidates that misbehave in their children are lines of the report, which ends well."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.corpus.models import build, data
from tests.support import report_schema
from tests.unit.optimize import children

from tightship.optimize import cli, confine, sandbox
from tightship.optimize.sandbox import Limits

ROGUES = {
    "dynamic-int8": ("abort", "ended by SIGABRT"),
    "static-int8": ("hang_with_child", "took longer than 3 s"),
    "fp16": ("hoard", "needs more memory than the"),
    "prune-50": ("write", "PermissionError"),
}
"""What the child of each candidate does instead of building it, and what is told of it."""


@pytest.mark.skipif(not confine.abi(), reason="this kernel has no Landlock")
def test_each_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the sandbox as it is: `write` is held as the code of users is, the others as all are."""
    run, asked = sandbox.run, {"file": str(tmp_path / "pid"), "path": str(tmp_path / "outside")}

    def instead(
        task: str, payload: Mapping[str, Any], scratch: Path, limits: Limits
    ) -> dict[str, Any]:
        if scratch.name not in ROGUES:
            return run(task, payload, scratch, limits)
        rogue, _ = ROGUES[scratch.name]
        with monkeypatch.context() as patch:
            patch.setattr(sandbox, "command", children.command)
            if rogue == "write":
                return sandbox.run_confined(rogue, asked, scratch, limits)
            if rogue == "hang_with_child":
                limits = replace(limits, seconds=3)
            return run(rogue, asked, scratch, limits)

    monkeypatch.setattr(sandbox, "run", instead)
    (tmp_path / "model.onnx").write_bytes(build.perceptron().SerializeToString())
    rows = np.random.default_rng(3).standard_normal((400, 8)).astype(np.float32)
    (tmp_path / "calibration.npz").write_bytes(data.npz(x=rows))
    files = ["--calibration", str(tmp_path / "calibration.npz"), "--output", str(tmp_path / "out")]
    rest = ["--max-drop", "0.2", "--no-openvino"]

    assert cli.main([str(tmp_path / "model.onnx"), *files, *rest]) == 0

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    report_schema.validate(report)
    found = {each["id"]: each for each in report["candidates"]}
    for name, (_, words) in ROGUES.items():
        assert found[name]["status"] == "error"
        assert words in found[name]["reason"]
    assert "static-int8, of which it is a variant" in found["static-int8-percentile"]["reason"]
    assert report["selection"]["variant"] == "original"
    assert (tmp_path / "out" / "model" / "1" / "model.onnx").exists()
    assert not (tmp_path / "outside").exists()
