"""Where installed packages lie: their files are read, their code is not run."""

from importlib.util import find_spec
from pathlib import Path


def folder(package: str) -> Path:
    """The folder of a package that is installed; importing it is not needed.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"{package} is missing: install examples/requirements.txt")
    return Path(spec.origin).parent
