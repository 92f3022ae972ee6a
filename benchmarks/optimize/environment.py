"""The benchmark's own Python environment, and the models that it makes: both kept in the cache."""

import subprocess
import sys
from pathlib import Path

from benchmarks.models import MODELS
from benchmarks.record import FOLDER
from tests.support import cache

_LOCK = FOLDER / "requirements.txt"
_MAKERS = FOLDER / "models"
_EXAMPLES = cache.REPOSITORY / "examples" / "models"


def python() -> Path:
    """The interpreter with the packages of benchmarks/requirements.txt."""
    return cache.made(f"bench-python-{cache.digest(_LOCK)}", _install) / "bin" / "python"


def files(name: str) -> Path:
    """A folder with a model's model.onnx, calibration.npz and evaluation.npz."""

    def make(folder: Path) -> None:
        run("benchmarks.models", str(folder), name, check=True)

    digest = cache.digest(*sources(name), _EXAMPLES, _LOCK)
    return cache.made(f"bench-{name}-{digest}", make) / name


def sources(name: str) -> list[Path]:
    """What a model is made by: its own module, and those that models share."""
    others = {model.module for other, model in MODELS.items() if other != name}
    return sorted(
        path for path in _MAKERS.glob("*.py") if f"benchmarks.models.{path.stem}" not in others
    )


def run(module: str, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs a module of this repository in that environment."""
    return subprocess.run(
        [*command(module), *arguments],
        cwd=cache.REPOSITORY,
        env=variables(),
        stderr=None if check else subprocess.PIPE,
        stdout=None if check else subprocess.PIPE,
        text=True,
        check=check,
    )


def command(module: str) -> list[str | Path]:
    """The command line for a module of this repository in that environment."""
    return [python(), "-W", "ignore", "-m", module]


def variables() -> dict[str, str]:
    """The environment's variables: nothing of the caller's packages."""
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": "operator:.", "ORT_DISABLE_TELEMETRY": "1"}


def _install(folder: Path) -> None:
    """A virtual environment, relocatable because the cache moves it into place."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--relocatable", folder], check=True)
    packages = ["--no-deps", "--require-hashes", "-r", str(_LOCK)]
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", folder, *packages], check=True)
