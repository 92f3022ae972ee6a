"""The S3 store inside the cluster: its objects, and reading and writing it from outside."""

import hashlib
import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

from tests.e2e.support.forward import forwarded
from tests.e2e.support.kubectl import Kubectl, Object
from tests.support import cache

from tightship.api.artifact import MANIFEST
from tightship.storage.signing import Signer, encoded_path

NAMESPACE = "tightship-store"
BUCKET = "tightship"
PREFIX = "artifacts"  # of the pool's store, as in examples/pool.yaml
ACCESS_KEY = "tightship-tests"
SECRET_KEY = "tightship-tests-secret"
REGION = "us-east-1"
PORT = 7070
HOST = f"store.{NAMESPACE}.svc.cluster.local:{PORT}"
_SECONDS = 120


def objects(image: str) -> list[Object]:
    """The store as Kubernetes objects; what it holds lives as long as its pod."""
    labels = {"app.kubernetes.io/name": "store"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "store", "namespace": NAMESPACE},
            "spec": {
                "selector": {"matchLabels": labels},
                "strategy": {"type": "Recreate"},
                "template": {"metadata": {"labels": labels}, "spec": _pod(image)},
            },
        },
        {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "store", "namespace": NAMESPACE},
            "spec": {"selector": labels, "ports": [{"port": PORT}]},
        },
    ]  # fmt: skip


def _pod(image: str) -> Object:
    credentials = {
        "ROOT_ACCESS_KEY": ACCESS_KEY,
        "ROOT_SECRET_KEY": SECRET_KEY,
        "VGW_REGION": REGION,
    }
    return {
        "automountServiceAccountToken": False,
        "containers": [
            {
                "name": "store",
                "image": image,
                "args": ["--port", f":{PORT}", "posix", "--sidecar", "/metadata", "/buckets"],
                "env": [{"name": name, "value": value} for name, value in credentials.items()],
                "ports": [{"containerPort": PORT}],
                "readinessProbe": {"tcpSocket": {"port": PORT}, "periodSeconds": 1},
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                "volumeMounts": [
                    {"name": "buckets", "mountPath": "/buckets"},
                    {"name": "metadata", "mountPath": "/metadata"},
                ],
            }
        ],
        "volumes": [{"name": "buckets", "emptyDir": {}}, {"name": "metadata", "emptyDir": {}}],
    }


def secret(namespace: str, name: str = "store") -> Object:
    """The Secret through which a namespace reads and writes the store."""
    data = {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "S3_ENDPOINT": HOST,
        "S3_REGION": REGION,
        "S3_USE_HTTPS": "0",
    }
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}


def install(kubectl: Kubectl, image: str) -> None:
    """The store runs when this returns; one that runs already keeps what it holds."""
    kubectl.apply(*objects(image))
    kubectl("rollout", "status", "deployment/store", "-n", NAMESPACE, "--timeout=120s")
    with bucket(kubectl) as made:
        made.create()


class StoreError(RuntimeError):
    """The store answered with an error."""


@dataclass(frozen=True)
class Bucket:
    """The bucket, reached on loopback."""

    address: str

    def create(self) -> None:
        """Makes the bucket unless it exists."""
        self._ask("PUT", "", allowed=(HTTPStatus.CONFLICT,))

    def put(self, key: str, content: bytes) -> None:
        """Writes one object."""
        self._ask("PUT", key, content)

    def get(self, key: str) -> bytes:
        """Reads one object; StoreError if there is none."""
        return self._ask("GET", key)

    def upload(self, folder: Path, prefix: str) -> None:
        """Writes every file below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                key = f"{prefix}/{path.relative_to(folder)}".lstrip("/")
                self.put(key, path.read_bytes())

    def _ask(
        self, method: str, key: str, content: bytes = b"", allowed: Collection[int] = ()
    ) -> bytes:
        path = encoded_path(f"/{BUCKET}/{key}".rstrip("/"))
        signer = Signer(ACCESS_KEY, SECRET_KEY, None, REGION)
        digest = hashlib.sha256(content).hexdigest()
        headers = signer.sign(method, path, (), {"host": self.address}, digest, datetime.now(UTC))
        connection = HTTPConnection(self.address, timeout=_SECONDS)
        try:
            connection.request(method, path, content or None, headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status >= HTTPStatus.BAD_REQUEST and answer.status not in allowed:
            raise StoreError(
                f"{method} {key}: {answer.status} {body[:300].decode(errors='replace')}"
            )
        return body


def artifact_prefix(artifact: Object) -> str:
    """Where the files of a status' artifact lie in the bucket."""
    return f"{PREFIX}/sha256/{artifact['key']}/{artifact['digest']}"


def artifact_folder(status: Object) -> str:
    """The folder in the bucket of the artifact that a model's status names."""
    artifact = status["artifact"]
    return f"{PREFIX}/sha256/{artifact['key']}/{artifact['digest']}"


def keep(made: Bucket, statuses: list[Object], name: str = "store") -> None:
    """Keeps the artifacts that the statuses name beyond the cluster's life, and no others."""
    kept = _kept(name)
    shutil.rmtree(kept, ignore_errors=True)
    for status in statuses:
        prefix = artifact_prefix(status["artifact"])
        manifest = made.get(f"{prefix}/{MANIFEST}")
        for file in [*json.loads(manifest)["files"], MANIFEST]:
            path = kept / prefix / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made.get(f"{prefix}/{file}"))
        (kept / prefix).with_name(MANIFEST).write_bytes(manifest)


def restore(made: Bucket, name: str = "store") -> None:
    """Puts back what was kept: equal work is then found done."""
    if _kept(name).exists():
        made.upload(_kept(name), "")


def _kept(name: str) -> Path:
    return cache.folder() / name


@contextmanager
def bucket(kubectl: Kubectl) -> Iterator[Bucket]:
    """The bucket while a port-forward to the store is open."""
    with forwarded(kubectl, "service/store", NAMESPACE, PORT) as address:
        yield Bucket(address)
