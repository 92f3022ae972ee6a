"""An HTTPS server inside the cluster that answers badly, as tests/e2e/incluster/web.py does."""

import base64
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support import pods
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Object
from tests.support import certificate

_NAME = "web"
_OWN = "web-server"  # the server's own files
_PORT = 8443
_FILES, _SCRIPTS = "/files", "/scripts"
_SCRIPT = Path(__file__).parents[1] / "incluster" / "web.py"


@dataclass(frozen=True)
class Web:
    """The server in a namespace, and the Secret that trusts it."""

    cluster: Cluster
    namespace: str

    @property
    def host(self) -> str:
        """HOST:PORT, as a pool allows it."""
        return f"{_NAME}.{self.namespace}.svc.cluster.local:{_PORT}"

    def source(self, kind: str, *, trusted: bool = True) -> Object:
        """`spec.model` of what the server answers for a kind."""
        secret = {"name": _NAME} if trusted else None
        return {"storageUri": f"https://{self.host}/{kind}/model.onnx", "secretRef": secret}

    def start(self, model: bytes) -> None:
        """Starts it; it answers when this returns."""
        made = certificate.made(self.host.partition(":")[0])
        files = {
            "tls.crt": made.certificate.encode(), "tls.key": made.key.encode(), "model.onnx": model,
        }  # fmt: skip
        volumes: dict[str, Object] = {
            _FILES: {"secret": {"secretName": _OWN}},
            _SCRIPTS: {"configMap": {"name": _NAME}},
        }
        command = [f"{_SCRIPTS}/{_SCRIPT.name}", _FILES, str(_PORT)]
        pod = pods.python(_NAME, self.namespace, self.cluster.images["operator"], command, volumes)
        pod["spec"]["containers"][0]["readinessProbe"] = {
            "tcpSocket": {"port": _PORT}, "periodSeconds": 1,
        }  # fmt: skip
        metadata = {"name": _NAME, "namespace": self.namespace}
        own = {"name": _OWN, "namespace": self.namespace}
        data = {name: base64.b64encode(content).decode() for name, content in files.items()}
        trust = {"ca.crt": made.certificate}
        self.cluster.kubectl.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": own, "data": data},
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": trust},
            {
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata,
                "data": {_SCRIPT.name: _SCRIPT.read_text()},
            },
            {
                "apiVersion": "v1", "kind": "Service", "metadata": metadata,
                "spec": {"selector": pod["metadata"]["labels"], "ports": [{"port": _PORT}]},
            },
            pod,
        )  # fmt: skip
        ready = ("wait", "--for=condition=Ready", f"pod/{_NAME}", "-n", self.namespace)
        self.cluster.kubectl(*ready, "--timeout=60s")

    def asked(self) -> list[str]:
        """`METHOD PATH` of every request so far."""
        return self.cluster.kubectl("logs", _NAME, "-n", self.namespace).splitlines()
