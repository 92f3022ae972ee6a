"""Bad model files and sources beside a good model: a documented reason each, and no harm done."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tests.corpus.models import build, hostile
from tests.e2e.support import store
from tests.e2e.support.client import Client
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Object
from tests.e2e.support.told import refused, told
from tests.e2e.support.web import Web
from tests.e2e.support.workspace import Workspace, condition, is_ready

# One of each kind; the whole corpus is read by the converter's own tests.
_NAMES = (
    "archive-bomb", "archive-in-archive", "archive-link", "archive-parent", "archive-truncated",
    "bit-flip", "custom-operator", "deep-nesting", "empty", "external-absolute", "external-missing",
    "external-parent", "huge-claim", "lfs-pointer", "map-output", "pickle", "torch-archive",
    "triton-batch-of-unbatched", "triton-broken-config", "triton-python-backend", "truncated",
    "two-models", "unknown-operator", "web-page", "wrong-types",
)  # fmt: skip
_FILES = [case for case in hostile.CASES if case.name in _NAMES]
_NAMESPACE = "e2e-bad-models"
_SMALL = "small"  # a pool whose Jobs have little disk
_SMALL_SCRATCH = "64Mi"
_GOOD = "good"
_LIMIT_SECONDS = 300.0  # for all of them; each is told within a minute of its Job's start


@dataclass(frozen=True)
class Source:
    """A source that cannot be had as it is: `web` answers for this kind, or `model` says where."""

    name: str
    reason: str
    hint: str
    web: str = ""
    trusted: bool = True
    small: bool = False
    model: Object = field(default_factory=dict)


def _s3(key: str) -> str:
    return f"s3://{store.BUCKET}/{key}"


_SOURCES = (
    Source("missing", "SourceNotFound", "does not exist", model={"storageUri": _s3("no/m.onnx")}),
    Source("wrong-keys", "AccessDenied", "keys", model={"secretRef": {"name": "forbidden"}}),
    Source("wrong-digest", "DigestMismatch", "0000", model={"digest": f"sha256:{'0' * 64}"}),
    Source("forbidden", "AccessDenied", "403", web="forbidden"),
    Source("untrusted", "CertificateNotTrusted", "ca.crt", web="good", trusted=False),
    Source("to-metadata", "RedirectRefused", "169.254.169.254", web="to-metadata"),
    Source("to-api-server", "RedirectRefused", "final address", web="to-api-server"),
    Source("to-private", "RedirectRefused", "final address", web="to-private"),
    Source("large", "NoSpaceLeft", "has 73400320 bytes", web="large", small=True),
    Source("endless", "NoSpaceLeft", "goes on", web="endless", small=True),
    Source(
        "needs-space", "NoSpaceLeft", "scratchSize", small=True,
        model={"storageUri": _s3("limited/wide.onnx")},
    ),
    Source(
        "too-large", "SourceTooLarge", "allowed", small=True,
        model={"storageUri": _s3("examples/minilm/model.onnx")},
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Limited:
    """A sound model that is served with less than others: inputs, and what it answers."""

    name: str
    reason: str
    remedy: str
    content: bytes
    inputs: dict[str, np.ndarray]
    answer: list[Any]


def _unbatched() -> Limited:
    content, x = build.perceptron(1).SerializeToString(), np.linspace(0, 1, 8, dtype=np.float32)
    session = ort.InferenceSession(content, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"x": x[None]})
    return Limited(
        "unbatched", "NoBatchAxis", "free first axis", content, {"x": x[None]}, scores.tolist()
    )


def _centred() -> Limited:
    x = np.arange(24, dtype=np.float32).reshape(3, 8)
    content = build.centred().SerializeToString()
    return Limited(
        "rows-interact", "RowsInteract", "on its own", content, {"x": x}, (x - x.mean(0)).tolist()
    )


def _text() -> Limited:
    words = np.array([["Hello"], ["world"]])
    content = build.text_lengths().SerializeToString()
    return Limited(
        "text", "TextInput", "numbers as", content, {"s": words}, np.char.upper(words).tolist()
    )


_LIMITED = (_unbatched(), _centred(), _text())


@dataclass(frozen=True)
class Scene:
    """A good model that was served before the bad ones came, and who answers for the sources."""

    workspace: Workspace
    client: Client
    web: Web
    served: Object  # the good model, before

    def wait_told(self) -> None:
        """Waits until every bad model is refused, and every limited one served."""
        for name in [*(case.name for case in _FILES), *(source.name for source in _SOURCES)]:
            self.workspace.wait_model(name, refused, seconds=_LIMIT_SECONDS)
        self.workspace.wait_ready(*(limited.name for limited in _LIMITED), seconds=_LIMIT_SECONDS)


@pytest.fixture(scope="module")
def scene(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """The good model, then everything else at once."""
    workspace, web = Workspace(cluster, _NAMESPACE), Web(cluster, _NAMESPACE)
    limits = {"maxConcurrentIntakes": 6, "allowedHosts": [web.host]}
    workspace.create(converter=limits)
    small = {**limits, "scratchSize": _SMALL_SCRATCH, "maxSourceSize": "80Mi"}
    workspace.apply_pool(_SMALL, converter=small, minServers=0)
    workspace.kubectl.apply(_forbidden())
    web.start(build.perceptron().SerializeToString())
    workspace.apply_model(_GOOD, data=None, model=web.source("good"))
    client = Client(cluster.kubectl, _NAMESPACE, cluster.images["operator"])
    folder = tmp_path_factory.mktemp("models")
    _upload(cluster, folder)
    workspace.wait_ready(_GOOD)
    served = workspace.model(_GOOD)
    _apply(workspace, web, folder / "hostile")
    yield Scene(workspace, client, web, served)
    workspace.delete()


def _forbidden() -> Object:
    """A Secret whose keys the store does not know."""
    secret = store.secret(_NAMESPACE, "forbidden")
    secret["stringData"]["AWS_SECRET_ACCESS_KEY"] = "wrong"
    return secret


def _upload(cluster: Cluster, folder: Path) -> None:
    for case in _FILES:
        (folder / "hostile" / case.name).mkdir(parents=True)
        case.write(folder / "hostile" / case.name)
    (folder / "limited").mkdir()
    for limited in _LIMITED:
        (folder / "limited" / f"{limited.name}.onnx").write_bytes(limited.content)
    wide = build.perceptron(width=400_000)  # 24 MiB, of which a conversion writes two more
    (folder / "limited" / "wide.onnx").write_bytes(wide.SerializeToString())
    with store.bucket(cluster.kubectl) as bucket:
        bucket.upload(folder, "")


def _apply(workspace: Workspace, web: Web, files: Path) -> None:
    for limited in _LIMITED:
        model = {"storageUri": _s3(f"limited/{limited.name}.onnx")}
        workspace.apply_model(limited.name, data=None, model=model)
    for source in _SOURCES:
        model = web.source(source.web, trusted=source.trusted) if source.web else source.model
        pool = {"poolRef": {"name": _SMALL}} if source.small else {}
        workspace.apply_model(source.name, data=None, model=model, serving=pool)
    for case in _FILES:
        workspace.apply_model(case.name, data=None, model=_location(files / case.name, case.format))


def _location(folder: Path, kind: str) -> Object:
    """A lone file by its own name, anything else as a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    alone = files[0].name if len(files) == 1 and kind == "onnx" else ""
    return {"storageUri": _s3(f"hostile/{folder.name}/{alone}"), "modelFormat": {"name": kind}}


@pytest.mark.parametrize("case", _FILES, ids=lambda case: case.name)
def test_a_bad_file(scene: Scene, case: hostile.Case) -> None:
    model = scene.workspace.wait_model(case.name, refused, seconds=_LIMIT_SECONDS)
    ready = told(scene.workspace, model, "Ready")
    assert ready["reason"] == case.reason
    assert case.hint in ready["message"]


@pytest.mark.parametrize("source", _SOURCES, ids=lambda source: source.name)
def test_a_bad_source(scene: Scene, source: Source) -> None:
    model = scene.workspace.wait_model(source.name, refused, seconds=_LIMIT_SECONDS)
    ready = told(scene.workspace, model, "Ready")
    assert ready["reason"] == source.reason
    assert source.hint in ready["message"]


def test_a_redirect_is_not_followed(scene: Scene) -> None:
    scene.workspace.wait_model("to-private", refused, seconds=_LIMIT_SECONDS)
    asked = scene.web.asked()
    assert "HEAD /to-private/model.onnx" in asked
    assert "GET /good/model.onnx" in asked
    assert not [request for request in asked if "/private/" in request]


@pytest.mark.parametrize("limited", _LIMITED, ids=lambda limited: limited.name)
def test_a_model_that_is_served_with_less(scene: Scene, limited: Limited) -> None:
    workspace, client = scene.workspace, scene.client
    workspace.wait_ready(limited.name, seconds=_LIMIT_SECONDS)
    model = workspace.model(limited.name)
    converted = told(workspace, model, "Converted")
    assert (converted["status"], converted["reason"]) == ("True", limited.reason)
    assert limited.remedy in converted["message"]
    with store.bucket(workspace.kubectl) as bucket:
        folder = store.artifact_prefix(model["status"]["artifact"])
        report = json.loads(bucket.get(f"{folder}/report.json"))
    assert any(limited.remedy in warning for warning in report["warnings"])

    client.send_arrays("inputs.npz", limited.inputs)
    for protocol, port in (("http", 8000), ("grpc", 8001)):
        address = f"{limited.name}.{workspace.namespace}.svc.cluster.local:{port}"
        outputs = client.run("infer.py", protocol, address, limited.name, "/data/inputs.npz")
        assert _flat(outputs["y"]) == pytest.approx(_flat(limited.answer), rel=1e-4)


def _flat(answer: list[Any]) -> list[Any]:
    return list(np.asarray(answer).reshape(-1))


def test_the_good_model_is_unharmed(scene: Scene) -> None:
    scene.wait_told()
    good = scene.workspace.model(_GOOD)
    assert is_ready(good)
    for kind in ("Ready", "Serving"):
        assert condition(good, kind) == condition(scene.served, kind)
    (server,) = scene.workspace.servers()
    parts = (server["status"][f"{kind}Statuses"] for kind in ("container", "initContainer"))
    assert not [each for part in parts for each in part if each["restartCount"]]
    inputs = [{"name": "x", "shape": [1, 8], "datatype": "FP32", "data": [0.5] * 8}]
    assert len(scene.client.ask(_GOOD, inputs)["outputs"][0]["data"]) == 4
