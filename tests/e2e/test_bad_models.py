"""Bad model files and sources: each is refused with a documented reason."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.corpus.models import hostile
from tests.e2e.support import store
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Object
from tests.e2e.support.workspace import Workspace, condition

# One of each kind; the whole corpus is read by the converter's own tests.
_NAMES = (
    "archive-bomb", "archive-in-archive", "archive-link", "archive-parent", "archive-truncated",
    "bit-flip", "custom-operator", "deep-nesting", "empty", "external-absolute", "external-missing",
    "external-parent", "huge-claim", "lfs-pointer", "map-output", "pickle", "torch-archive",
    "triton-batch-of-unbatched", "triton-broken-config", "triton-python-backend", "truncated",
    "two-models", "unknown-operator", "web-page", "wrong-types",
)  # fmt: skip
_CASES = [case for case in hostile.CASES if case.name in _NAMES]
_LIMIT_SECONDS = 300.0  # four at a time; the last one waits for those before it


@pytest.fixture(scope="module")
def applied(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """All bad models at once."""
    folder = tmp_path_factory.mktemp("models")
    for case in _CASES:
        folder.joinpath(case.name).mkdir()
        case.write(folder / case.name)
    workspace = Workspace(cluster, "e2e-bad-models")
    workspace.create()
    with store.bucket(cluster.kubectl) as bucket:
        bucket.upload(folder, "hostile")
    for case in _CASES:
        workspace.apply_model(case.name, data=None, model=_source(folder / case.name, case.format))
    workspace.kubectl.apply(forbidden(workspace.namespace))
    workspace.apply_model("no-access", data=None, model={"secretRef": {"name": "forbidden"}})
    yield workspace
    workspace.delete()


def _source(folder: Path, kind: str) -> dict[str, Any]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    alone = files[0].name if len(files) == 1 and kind == "onnx" else ""
    uri = f"s3://{store.BUCKET}/hostile/{folder.name}/{alone}"
    return {"storageUri": uri, "modelFormat": {"name": kind}}


def forbidden(namespace: str) -> Object:
    """A Secret whose keys the store does not know."""
    secret = store.secret(namespace, "forbidden")
    secret["stringData"]["AWS_SECRET_ACCESS_KEY"] = "wrong"
    return secret


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_a_bad_file(applied: Workspace, case: hostile.Case) -> None:
    model = applied.wait_model(case.name, _refused, seconds=_LIMIT_SECONDS)
    ready = condition(model, "Ready")
    assert ready["reason"] == case.reason
    assert case.hint in ready["message"]
    assert "Traceback" not in json.dumps(model["status"])


def test_a_source_that_the_credentials_do_not_open(applied: Workspace) -> None:
    model = applied.wait_model("no-access", _refused, seconds=_LIMIT_SECONDS)
    assert condition(model, "Ready")["reason"] == "AccessDenied"


def test_a_source_above_the_pools_limit(cluster: Cluster) -> None:
    workspace = Workspace(cluster, "e2e-too-large")
    workspace.create(converter={"maxSourceSize": "8Mi"})
    try:
        workspace.apply_model("minilm", "minilm")
        model = workspace.wait_model("minilm", _refused, seconds=_LIMIT_SECONDS)
        assert condition(model, "Ready")["reason"] == "SourceTooLarge"
    finally:
        workspace.delete()


def _refused(model: Object) -> bool:
    return condition(model, "Ready").get("status") == "False"
