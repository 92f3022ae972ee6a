"""What is watched of a served model: bytes at its source, and requests unlike its data."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import onnx
import pytest
from tests.e2e.support import examples
from tests.e2e.support.client import Client
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Object
from tests.e2e.support.workspace import Workspace, condition, is_ready

_SOURCE = "examples/replaced/model.onnx"
_DRIFT = {"maxPSI": "0.25", "sampleRate": "1", "samples": 200}
_REQUESTS_PER_SECOND = 20
_REFRESH_SECONDS = 300  # a look comes each minute; then a conversion
_VERDICT_SECONDS = 120


@pytest.fixture(scope="module")
def watched(cluster: Cluster, put: Callable[[str, bytes], None]) -> Iterator[Workspace]:
    """Two models, ready: one whose source is looked at, one whose requests are sampled."""
    made = Workspace(cluster, "e2e-monitoring")
    made.create()
    put(_SOURCE, digits().SerializeToString())
    source = {"storageUri": f"s3://tightship/{_SOURCE}", "refreshInterval": "1m"}
    made.apply_model("replaced", model=source)
    made.apply_model("sampled", monitoring={"drift": _DRIFT})
    made.wait_ready("replaced", "sampled")
    yield made
    made.delete()


def digits() -> onnx.ModelProto:
    return onnx.load(examples.files() / "digits" / "model.onnx")


def test_other_bytes_at_the_source_are_converted_and_served(
    watched: Workspace, put: Callable[[str, bytes], None]
) -> None:
    before = watched.status("replaced")["artifact"]
    other = digits()
    other.producer_name = "somebody else"
    put(_SOURCE, other.SerializeToString())

    def is_replaced(model: Object) -> bool:
        return is_ready(model) and bool(model["status"]["artifact"]["key"] != before["key"])

    model = watched.wait_model("replaced", is_replaced, seconds=_REFRESH_SECONDS)
    assert condition(model, "Fresh")["status"] == "True"


def test_requests_unlike_the_data_are_told(watched: Workspace) -> None:
    client = Client(watched.kubectl, watched.namespace, watched.cluster.images["operator"])
    data = np.load(examples.files() / "digits" / "evaluation.npz", allow_pickle=False)
    pixels, labels = data["pixels"], data["labels"]
    client.send_arrays("usual.npz", {"pixels": pixels, "expected": labels})
    client.send_arrays("inverted.npz", {"pixels": pixels.max() - pixels, "expected": labels})
    for samples, reason in (("usual.npz", "Stable"), ("inverted.npz", "Drifted")):
        with client.load("sampled", samples, _REQUESTS_PER_SECOND):
            told = partial(is_told, reason=reason)
            model = watched.wait_model("sampled", told, seconds=_VERDICT_SECONDS)
    assert condition(model, "InDistribution")["status"] == "False"
    assert "a PSI of" in condition(model, "InDistribution")["message"]
    assert is_ready(model)


def is_told(model: Object, *, reason: str) -> bool:
    return condition(model, "InDistribution").get("reason") == reason
