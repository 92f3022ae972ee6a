"""Completes an installed `nvidia-pytriton` wheel to a Triton that serves `backend: "onnxruntime"`.

The wheel carries the server, its Python backend and the local response cache, but without the run
bit, with one stub process per Python version beside them and without an ONNX backend. The server
stays where the wheel was installed, because its libraries find one another relative to that.
Usage: assemble.py SITE
"""

import shutil
import sys
from pathlib import Path

BACKEND = Path(__file__).resolve().parent / "onnxruntime"


def assemble(site: Path) -> Path:
    """Complete the wheel installed in `site` in place; returns the server's folder."""
    server = site / "pytriton" / "tritonserver"
    stubs = server / "python_backend_stubs"
    stub = (
        stubs / f"{sys.version_info.major}.{sys.version_info.minor}" / "triton_python_backend_stub"
    )
    if not stub.exists():
        sys.exit(
            f"nvidia-pytriton has stubs for Python {sorted(p.name for p in stubs.iterdir())} only"
        )
    (server / "bin" / "tritonserver").chmod(0o755)
    python = server / "backends" / "python"
    shutil.copy(stub, python / stub.name)
    for package in [
        path for path in site.iterdir() if not path.name.startswith(("pytriton", "nvidia_pytriton"))
    ]:
        package.rename(
            python / package.name
        )  # the stub ignores PYTHONPATH; this folder is on its path
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(BACKEND, server / "backends" / "onnxruntime", ignore=ignore)
    return server


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
