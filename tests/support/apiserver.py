"""Runs a real kube-apiserver with its etcd on loopback: the Kubernetes API without a cluster."""

import json
import secrets
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPSConnection
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support.cache import REPOSITORY
from tests.support.process import Process, answers, free_ports
from tests.support.tools import tool

_START_SECONDS = 90


@dataclass(frozen=True)
class ApiServer:
    """A running server; `kubeconfig` holds an administrator's token, `audit` JSON lines."""

    process: Process
    url: str
    token: str
    kubeconfig: Path
    audit: Path

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl as the administrator; CalledProcessError with its error text if it fails."""
        command = [tool("kubectl"), "--kubeconfig", self.kubeconfig, *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
        if done.returncode:
            raise subprocess.CalledProcessError(
                done.returncode, arguments, done.stdout, done.stderr
            )
        return done.stdout

    def ready(self) -> bool:
        """Whether the server calls itself ready; its certificate is its own."""
        context = ssl._create_unverified_context()  # noqa: S323
        connection = HTTPSConnection(self.url.removeprefix("https://"), timeout=2, context=context)
        try:
            connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {self.token}"})
            return connection.getresponse().status == HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def install_crds(self, folder: Path = REPOSITORY / "crds") -> None:
        """Apply the CRDs and wait until the API server serves them."""
        self.kubectl("apply", "--server-side", "--filename", folder)
        self.kubectl("wait", "--for=condition=Established", "--timeout=30s", "--filename", folder)


@contextmanager
def serving(*flags: str, crds: bool = True, audit: bool = False) -> Iterator[ApiServer]:
    """A ready API server with an empty etcd, and with the project's CRDs unless told otherwise.

    `flags` go to kube-apiserver. With `audit`, each finished request is one line of
    `ApiServer.audit`: verb, user agent, object, without bodies.
    """
    with tempfile.TemporaryDirectory(prefix="tightship-apiserver-") as scratch:
        folder = Path(scratch)
        port, client, peer = free_ports(3)
        etcd = Process(_etcd(folder, client, peer), folder / "etcd.log")
        try:
            etcd.wait_ready(lambda: answers(f"http://127.0.0.1:{client}/health"), _START_SECONDS)
            token = secrets.token_hex(16)
            command = [
                *_apiserver(folder, port, client, token),
                *(_audit(folder) if audit else []),
                *flags,
            ]
            process = Process(command, folder / "apiserver.log")
            kubeconfig = _kubeconfig(folder, port, token)
            server = ApiServer(
                process, f"https://127.0.0.1:{port}", token, kubeconfig, folder / "audit.log"
            )
            try:
                process.wait_ready(server.ready, _START_SECONDS)
                if crds:
                    server.install_crds()
                yield server
            finally:
                process.stop()
        finally:
            etcd.stop()


def _etcd(folder: Path, client: int, peer: int) -> list[str]:
    url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    return [
        str(tool("etcd")),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",
        "--logger=zap",
        "--log-level=warn",
    ]


def _apiserver(folder: Path, port: int, etcd: int, token: str) -> list[str]:
    """The command line: RBAC as in a cluster, service accounts without their controller."""
    key, tokens = folder / "service-accounts.key", folder / "tokens.csv"
    key.write_bytes(_private_key())
    tokens.write_text(f"{token},admin,admin,system:masters\n")
    return [
        str(tool("kube-apiserver")),
        f"--etcd-servers=http://127.0.0.1:{etcd}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certificates'}",
        f"--token-auth-file={tokens}",
        "--authorization-mode=RBAC",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--disable-admission-plugins=ServiceAccount",
    ]


def _private_key() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _audit(folder: Path) -> list[str]:
    policy = folder / "audit-policy.yaml"
    rules = [{"level": "Metadata"}]
    policy.write_text(
        json.dumps(
            {
                "apiVersion": "audit.k8s.io/v1",
                "kind": "Policy",
                "omitStages": ["RequestReceived"],
                "rules": rules,
            }
        )
    )
    return [
        f"--audit-policy-file={policy}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--audit-log-mode=blocking",
    ]


def _kubeconfig(folder: Path, port: int, token: str) -> Path:
    path = folder / "kubeconfig"
    cluster = {"server": f"https://127.0.0.1:{port}", "insecure-skip-tls-verify": True}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "tests", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [
            {
                "name": "tests",
                "context": {"cluster": "tests", "user": "admin", "namespace": "default"},
            }
        ],
        "current-context": "tests",
    }
    path.write_text(json.dumps(config))
    return path
