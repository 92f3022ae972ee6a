"""Completes an installed `nvidia-pytriton` wheel to a Triton that serves ONNX and OpenVINO models.

The wheel carries the server, its Python backend and the local response cache, but without the run
bit, with one stub process per Python version beside them and without the backends `onnxruntime`
and `openvino`. The server stays where the wheel was installed, because its libraries find one
another relative to that.
Usage: assemble.py SITE
"""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BACKENDS = ("onnxruntime", "openvino")
# OpenVINO for other devices and model formats, headers: nearly half of it.
SUPERFLUOUS = (
    "include",
    "cmake",
    "libs/cache.json",
    "libs/libopenvino_intel_[gn]pu_plugin.so",
    "libs/libopenvino_[!io]*_frontend.so.*",
)


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
    _trim(site / "openvino")
    # The stub processes ignore PYTHONPATH, but this folder is on their path.
    for package in list(site.iterdir()):
        if not package.name.startswith(("pytriton", "nvidia_pytriton")):
            shutil.move(package, python / package.name)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / "python", python, ignore=ignore, dirs_exist_ok=True)
    for backend in BACKENDS:
        shutil.copytree(HERE / backend, server / "backends" / backend, ignore=ignore)
    return server


def _trim(package: Path) -> None:
    """Remove what an OpenVINO on CPU for its own format and ONNX never opens."""
    for pattern in SUPERFLUOUS:
        found = list(package.glob(pattern))
        if not found:
            sys.exit(f"openvino has no {pattern}: look at its new contents")
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


if __name__ == "__main__":
    assemble(Path(sys.argv[1]))
