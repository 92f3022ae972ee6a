"""Code of the users' own in a pool that trusts it: a model of torch, a trainer, a metric."""

import base64
import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tests.corpus.models.ballast import heavy
from tests.e2e.support import cluster as clusters
from tests.e2e.support import examples, store
from tests.e2e.support.client import Client
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Object
from tests.e2e.support.told import refused, told
from tests.e2e.support.workspace import Workspace, merged
from tests.support.cache import REPOSITORY

_TRAINER = REPOSITORY / "tests" / "training" / "trainers" / "digits.py"
_METRIC = b"""
def right(outputs, labels):
    (scores,) = outputs.values()
    return scores.argmax(axis=1) == labels


right.low, right.high = 0, 1
"""
_STRICT = "strict"  # a pool that trusts no code
_ASKED = 4  # samples
_FOLDER = "training"  # of the bucket
Arrays = Mapping[str, np.ndarray]


def _file(name: str) -> Object:
    return {"storageUri": f"s3://{store.BUCKET}/{_FOLDER}/{name}", "secretRef": {"name": "store"}}


_DATA = {"calibration": None, "evaluation": _file("evaluation.npz")}
_OPTIONS = {"techniques": ["students"], "epochs": 20, "batchSize": 32, "learningRate": "0.002"}
_MODELS: dict[str, Object] = {
    "exported": {
        "model": _file("model.pt2") | {"modelFormat": {"name": "torch"}},
        "data": _DATA,
        "optimization": {"techniques": {}},
    },
    "trained": {
        "model": _file("heavy.onnx"),
        "data": _DATA,
        "optimization": {
            "techniques": {},
            "trainer": {
                **_file("trainer.tar.gz"), "entrypoint": "digits:Digits", "options": _OPTIONS,
            },
            "accuracyGate": {"maxDrop": "0.2"},
        },
    },
    "judged": {
        "data": {
            "evaluation": {
                "metric": {
                    "name": "own",
                    "own": {**_file("metric.py"), "entrypoint": "metric.py:right"},
                }
            }
        },
        "optimization": {"techniques": {"quantize": {}}},
    },
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A pool that trusts code, whose converter has torch; files that torch made, by name."""

    workspace: Workspace
    client: Client
    files: Mapping[str, bytes]

    def arrays(self, name: str) -> Arrays:
        """Those of an .npz file."""
        with np.load(io.BytesIO(self.files[name]), allow_pickle=False) as opened:
            return dict(opened)

    def ready(self, name: str) -> tuple[Object, Object]:
        """Status and report of a model, once it is served."""
        self.workspace.wait_ready(name)
        status = self.workspace.status(name)
        with store.bucket(self.workspace.kubectl) as bucket:
            report = bucket.get(f"{store.artifact_prefix(status['artifact'])}/report.json")
        return status, json.loads(report)


@pytest.fixture(scope="module")
def scene(cluster: Cluster, put: Callable[[str, bytes], None]) -> Iterator[Scene]:
    """All models at once: each is converted while the tests look at the one before."""
    image, nodes = clusters.with_torch()
    workspace = Workspace(cluster, "e2e-training")
    converter = {"image": image, "resources": {"requests": {"memory": "4Gi"}}}
    workspace.create(trustedCode=True, converter=converter, server={"nodeSelector": nodes})
    client = Client(workspace.kubectl, workspace.namespace, image, nodes)
    client.send(_TRAINER.name, _TRAINER.read_bytes())
    made = {name: base64.b64decode(text) for name, text in client.run("trained.py").items()}
    slow = heavy(onnx.load_from_string(made["model.onnx"])).SerializeToString()
    for name, content in {**made, "heavy.onnx": slow, "metric.py": _METRIC}.items():
        put(f"{_FOLDER}/{name}", content)
    for name, spec in _MODELS.items():
        workspace.apply_model(name, **spec)
    yield Scene(workspace, client, made)
    workspace.delete()


def test_a_model_of_torch_answers_as_torch_does(scene: Scene) -> None:
    _, report = scene.ready("exported")
    assert report["source"]["torch"]["format"] == "program"
    pixels = scene.arrays("evaluation.npz")["pixels"][:_ASKED]
    inputs = {"name": "pixels", "shape": list(pixels.shape), "datatype": "FP32"}
    (answer,) = scene.client.ask("exported", [{**inputs, "data": pixels.ravel().tolist()}])[
        "outputs"
    ]
    expected = scene.arrays("answers.npz")["scores"][:_ASKED]
    assert answer["data"] == pytest.approx(expected.ravel().tolist(), rel=1e-3, abs=1e-3)


def test_a_trained_student_is_chosen_and_served(scene: Scene) -> None:
    status, report = scene.ready("trained")
    assert (status["artifact"]["variant"], status["artifact"]["technique"]) == (
        "student-tiny",
        "Distill",
    )
    assert float(status["optimization"]["speedup"]) > 1
    assert report["trainer"]["sha256"] == _sha256(scene.files["trainer.tar.gz"])
    address = f"trained.{scene.workspace.namespace}.svc.cluster.local:8000"
    served = scene.client.run(
        "predict.py", "http", address, "trained", "/data/evaluation.npz", "accuracy"
    )
    assert f"{served['value']:.4f}" == status["optimization"]["metric"]["after"]


def test_a_metric_of_ones_own_decides(scene: Scene) -> None:
    status, report = scene.ready("judged")
    folder = examples.files() / "digits"
    with np.load(folder / "evaluation.npz", allow_pickle=False) as data:
        (scores,) = ort.InferenceSession(folder / "model.onnx").run(
            None, {"pixels": data["pixels"]}
        )
        right = float((scores.argmax(axis=1) == data["labels"]).mean())
    metric = status["optimization"]["metric"]
    assert (metric["name"], metric["before"]) == ("metric.py:right", f"{right:.4f}")
    assert report["gate"]["metric"] == "metric.py:right"
    assert report["ownMetric"]["sha256"] == _sha256(_METRIC)


@pytest.mark.parametrize(
    ("name", "reason"), [("trained", "UntrustedTrainer"), ("judged", "UntrustedMetric")]
)
def test_a_pool_that_trusts_no_code_runs_none(scene: Scene, name: str, reason: str) -> None:
    workspace, own = scene.workspace, f"{name}-{_STRICT}"
    workspace.apply_pool(_STRICT, minServers=0)
    workspace.apply_model(own, **merged(_MODELS[name], {"serving": {"poolRef": {"name": _STRICT}}}))
    model = workspace.wait_model(own, refused)
    ready = told(workspace, model, "Ready")
    assert ready["reason"] == reason
    assert "spec.trustedCode" in ready["message"]


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
