"""Runs a real OCI registry over TLS, and the ORAS client that users push with."""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.support import certificate
from tests.support.process import Process, free_ports, listens
from tests.support.tools import tool

USER = "puller"
PASSWORD = "pull-secret"  # of a registry that lives for one test
_HTPASSWD = f"{USER}:$2a$04$GPZfEkcaR7549Zz7PeW9IO1En0pjp1Ef7u8R9vEi9A0J5dVxrjguK\n"
_START_SECONDS = 20
TAR = "application/vnd.oci.image.layer.v1.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Registry:
    """A running registry at `host` (localhost:PORT); `ca` is the path of its certificate."""

    process: Process
    host: str
    ca: Path

    @property
    def ca_text(self) -> str:
        return self.ca.read_text()

    def oras(self, *arguments: str, cwd: Path, login: bool = True) -> str:
        """Run a command of the ORAS client in a folder; returns what it prints."""
        options = ["--plain-http=false", "--ca-file", str(self.ca)]
        if login:
            options += ["--username", USER, "--password", PASSWORD]
        done = subprocess.run(
            [tool("oras"), *arguments, *options],
            cwd=cwd,
            env={**os.environ, "DOCKER_CONFIG": str(cwd)},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def push(self, name: str, folder: Path, *files: str) -> str:
        """Push files as `oras push` does, one layer each; returns the manifest's digest."""
        self.oras("push", "--no-tty", f"{self.host}/{name}", *files, cwd=folder)
        return self.digest(name, folder)

    def digest(self, name: str, cwd: Path) -> str:
        """The digest (hex) that a tag names."""
        found = self.oras("resolve", f"{self.host}/{name}", cwd=cwd)
        return found.strip().removeprefix("sha256:")

    def push_manifest(
        self,
        name: str,
        scratch: Path,
        layers: Sequence[tuple[bytes, Mapping[str, Any]]],
        **changes: object,
    ) -> str:
        """Push blobs and a manifest of our own that lists them; returns its digest."""
        repository = f"{self.host}/{name.partition(':')[0]}"
        described = [
            self._descriptor(repository, scratch, content, fields) for content, fields in layers
        ]
        config = self._descriptor(
            repository, scratch, b"{}", {"mediaType": "application/vnd.oci.image.config.v1+json"}
        )
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": described,
            **changes,
        }
        (scratch / "manifest.json").write_text(json.dumps(manifest))
        self.oras("manifest", "push", f"{self.host}/{name}", "manifest.json", cwd=scratch)
        return self.digest(name, scratch)

    def _descriptor(
        self, repository: str, scratch: Path, content: bytes, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        (scratch / "blob").write_bytes(content)
        told = self.oras(
            "blob", "push", "--no-tty", "--descriptor", repository, "blob", cwd=scratch
        )
        return {**json.loads(told), **fields}


@contextmanager
def serving(**settings: object) -> Iterator[Registry]:
    """A ready registry that knows USER, over an empty folder; `settings` replace its own."""
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="tightship-registry-") as name:
        scratch = Path(name)
        made = certificate.made("localhost", "127.0.0.1")
        (scratch / "ca.crt").write_text(made.certificate)
        (scratch / "tls.key").write_text(made.key)
        (scratch / "htpasswd").write_text(_HTPASSWD)
        tls = {"certificate": str(scratch / "ca.crt"), "key": str(scratch / "tls.key")}
        config = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(scratch / "content")}},
            "http": {"addr": f"127.0.0.1:{port}", "tls": tls, "secret": "of-one-test"},
            "auth": {"htpasswd": {"realm": "tests", "path": str(scratch / "htpasswd")}},
            **settings,
        }
        (scratch / "config.yml").write_text(yaml.safe_dump(config))
        process = Process(
            [tool("registry"), "serve", scratch / "config.yml"],
            scratch / "registry.log",
            {"OTEL_TRACES_EXPORTER": "none"},
        )
        try:
            process.wait_ready(lambda: listens(port), _START_SECONDS)
            yield Registry(process, f"localhost:{port}", scratch / "ca.crt")
        finally:
            process.stop()


class TokenKey:
    """Signs the tokens of a token service that a registry trusts (Distribution's JWT)."""

    ISSUER = "tests"
    SERVICE = "registry"

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def settings(self, realm: str, folder: Path) -> dict[str, Any]:
        """The registry's `auth` for this key."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "kid": "tests",
            "n": _encoded(numbers.n.to_bytes(256, "big")),
            "e": _encoded(numbers.e.to_bytes(3, "big")),
        }
        (folder / "jwks.json").write_text(json.dumps({"keys": [key]}))
        service = {"realm": realm, "service": self.SERVICE, "issuer": self.ISSUER}
        return {"token": {**service, "jwks": str(folder / "jwks.json")}}

    def token(self, scope: str, now: int) -> str:
        """A token for `repository:NAME:ACTIONS`, valid for five minutes."""
        kind, name, actions = scope.split(":")
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        claims = {
            "iss": self.ISSUER,
            "aud": self.SERVICE,
            "sub": USER,
            "exp": now + 300,
            "nbf": now - 5,
            "iat": now,
            "jti": f"{name}-{now}",
            "access": access,
        }
        header = {"typ": "JWT", "alg": "RS256", "kid": "tests"}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{_encoded(signature)}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
