"""Runs a real server of Google Cloud Storage's JSON API on loopback, over TLS or not."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.support import certificate
from tests.support.process import Process, free_ports, listens
from tests.support.tools import tool

EMAIL = "models@tests.iam.gserviceaccount.com"
_START_SECONDS = 20


@dataclass(frozen=True)
class Gcs:
    """A running server. Folders below `folder` are buckets when it starts."""

    process: Process
    endpoint: str
    ca: str

    @property
    def host(self) -> str:
        return self.endpoint.partition("://")[2]


@contextmanager
def serving(*buckets: str, tls: bool = True) -> Iterator[Gcs]:
    """A ready server with these empty buckets; whoever asks may do everything there."""
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="tightship-gcs-") as name:
        scratch, made = Path(name), certificate.made("localhost", "127.0.0.1")
        (scratch / "tls.crt").write_text(made.certificate)
        (scratch / "tls.key").write_text(made.key)
        for bucket in buckets:
            (scratch / "buckets" / bucket).mkdir(parents=True)
        scheme = "https" if tls else "http"
        options = [
            f"-cert-location={scratch}/tls.crt",
            f"-private-key-location={scratch}/tls.key",
            f"-data={scratch}/buckets",
            "-backend=memory",
            "-host=127.0.0.1",
            f"-port={port}",
            f"-scheme={scheme}",
            f"-public-host=localhost:{port}",
            "-log-level=warn",
        ]
        process = Process([tool("fake-gcs-server"), *options], scratch / "gcs.log")
        try:
            process.wait_ready(lambda: listens(port), _START_SECONDS)
            yield Gcs(process, f"{scheme}://localhost:{port}", made.certificate)
        finally:
            process.stop()


@dataclass(frozen=True)
class Account:
    """A service account: its key for tests of signatures, and the file that a user has of it."""

    key: rsa.RSAPrivateKey
    text: str


def account(token_uri: str) -> Account:
    """A new service account whose tokens come from this address."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    values = {
        "type": "service_account",
        "project_id": "tests",
        "private_key_id": "key-1",
        "private_key": pem.decode(),
        "client_email": EMAIL,
        "token_uri": token_uri,
    }
    return Account(key, json.dumps(values))
