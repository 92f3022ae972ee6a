"""The README's path: three real models, from packages to right answers through Services."""

import json
from typing import Any

import numpy as np
import pytest
from tests.e2e.support import examples, store
from tests.e2e.support.client import Client
from tests.e2e.support.workspace import Workspace, condition
from tests.support import report_schema

_METRIC = {"digits": "accuracy", "magika": "accuracy", "minilm": "mrr"}
_PORT = {"http": 8000, "grpc": 8001}


@pytest.fixture(scope="session")
def asker(demo: Workspace) -> Client:
    client = Client(demo.kubectl, demo.namespace, demo.cluster.images["operator"])
    for name in examples.NAMES:
        data = np.load(examples.files() / name / "evaluation.npz", allow_pickle=False)
        client.send_arrays(f"{name}.npz", dict(data))
    return client


@pytest.fixture(scope="session")
def reports(demo: Workspace) -> dict[str, dict[str, Any]]:
    with store.bucket(demo.kubectl) as bucket:
        artifacts = {name: demo.status(name)["artifact"] for name in examples.NAMES}
        return {
            name: json.loads(bucket.get(f"{store.artifact_prefix(artifact)}/report.json"))
            for name, artifact in artifacts.items()
        }


def test_three_models_share_one_server(demo: Workspace) -> None:
    assert len(demo.servers()) == 1
    (server,) = (pod["metadata"]["name"] for pod in demo.servers())
    assert all(demo.servers_of(name) == [server] for name in examples.NAMES)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
@pytest.mark.parametrize("name", examples.NAMES)
def test_metric_through_the_service_is_the_reported_one(
    demo: Workspace, asker: Client, name: str, protocol: str
) -> None:
    address = f"{name}.{demo.namespace}.svc.cluster.local:{_PORT[protocol]}"
    measured = asker.run("predict.py", protocol, address, name, f"/data/{name}.npz", _METRIC[name])
    reported = float(demo.status(name)["optimization"]["metric"]["after"])
    assert measured["value"] == pytest.approx(reported, abs=measured["error"])


@pytest.mark.parametrize("name", examples.NAMES)
def test_the_report_follows_its_schema(reports: dict[str, dict[str, Any]], name: str) -> None:
    report_schema.validate(reports[name])


@pytest.mark.parametrize("name", examples.NAMES)
def test_what_is_served_is_inside_the_gate(demo: Workspace, name: str) -> None:
    metric = demo.status(name)["optimization"]["metric"]
    assert float(metric["before"]) - float(metric["after"]) <= float(metric["maxDrop"])


@pytest.mark.parametrize("name", examples.NAMES)
def test_the_condition_says_whether_a_faster_variant_was_found(demo: Workspace, name: str) -> None:
    status = demo.status(name)
    unchanged = status["artifact"]["variant"] == "original"
    assert (float(status["optimization"]["speedup"]) == 1) == unchanged
    reason = condition(demo.model(name), "Converted")["reason"]
    assert reason == ("Unchanged" if unchanged else "Converted")


def test_a_model_that_nothing_makes_faster_is_served_unchanged_and_says_so(
    demo: Workspace, reports: dict[str, dict[str, Any]]
) -> None:
    assert demo.status("digits")["artifact"]["variant"] == "original"
    refused = {c["id"]: c for c in reports["digits"]["candidates"]}
    assert "on CPUs" in refused["fp16"]["reason"]
    assert all(candidate["reason"] for candidate in refused.values())


@pytest.mark.parametrize("name", ["magika", "minilm"])
def test_candidates_that_break_the_model_are_refused_with_the_reason(
    demo: Workspace, reports: dict[str, dict[str, Any]], name: str
) -> None:
    broken = [c for c in reports[name]["candidates"] if c["status"] == "gateFailed"]
    assert broken
    for candidate in broken:
        assert candidate["id"] != demo.status(name)["artifact"]["variant"]
        assert f"{_METRIC[name]} " in candidate["reason"]
        assert "allowed" in candidate["reason"]
