"""Runs a real Triton on loopback: the CPU server image's own, installed into the cache."""

import ctypes.util
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import cache
from tests.support.process import Process, answers, free_ports

_LOCK = cache.REPOSITORY / "requirements" / "triton.txt"
_IMAGE = cache.REPOSITORY / "images" / "triton-cpu"
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_START_SECONDS = 60


@dataclass(frozen=True)
class Triton:
    """A running server in explicit mode. Addresses are HOST:PORT, as tritonclient takes them."""

    process: Process
    repository: Path
    http: str
    grpc: str
    metrics: str

    @property
    def url(self) -> str:
        return f"http://{self.http}"

    @property
    def metrics_url(self) -> str:
        return f"http://{self.metrics}/metrics"

    def ready(self) -> bool:
        return answers(f"{self.url}/v2/health/ready")


def installed() -> Path:
    """The server's folder (bin/, backends/, caches/), installed from the lock the first time."""

    def install(unfinished: Path) -> None:
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", sys.executable]
        packages = ["--no-deps", "--require-hashes", "--requirement", str(_LOCK)]
        subprocess.run([*uv, "--target", str(unfinished), *packages], check=True)
        subprocess.run([sys.executable, _IMAGE / "assemble.py", unfinished], check=True)

    site = cache.made(f"triton-{cache.digest(_LOCK, _IMAGE, extra=_PYTHON)}", install)
    return site / "pytriton" / "tritonserver"


def environment() -> dict[str, str]:
    """Where the server's Python processes find the interpreter library of this Python's version."""
    quiet = {"ORT_DISABLE_TELEMETRY": "1"}
    library = f"libpython{_PYTHON}.so.1.0"
    if ctypes.util.find_library(f"python{_PYTHON}"):
        return {**quiet, "PATH": "/usr/local/bin:/usr/bin:/bin"}
    folder = str(sysconfig.get_config_var("LIBDIR"))
    if (Path(folder) / library).exists():
        return {**quiet, "LD_LIBRARY_PATH": folder, "PATH": f"{sys.base_prefix}/bin:/usr/bin:/bin"}
    raise RuntimeError(f"{library} is missing: run `apt-get install libpython{_PYTHON}`")


def command(server: Path, repository: Path, ports: list[int], flags: tuple[str, ...]) -> list[str]:
    """The server's command line on loopback; `flags` come last."""
    http, grpc, metrics = ports
    return [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={server / 'backends'}",
        f"--cache-directory={server / 'caches'}",
        "--model-control-mode=explicit",
        "--disable-auto-complete-config",
        "--strict-readiness=false",
        "--exit-timeout-secs=5",
        "--metrics-config=summary_latencies=true",
        "--http-address=127.0.0.1",
        f"--http-port={http}",
        "--grpc-address=127.0.0.1",
        f"--grpc-port={grpc}",
        f"--metrics-port={metrics}",
        *flags,
    ]


@contextmanager
def serving(repository: Path, *flags: str, ports: list[int] | None = None) -> Iterator[Triton]:
    """A ready server over the model repository, with further command-line `flags`.

    It is stopped at the end. `ports` (HTTP, gRPC, metrics) are chosen when not given; a test gives
    the old ones to restart a server in place.
    """
    server = installed()
    ports = ports or free_ports(3)
    with tempfile.TemporaryDirectory(prefix="tightship-triton-") as scratch:
        log = Path(scratch) / "triton.log"
        process = Process(command(server, repository, ports, flags), log, environment())
        http, grpc, metrics = (f"127.0.0.1:{port}" for port in ports)
        triton = Triton(process, repository, http, grpc, metrics)
        try:
            process.wait_ready(triton.ready, _START_SECONDS)
            yield triton
        finally:
            process.stop()
