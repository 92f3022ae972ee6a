"""Runs a real server that speaks the Hugging Face Hub's API over TLS, on Git repositories."""

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import cache, certificate
from tests.support.process import Process, free_ports, listens

_LOCK = cache.REPOSITORY / "requirements" / "hub.txt"
_START_SECONDS = 60
_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"
_LFS_BYTES = 10_000  # larger files are kept as the Hub keeps them, outside Git


@dataclass(frozen=True)
class Hub:
    """A running server at `host` (localhost:PORT). `ca` is its certificate in PEM form."""

    process: Process
    host: str
    ca: str
    folder: Path

    def commit(self, name: str, files: Mapping[str, bytes], branch: str = "main") -> str:
        """Commit files to a repository ORG/NAME of models, large ones by LFS; returns its id."""
        repository = self.folder / "models" / name
        if not repository.exists():
            repository.mkdir(parents=True)
            _git(repository, "init", "--quiet", "--initial-branch=main")
        _git(repository, "checkout", "--quiet", "-B", branch)
        for path, content in files.items():
            target = repository / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_kept(repository, content))
        _git(repository, "add", "--all")
        _git(repository, "commit", "--quiet", "--message=files")
        return _git(repository, "rev-parse", "HEAD").strip()


def _kept(repository: Path, content: bytes) -> bytes:
    if len(content) < _LFS_BYTES:
        return content
    sha256 = hashlib.sha256(content).hexdigest()
    stored = repository / ".git" / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256
    stored.parent.mkdir(parents=True, exist_ok=True)
    stored.write_bytes(content)
    return _POINTER.format(sha256=sha256, size=len(content)).encode()


def _git(folder: Path, *arguments: str) -> str:
    identity = {"NAME": "tests", "EMAIL": "tests@example.com"}
    names = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in identity.items()}
    done = subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={**os.environ, **names, "GIT_CONFIG_GLOBAL": "/dev/null"},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def _installed() -> Path:
    def install(unfinished: Path) -> None:
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
        packages = ["--require-hashes", "--requirement", str(_LOCK)]
        subprocess.run([*uv, "--target", str(unfinished), *packages], check=True)

    return cache.made(f"hub-{cache.digest(_LOCK, extra=sys.version[:4])}", install)


@contextmanager
def serving() -> Iterator[Hub]:
    """A ready server without repositories; it asks no other server for anything."""
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="tightship-hub-") as name:
        scratch, made = Path(name), certificate.made("localhost", "127.0.0.1")
        (scratch / "tls.crt").write_text(made.certificate)
        (scratch / "tls.key").write_text(made.key)
        (scratch / "mirrors").mkdir()
        (scratch / "config.toml").write_text(
            f'[basic]\nhost = "127.0.0.1"\nport = {port}\n'
            f'ssl-key = "{scratch}/tls.key"\nssl-cert = "{scratch}/tls.crt"\n'
            f'repos-path = "{scratch}/repos"\nmirrors-path = ["{scratch}/mirrors"]\n'
            "[accessibility]\noffline = true\n"
        )
        code = "import sys; from olah.server import cli; sys.exit(cli())"
        process = Process(
            [
                *(sys.executable, "-c", code, "--config", scratch / "config.toml"),
                *("--log-path", scratch / "logs"),
            ],
            scratch / "hub.log",
            {"PYTHONPATH": str(_installed()), "HOME": name, "PYTHONWARNINGS": "ignore"},
        )
        try:
            process.wait_ready(lambda: listens(port), _START_SECONDS)
            yield Hub(process, f"localhost:{port}", made.certificate, scratch / "mirrors")
        finally:
            process.stop()
