"""How a model is served: its own config.pbtxt, the response cache, copies, and a pause."""

import re
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from tests.e2e.support import examples, store
from tests.e2e.support.client import Client
from tests.e2e.support.kubectl import CommandError, Object
from tests.e2e.support.workspace import Workspace, condition, is_observed, is_ready

_CONFIG = """\
max_batch_size: 4
parameters { key: "owner" value { string_value: "search team" } }
"""


def digit(count: int = 1) -> list[dict[str, object]]:
    data = np.load(examples.files() / "digits" / "evaluation.npz", allow_pickle=False)
    pixels = data["pixels"][:count]
    values = [round(float(v), 4) for v in pixels.reshape(-1)]
    return [{"name": "pixels", "shape": list(pixels.shape), "datatype": "FP32", "data": values}]


def test_a_users_own_configuration_is_completed_and_kept(
    workspace: Workspace, client: Client, put: Callable[[str, bytes], None]
) -> None:
    put("examples/digits-triton/config.pbtxt", _CONFIG.encode())
    put(
        "examples/digits-triton/1/model.onnx", (examples.files() / "digits/model.onnx").read_bytes()
    )
    source = {
        "storageUri": "s3://tightship/examples/digits-triton/",
        "modelFormat": {"name": "triton"},
    }
    workspace.apply_model("digits", model=source)
    workspace.wait_ready("digits")

    prefix = store.artifact_prefix(workspace.status("digits")["artifact"])
    with store.bucket(workspace.kubectl) as bucket:
        published = bucket.get(f"{prefix}/model/config.pbtxt").decode()
    assert "max_batch_size: 4" in published
    assert 'string_value: "search team"' in published
    assert len(client.ask("digits", digit(4))["outputs"][0]["data"]) == 4 * 10
    with pytest.raises(CommandError, match="400"):
        client.ask("digits", digit(5))


def test_the_response_cache_answers_a_repeated_request(
    workspace: Workspace, client: Client
) -> None:
    workspace.apply_model("digits", serving={"responseCache": {}})
    workspace.wait_ready("digits")
    first = client.ask("digits", digit())["outputs"]
    assert client.ask("digits", digit())["outputs"] == first
    assert cache_hits(workspace, "digits") >= 1

    workspace.apply_model("digits", serving={"responseCache": None})
    workspace.wait_model("digits", lambda model: is_ready(model) and not caches(model))
    before = cache_hits(workspace, "digits")
    client.ask("digits", digit())
    client.ask("digits", digit())
    assert cache_hits(workspace, "digits") <= before


def caches(model: Object) -> bool:
    return bool(model["status"]["serving"]["responseCache"])


def cache_hits(workspace: Workspace, model: str) -> float:
    (server,) = workspace.servers_of(model)
    path = f"/api/v1/namespaces/{workspace.namespace}/pods/{server}:8002/proxy/metrics"
    text = workspace.kubectl("get", "--raw", path)
    counts = re.findall(
        rf'^nv_cache_num_hits_per_model{{model="{model}".*}} (\S+)$', text, re.MULTILINE
    )
    return sum(float(count) for count in counts)


def test_kubectl_scale_sets_the_number_of_copies(workspace: Workspace) -> None:
    workspace.apply_pool(minServers=1, maxServers=2)
    workspace.apply_model("digits")
    workspace.wait_ready("digits")
    for copies in (2, 1):
        workspace.kubectl("scale", "om/digits", "-n", workspace.namespace, f"--replicas={copies}")
        workspace.wait_ready("digits")
        workspace.wait_model("digits", partial(has_copies, copies=copies))
        assert len(workspace.servers_of("digits")) == copies


def has_copies(model: Object, *, copies: int) -> bool:
    return bool(model["status"]["replicas"] == copies)


def test_a_paused_model_stays_as_it_is_until_the_annotation_goes(
    workspace: Workspace, client: Client
) -> None:
    workspace.apply_model("digits")
    workspace.wait_ready("digits")
    annotate = ("annotate", "om/digits", "-n", workspace.namespace)
    workspace.kubectl(*annotate, "tightship.dev/paused=true")
    workspace.wait_model("digits", lambda m: condition(m, "Ready").get("reason") == "Paused")
    workspace.apply_model("digits", serving={"responseCache": {}})
    workspace.wait_model("digits", is_observed)
    for _ in range(2):
        client.ask("digits", digit())
    assert cache_hits(workspace, "digits") == 0

    workspace.kubectl(*annotate, "tightship.dev/paused-")
    workspace.wait_model("digits", lambda model: is_ready(model) and caches(model))
    for _ in range(2):
        client.ask("digits", digit())
    assert cache_hits(workspace, "digits") >= 1
