"""A model of 2.7 GB, which no single ONNX file can hold, through the whole command and Triton.

Slow: `make slow`. It writes some 12 GB into the temporary folder, and the log has what it took.
"""

import json
import logging
import resource
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.corpus.models import build, data
from tests.support import report_schema
from tests.support.triton import Triton

from tightship.optimize import cli, graph, runtime

LOG = logging.getLogger(__name__)
WIDTH, LAYERS, ANSWERS = 8192, 11, 32


def large(folder: Path) -> Path:
    """Ten square products and a last one, their data in one file of its own name; 2.7e9 bytes."""
    nodes, weights, name = [], [], "x"
    with (folder / "large.weights").open("wb") as file:
        for layer in range(LAYERS):
            rng = np.random.default_rng(layer)
            columns = ANSWERS if layer == LAYERS - 1 else WIDTH
            values = rng.standard_normal((WIDTH, columns), np.float32) * np.float32(WIDTH**-0.5)
            weights.append(_reference(f"w{layer}", values, file.tell()))
            values.tofile(file)
            nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], [f"y{layer}"]))
            name = f"y{layer}"
    result, given = build.floats(name, ["n", ANSWERS]), build.floats("x", ["n", WIDTH])
    model = helper.make_model(
        helper.make_graph(nodes, "large", [given], [result], weights),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    (folder / "large.onnx").write_bytes(model.SerializeToString())
    return folder / "large.onnx"


def _reference(name: str, values: np.ndarray, offset: int) -> TensorProto:
    tensor = TensorProto(
        name=name,
        data_type=TensorProto.FLOAT,
        dims=values.shape,
        data_location=TensorProto.EXTERNAL,
    )
    places = {"location": "large.weights", "offset": offset, "length": values.nbytes}
    for key, value in places.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


@pytest.mark.slow
def test_a_model_beyond_two_gigabytes_is_made_smaller_and_served(
    tmp_path: Path, triton: Triton
) -> None:
    model = large(tmp_path)
    assert graph.file_bytes(model) > 2.4e9
    rows = np.random.default_rng(99).standard_normal((48, WIDTH)).astype(np.float32)
    (tmp_path / "calibration.npz").write_bytes(data.npz(x=rows))
    output, started = tmp_path / "out", time.monotonic()
    place = ["--triton", triton.http, "--triton-metrics", triton.metrics]
    files = ["--calibration", str(tmp_path / "calibration.npz"), "--output", str(output)]

    code = cli.main(
        [str(model), *files, *place, "--models", str(triton.repository), "--max-drop", "0.6"]
    )

    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    LOG.warning("%.0f s, %.1f GB at most", time.monotonic() - started, peak / 1e9)
    report = json.loads((output / "report.json").read_text())
    report_schema.validate(report)
    LOG.warning("%s", [(c["id"], c["status"], c["reason"][:80]) for c in report["candidates"]])
    found = {c["id"]: c for c in report["candidates"]}
    assert code == 0
    assert report["source"]["bytes"] > 2.4e9
    for name in ("dynamic-int8", "weight-only-int8"):
        assert found[name]["bytes"] < 0.8e9
        assert found[name]["status"] in ("chosen", "passed", "tooSlow", "tritonRefused")
    for name in ("fp16", "static-int8", "prune-50"):
        assert "more than one ONNX file may hold" in found[name]["reason"]
    served = output / "model" / "1" / "model.onnx"
    onnx.checker.check_model(str(served))
    before, after = (
        runtime.session(path, 2).run(None, {"x": rows[:4]})[0] for path in (model, served)
    )
    cosines = (before * after).sum(1) / np.linalg.norm(before, axis=1)
    assert (cosines / np.linalg.norm(after, axis=1)).min() > 0.98
