"""Runs a real S3 server on loopback over a folder: sub-folders are buckets, files objects."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.process import Process, answers, free_ports, listens
from tests.support.tools import tool

ACCESS_KEY = "tightship-tests"
SECRET_KEY = "tightship-tests-secret"
REGION = "us-east-1"
_START_SECONDS = 20
_FORBIDDEN = 403


@dataclass(frozen=True)
class S3:
    """A running server. What a test writes into `folder`/BUCKET is served at once."""

    process: Process
    folder: Path
    endpoint: str
    access_key: str = ACCESS_KEY
    secret_key: str = SECRET_KEY
    region: str = REGION

    def bucket(self, name: str) -> Path:
        """Make the bucket unless it exists; returns its folder."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path


@contextmanager
def serving(port: int | None = None, tls: tuple[Path, Path] | None = None) -> Iterator[S3]:
    """A ready server over an empty folder of its own; stopped and removed at the end.

    `tls` are the files of a certificate and its key.
    """
    port = port or free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="tightship-s3-") as scratch:
        folder, sidecar = Path(scratch, "buckets"), Path(scratch, "metadata")
        folder.mkdir()
        sidecar.mkdir()
        options = ["posix", f"--sidecar={sidecar}", str(folder)]
        secured = [f"--cert={tls[0]}", f"--key={tls[1]}"] if tls else []
        command = [str(tool("versitygw")), f"--port=127.0.0.1:{port}", *secured, *options]
        credentials = {
            "ROOT_ACCESS_KEY": ACCESS_KEY,
            "ROOT_SECRET_KEY": SECRET_KEY,
            "VGW_REGION": REGION,
        }
        process = Process(command, Path(scratch, "s3.log"), credentials)
        endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        try:
            process.wait_ready(
                lambda: listens(port) if tls else answers(endpoint, (_FORBIDDEN,)), _START_SECONDS
            )
            yield S3(process, folder, endpoint)
        finally:
            process.stop()
