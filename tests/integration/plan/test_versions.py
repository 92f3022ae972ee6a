"""The same snapshot gives the same plan in every version of Python that is on the machine."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.support import cache

_SCRIPT = Path(__file__).parent / "snapshot.py"
_OPERATOR = cache.REPOSITORY / "operator"


def _interpreters() -> Iterator[str]:
    """One of each version from 3.11 on, besides the one that runs the tests."""
    named = [shutil.which(f"python3.{minor}") for minor in range(11, 20)]
    kept = sorted((Path.home() / ".pyenv" / "versions").glob("3.*/bin/python"))
    seen = {sys.version_info[:2]}
    for path in [*filter(None, named), *map(str, kept)]:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        version = re.fullmatch(r"Python (\d+)\.(\d+)\..*\s*", told.stdout)
        if version is None:
            continue  # a launcher without that version behind it
        number = int(version[1]), int(version[2])
        if number >= (3, 11) and number not in seen:
            seen.add(number)
            yield path


def _environment(interpreter: str) -> Path:
    """The interpreter with numpy, of the version that is used here."""

    def write(made: Path) -> None:
        subprocess.run([interpreter, "-m", "venv", "--copies", made], check=True)
        wanted = f"numpy=={np.__version__}"
        subprocess.run([made / "bin" / "python", "-m", "pip", "install", "-q", wanted], check=True)

    key = cache.digest(extra=f"{Path(interpreter).resolve()} {np.__version__}")
    return cache.made(f"venv-numpy-{key}", write)


def _told(python: Path | str) -> str:
    run = subprocess.run(
        [python, _SCRIPT], env={"PYTHONPATH": str(_OPERATOR)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return run.stdout


def test_every_version_of_python_makes_the_same_plan() -> None:
    others = list(_interpreters())
    if not others:
        pytest.skip("there is no other Python from 3.11 on here")
    here = _told(sys.executable)
    assert {_told(_environment(path) / "bin" / "python") for path in others} == {here}
