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
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = stubs / version / "triton_python_backend_stub"
    if not stub.exists():
        sys.exit(f"nvidia-pytriton has no stub process for Python {version}")
    (server / "bin" / "tritonserver").chmod(0o755)
    python = server / "backends" / "python"
    shutil.copy(stub, python / stub.name)
    # The stub processes ignore PYTHONPATH, but this folder is on their path.
    for package in list(site.iterdir()):
        if not package.name.startswith(("pytriton", "nvidia_pytriton")):
            shutil.move(package, python / package.name)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(BACKEND, server / "backends" / "onnxruntime", ignore=ignore)
    return server


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
